import type { EvaluationRecord, EventRecord, RunHeader, SinkRecord, StepRecord } from '../record/contract.ts';
import { jobFacts } from '../record/header-facts.ts';
import type { MetricsVisitor } from '../record/metrics-parser.ts';
import type { ViewFacts, ViewState } from './contract.ts';
import { type CurveData, Curves } from './curves.ts';

/** Groups of steps that a run is kept in: some 2 MB for each ten curves. */
const CAPACITY = 16_384;
const EVALUATIONS = 4096;
/** Events that are kept: the last ones. */
const EVENTS = 500;
/** Groups in which steps travel that came since the last time. */
const NEWS = 32;

const COLUMNS = [
  'seconds', 'loss', 'lr', 'gradNorm', 'clipped', 'samples', 'stepMs', 'gatherMs', 'computeMs', 'waitMs', 'reduceMs', 'updateMs',
] as const; // biome-ignore format: a table
const AT = Object.fromEntries(COLUMNS.map((name, i) => [name, i])) as Record<(typeof COLUMNS)[number], number>;
/** Column by the name that metrics.jsonl has for it. */
const IN_FILE: Readonly<Record<string, number>> = {
  loss: AT.loss,
  lr: AT.lr,
  gradNorm: AT.gradNorm,
  samples: AT.samples,
  ...Object.fromEntries(COLUMNS.filter((name) => name.endsWith('Ms')).map((name) => [`timings.${name}`, AT[name]])),
};

/** A run as the page gets it when it is opened. */
export interface RunSnapshot {
  readonly id: number;
  readonly name: string;
  readonly group: string;
  readonly header: RunHeader | null;
  readonly totalSteps: number;
  /** Of the last step, from 1, and how many the run has; null where nobody knows of epochs. */
  readonly epoch: number | null;
  readonly epochs: number | null;
  readonly state: ViewState;
  readonly hidden: boolean;
  readonly curves: CurveData;
  readonly evaluations: CurveData;
  readonly test: Readonly<Record<string, number | null>> | null;
  readonly events: readonly EventRecord[];
  readonly eventsLeftOut: number;
  readonly damagedLines: number;
}

/** What came of a run since the last look. */
export interface RunNews {
  readonly id: number;
  readonly state?: ViewState;
  readonly damagedLines?: number;
  readonly curves?: CurveData;
  /** Of their last step. */
  readonly epoch?: number;
  readonly evaluations?: CurveData;
  readonly test?: Readonly<Record<string, number | null>>;
  readonly events?: readonly EventRecord[];
}

/** Totals that only grow, for Prometheus. */
export interface RunTotals {
  steps: number;
  samples: number;
  clipped: number;
  seconds: number;
  phases: Record<'gather' | 'compute' | 'wait' | 'reduce' | 'update', number>;
  events: Record<string, number>;
}

/**
 * One run as the page shows it, in bounded memory: fed with records as they come (`add`) or from a file (as a MetricsVisitor). `news` gives
 * what has come since it was called last.
 */
export class RunView implements MetricsVisitor {
  readonly id: number;
  #facts: ViewFacts;
  #curves: Curves;
  #news: Curves;
  #row: Float64Array;
  #evaluations: Curves | undefined;
  #newEvaluations: EvaluationRecord[] = [];
  #test: Record<string, number | null> | undefined;
  #testIsNew = false;
  #events: EventRecord[] = [];
  #newEvents: EventRecord[] = [];
  #leftOut = 0;
  #seconds = 0;
  /** Places of the columns for the names of a file. */
  #places: { names: readonly string[]; at: Int32Array; clip: number; step: number } | undefined;
  state: ViewState = 'waiting';
  damagedLines = 0;
  /** What comes now is no news: a file is being read that pages get as a whole. */
  quiet = false;
  /** Not shown until somebody ticks it. */
  hidden = false;
  /** A header has come since the last news: pages need the whole. */
  begun = false;
  #told: { state: ViewState; damagedLines: number } = { state: 'waiting', damagedLines: 0 };
  #totals = noTotals();
  /** Latest evaluations by name. */
  readonly latest: Record<string, number> = {};

  constructor(id: number, facts: ViewFacts) {
    this.id = id;
    this.#facts = facts;
    const { curves, news, row } = storesFor(facts.metrics);
    this.#curves = curves;
    this.#news = news;
    this.#row = row;
    this.hidden = facts.hidden ?? false;
  }

  get name(): string {
    return this.#facts.name;
  }

  get runHeader(): RunHeader | undefined {
    return this.#facts.header;
  }

  get metricNames(): readonly string[] {
    return this.#facts.metrics;
  }

  get totals(): Readonly<RunTotals> {
    return this.#totals;
  }

  /** What was counted so far is not this process's. */
  forgetTotals(): void {
    this.#totals = noTotals();
  }

  get lastStep(): number {
    return this.#curves.lastStep;
  }

  get #epoch(): number | undefined {
    return this.#facts.calendar?.epochOf(this.lastStep);
  }

  /** A run begins, or goes on with the one before. */
  header(header: RunHeader): void {
    const facts = jobFacts(header);
    if (header.resumedAfter === undefined || facts.metrics.join() !== this.#facts.metrics.join()) {
      this.#begin({ name: this.#facts.name, group: this.#facts.group, header, ...facts });
    } else {
      this.#curves.truncate(header.resumedAfter);
      this.#evaluations?.truncate(header.resumedAfter);
      this.#facts = { name: this.#facts.name, group: this.#facts.group, header, ...facts };
    }
    this.#places = undefined;
    this.state = 'running';
    this.begun = true;
  }

  #begin(facts: ViewFacts): void {
    const { curves, news, row } = storesFor(facts.metrics);
    this.#facts = facts;
    this.#curves = curves;
    this.#news = news;
    this.#row = row;
    this.#evaluations = undefined;
    this.#newEvaluations = [];
    this.#test = undefined;
    this.#seconds = 0;
  }

  /** Begins anew with other facts: a trial that is done again, longer. */
  restart(facts: ViewFacts): void {
    this.hidden = facts.hidden ?? false;
    this.#begin(facts);
  }

  /** Seconds of training so far. */
  get seconds(): number {
    return this.#seconds;
  }

  /** `seconds` of training at the last of these; by default what their steps have taken is added up. */
  add(records: readonly SinkRecord[], seconds?: number): void {
    for (const record of records) {
      if (record.kind === 'step') this.#step(record, seconds);
      else if (record.kind === 'evaluation' || record.kind === 'event') this.record(record);
    }
  }

  #step({ step, loss, metrics, lr, gradNorm, clipScale, samples, timings }: StepRecord, seconds?: number): void {
    const row = this.#row;
    row[AT.loss] = loss;
    row[AT.lr] = lr;
    row[AT.gradNorm] = gradNorm;
    row[AT.clipped] = clipScale < 1 ? 1 : 0;
    row[AT.samples] = samples;
    row[AT.stepMs] = timings.stepMs;
    row[AT.gatherMs] = timings.gatherMs;
    row[AT.computeMs] = timings.computeMs;
    row[AT.waitMs] = timings.waitMs;
    row[AT.reduceMs] = timings.reduceMs;
    row[AT.updateMs] = timings.updateMs;
    const names = this.#facts.metrics;
    for (let i = 0; i < names.length; i++) row[COLUMNS.length + i] = metrics[names[i]] ?? Number.NaN;
    if (seconds !== undefined) this.#seconds = seconds - timings.stepMs / 1000;
    this.#push(step);
  }

  step(numbers: Float64Array, names: readonly string[]): void {
    const { at, clip, step } = this.#placesOf(names);
    const row = this.#row;
    for (let i = 0; i < at.length; i++) if (at[i] >= 0) row[at[i]] = numbers[i];
    row[AT.clipped] = numbers[clip] < 1 ? 1 : 0;
    this.#push(numbers[step]);
  }

  #placesOf(names: readonly string[]) {
    if (this.#places?.names === names) return this.#places;
    const metrics = this.#facts.metrics;
    const at = Int32Array.from(names, (name) => {
      const metric = name.startsWith('metrics.') ? metrics.indexOf(name.slice('metrics.'.length)) : -1;
      return metric >= 0 ? COLUMNS.length + metric : (IN_FILE[name] ?? -1);
    });
    this.#places = { names, at, clip: names.indexOf('clipScale'), step: names.indexOf('step') };
    return this.#places;
  }

  /** Enters the row; the step's number is known, its other numbers lie in the row. */
  #push(step: number): void {
    const row = this.#row;
    const stepMs = row[AT.stepMs];
    this.#seconds += stepMs / 1000;
    row[AT.seconds] = this.#seconds;
    this.#curves.push(step, row);
    if (!this.quiet) this.#news.push(step, row);
    const totals = this.#totals;
    totals.steps += 1;
    totals.samples += row[AT.samples];
    totals.clipped += row[AT.clipped];
    totals.seconds += stepMs / 1000;
    totals.phases.gather += row[AT.gatherMs] / 1000;
    totals.phases.compute += row[AT.computeMs] / 1000;
    totals.phases.wait += row[AT.waitMs] / 1000;
    totals.phases.reduce += row[AT.reduceMs] / 1000;
    totals.phases.update += row[AT.updateMs] / 1000;
  }

  record(record: EvaluationRecord | EventRecord): void {
    if (record.kind === 'evaluation') this.#evaluation(record);
    else this.#event(record);
  }

  #evaluation(record: EvaluationRecord): void {
    const metrics = Object.fromEntries(Object.entries(record.metrics).map(([name, value]) => [name, Number(value)]));
    Object.assign(this.latest, metrics);
    if (record.split === 'test') {
      this.#test = metrics;
      this.#testIsNew = true;
      return;
    }
    this.#evaluations ??= new Curves(['seconds', ...Object.keys(metrics)], Object.keys(metrics), EVALUATIONS);
    this.#evaluations.push(record.step, this.#evaluationRow(record));
    this.#newEvaluations.push(record);
    if (this.#newEvaluations.length > EVALUATIONS) this.#newEvaluations.shift();
  }

  #evaluationRow({ metrics }: EvaluationRecord): number[] {
    const [, ...names] = this.#evaluations?.names ?? [];
    return [this.#seconds, ...names.map((name) => Number(metrics[name] ?? Number.NaN))];
  }

  #event(record: EventRecord): void {
    this.#totals.events[record.event] = (this.#totals.events[record.event] ?? 0) + 1;
    if (record.event === 'pause') this.state = 'paused';
    else if (record.event === 'resume') this.state = 'running';
    else if (record.event === 'end') this.state = 'ended';
    else if (record.event === 'failed') this.state = 'failed';
    this.#events.push(record);
    this.#newEvents.push(record);
    if (this.#events.length > EVENTS) {
      this.#events.shift();
      this.#leftOut += 1;
    }
    if (this.#newEvents.length > EVENTS) this.#newEvents.shift();
  }

  /** The curves between two steps in at most `points` groups. */
  query(points: number, from: number, to: number): CurveData {
    return this.#curves.query(points, from, to);
  }

  snapshot(points: number): RunSnapshot {
    const { name, group = name, header, totalSteps, calendar } = this.#facts;
    return {
      id: this.id,
      name,
      group,
      header: header ?? null,
      totalSteps,
      epoch: this.#epoch ?? null,
      epochs: calendar?.epochs ?? null,
      state: this.quiet ? 'reading' : this.state,
      hidden: this.hidden,
      curves: this.#curves.query(points),
      evaluations: this.#evaluations?.query(points) ?? NO_CURVES,
      test: this.#test ?? null,
      events: this.#events,
      eventsLeftOut: this.#leftOut,
      damagedLines: this.damagedLines,
    };
  }

  /** What has come since the last call; undefined if nothing has. */
  news(): RunNews | undefined {
    const curves = this.#news.length > 0 ? this.#news.query(NEWS) : undefined;
    this.#news.clear();
    let evaluations: CurveData | undefined;
    if (this.#newEvaluations.length > 0 && this.#evaluations) {
      const { names } = this.#evaluations;
      const fresh = new Curves(names, names.slice(1), EVALUATIONS);
      for (const record of this.#newEvaluations) fresh.push(record.step, this.#evaluationRow(record));
      evaluations = fresh.query(EVALUATIONS);
    }
    const events = this.#newEvents;
    const epoch = this.#epoch;
    const test = this.#testIsNew ? this.#test : undefined;
    const { state, damagedLines } = this;
    const changed = {
      ...(state !== this.#told.state && { state }),
      ...(damagedLines !== this.#told.damagedLines && { damagedLines }),
    };
    this.#told = { state, damagedLines };
    this.begun = false;
    this.#newEvaluations = [];
    this.#newEvents = [];
    this.#testIsNew = false;
    const nothing = !curves && !evaluations && events.length === 0 && !test;
    if (nothing && Object.keys(changed).length === 0) return undefined;
    return {
      id: this.id,
      ...changed,
      ...(curves && { curves, ...(epoch !== undefined && { epoch }) }),
      ...(evaluations && { evaluations }),
      ...(events.length > 0 && { events }),
      ...(test && { test }),
    };
  }

  /** The numbers of the last step by the names of the curves. */
  last(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#curves.names.map((name, i) => [name, this.#row[i]]));
  }
}

const noTotals = (): RunTotals => ({
  steps: 0,
  samples: 0,
  clipped: 0,
  seconds: 0,
  phases: { gather: 0, compute: 0, wait: 0, reduce: 0, update: 0 },
  events: {},
});

const NO_CURVES: CurveData = { step: [], count: [], mean: {} };

function storesFor(metrics: readonly string[]) {
  const names = [...COLUMNS, ...metrics];
  const banded = ['loss', 'gradNorm', 'stepMs', ...metrics];
  return {
    curves: new Curves(names, banded, CAPACITY),
    news: new Curves(names, banded, NEWS),
    row: new Float64Array(names.length),
  };
}
