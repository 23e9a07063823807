import { phasesOf, type WorkerStep } from '../parallel/timeline.ts';
import type { PartStep, TimedStep } from './contract.ts';

/** What somebody can be at; 'wait' is what is lost, 'network' what a node's parameters and sums take. */
export type Activity = 'gather' | 'forward' | 'backward' | 'reduce' | 'update' | 'wait' | 'compute' | 'network';

/** The timeline as the page draws it. Times are milliseconds from the beginning of the first step that is shown. */
export interface TimelineView {
  readonly rows: readonly TimelineRow[];
  /** Workers and nodes that there is no room for. */
  readonly leftOut: number;
}

export interface TimelineRow {
  readonly name: string;
  readonly steps: readonly {
    readonly step: number;
    readonly spans: readonly (readonly [what: Activity, from: number, to: number])[];
  }[];
  /** Means over the latest steps. */
  readonly meanMs: Readonly<Partial<Record<Activity, number>>>;
}

/** Steps that are shown, and kept of each row: those of nodes come at another time than those of workers. */
const SHOWN = 8;
const KEPT = 64;
/** Rows that are kept and shown. */
const ROWS = 64;

interface Row {
  readonly name: string;
  readonly own: boolean;
  steps: TimedStep[];
}

/** What each worker, or node, did in the last steps. */
export class StepTimeline {
  readonly #rows = new Map<string, Row>();
  #leftOut = new Set<string>();

  /** In the order of the steps. Of very many only the last are looked at. */
  add(steps: readonly TimedStep[]): void {
    const newest = steps.at(-1)?.step ?? 0;
    for (const step of steps) if (step.step > newest - KEPT) this.#add(step);
  }

  clear(): void {
    this.#rows.clear();
    this.#leftOut = new Set();
  }

  /** The steps of this process's workers. */
  get own(): readonly WorkerStep[] {
    return [...this.#rows.values()].flatMap(({ steps }) => steps.filter((step) => 'rank' in step));
  }

  /** The last steps that all who still take part have done. */
  view(): TimelineView {
    const all = [...this.#rows.values()];
    const newest = Math.max(...all.map(lastOf));
    const rows = all.filter((row) => lastOf(row) > newest - KEPT);
    const last = Math.min(...rows.map(lastOf));
    const shown = rows.map(({ steps }) => steps.filter(({ step }) => step > last - SHOWN && step <= last));
    const origin = Math.min(...shown.flat().map(({ start }) => start));
    const far = rows.some(({ own }) => !own);
    return {
      rows: rows.map(({ name, own, steps }, i) => ({
        name: own && far ? `coordinator ${name}` : name,
        steps: shown[i].map((step) => ({ step: step.step, spans: spansOf(step, origin) })),
        meanMs: meansOf(steps),
      })),
      leftOut: this.#leftOut.size,
    };
  }

  #add(step: TimedStep): void {
    const own = 'rank' in step;
    const name = own ? String(step.rank) : step.node;
    const key = `${own}/${name}`;
    let row = this.#rows.get(key);
    if (!row) {
      if (this.#rows.size >= ROWS && !this.#forgetOne(step.step)) return void this.#leftOut.add(key);
      row = { name, own, steps: [] };
      this.#rows.set(key, row);
    }
    if (step.step < lastOf(row)) row.steps = []; // a step is done again
    row.steps.push(step);
    if (row.steps.length > 2 * KEPT) row.steps = row.steps.slice(-KEPT);
  }

  /** Makes room: a row of somebody who is long gone. */
  #forgetOne(step: number): boolean {
    for (const [key, row] of this.#rows) if (lastOf(row) < step - KEPT) return this.#rows.delete(key);
    return false;
  }
}

const lastOf = ({ steps }: Row): number => steps[steps.length - 1]?.step ?? 0;

/** Side by side from the beginning of the step to its end. */
function spansOf(step: TimedStep, origin: number): [Activity, number, number][] {
  let from = step.start - origin;
  return activitiesOf(step).map(([what, ms]) => {
    const span: [Activity, number, number] = [what, rounded(from), rounded(from + ms)];
    from += ms;
    return span;
  });
}

function activitiesOf(step: WorkerStep | PartStep): [Activity, number][] {
  if ('node' in step) {
    const { start, computeFrom, computeTo, end } = step;
    return [
      ['network', computeFrom - start],
      ['compute', computeTo - computeFrom],
      ['network', end - computeTo],
    ];
  }
  const { gather, forward, backward, waitGradients, reduce, waitNorms, update, waitParameters } = phasesOf(step);
  return [
    ['gather', gather],
    ['forward', forward],
    ['backward', backward],
    ['wait', waitGradients],
    ['reduce', reduce],
    ['wait', waitNorms],
    ['update', update],
    ['wait', waitParameters],
  ];
}

function meansOf(steps: readonly TimedStep[]): Partial<Record<Activity, number>> {
  const latest = steps.slice(-KEPT);
  const sums: Partial<Record<Activity, number>> = {};
  for (const step of latest)
    for (const [what, ms] of activitiesOf(step)) sums[what] = (sums[what] ?? 0) + Math.max(0, ms);
  return Object.fromEntries(Object.entries(sums).map(([what, sum]) => [what, rounded(sum / latest.length)]));
}

const rounded = (ms: number): number => Math.round(1e4 * ms) / 1e4;
