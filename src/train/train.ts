import type { Fields } from '../data/contract.ts';
import type { LockstepError } from '../errors.ts';
import { evaluationShards } from '../parallel/evaluation-shards.ts';
import { mergeCounts } from '../parallel/histogram.ts';
import type { SplitName, WorkerReport } from '../parallel/session.ts';
import type { EvaluationRecord, Histogram } from '../record/contract.ts';
import type { RunControl, StopReason, TrainSummary } from './callbacks.ts';
import { checkOptions } from './check-options.ts';
import { Checkpoints } from './checkpoints.ts';
import { finishSums } from './compile.ts';
import { Controls } from './controls.ts';
import { hasStopped, nextStopping, STOPPING_START } from './early-stopping.ts';
import { runHeader } from './header.ts';
import type { Job } from './job.ts';
import { Journal } from './journal.ts';
import type { NodeStates } from './node-states.ts';
import { badTensor, nonFiniteError } from './non-finite.ts';
import { type OpenRun, openRun } from './open-run.ts';
import type { TrainOptions, TrainResult } from './options.ts';
import { planRun, type RunPlan } from './plan-run.ts';
import { nextPlateau, PLATEAU_START } from './plateau.ts';
import { readParameters } from './read-parameters.ts';
import { Recovery } from './recovery.ts';
import type { StartPoint } from './resume.ts';
import { type RunRules, resolveRules } from './rules.ts';
import { type RunFolder, takeRunFolder } from './run-folder.ts';
import { RunLog } from './run-log.ts';
import { trialOptions } from './trial.ts';

/** How often the clock is looked at for `everyMinutes`. */
const CLOCK_MS = 250;

/**
 * Trains a job to its end and gives what came of it. Works from any module, REPL or test; silent unless `onProgress` is
 * given. The result depends on the job alone, not on `options`.
 *
 * @throws LockstepError for anything wrong with job, data or workers; nothing is left running or half written.
 */
export async function train<F extends Fields>(job: Job<F>, options: TrainOptions = {}): Promise<TrainResult> {
  checkOptions(options);
  const used = trialOptions(options);
  return trainPlan(await planRun(job as unknown as Job, used), used);
}

/** What somebody beside the trainer has to do with a run. */
export interface Attendance {
  /** What nodes keep, where there are nodes and they keep something. */
  readonly nodes?: NodeStates;
  /** Called when the run is over, with what came of it if it did not fail. */
  close?(result?: TrainResult): Promise<void>;
}

/** Called when the workers of a run are there and nothing is trained yet. */
export type OnOpen = (run: OpenRun, journal: Journal) => Promise<Attendance>;

/** Trains what `planRun` planned with the same options. A plan is good for one run. */
export async function trainPlan(plan: RunPlan, options: TrainOptions, onOpen?: OnOpen): Promise<TrainResult> {
  const rules = resolveRules(plan, options);
  const folder = takeRunFolder(plan, options);
  try {
    const run = await openRun(plan, options.module, folder.start);
    try {
      const journal = new Journal();
      const attendance = await onOpen?.(run, journal);
      let result: TrainResult | undefined;
      try {
        result = await trainOpened(plan, run, options, rules, folder, journal, attendance?.nodes);
        return result;
      } finally {
        await attendance?.close?.(result);
      }
    } finally {
      await run.pool.close();
    }
  } finally {
    folder.release();
  }
}

/** The books are opened last: what is refused before leaves no trace in them. */
async function trainOpened(
  plan: RunPlan,
  run: OpenRun,
  options: TrainOptions,
  rules: RunRules,
  { start, notes }: RunFolder,
  journal: Journal,
  nodes: NodeStates | undefined,
): Promise<TrainResult> {
  const log = await RunLog.open(plan, runHeader(plan, start), options);
  try {
    const training = new Training(plan, run, log, options, rules, start, nodes);
    try {
      return await training.run(notes, start, journal);
    } catch (error) {
      log.failed(error);
      throw error;
    } finally {
      await training.close();
    }
  } finally {
    journal.close();
    await log.close();
    options.controls?.enter('ended');
  }
}

/** The main thread's part of a run: segments of free-running steps, and what happens between them. */
class Training {
  readonly #plan: RunPlan;
  readonly #run: OpenRun;
  readonly #log: RunLog;
  readonly #rules: RunRules;
  readonly #recovery: Recovery;
  readonly #signal: AbortSignal | undefined;
  readonly #controls: Controls;
  readonly #histogramSteps: number | undefined;
  readonly #nodes: NodeStates | undefined;
  readonly #latest: Record<string, number> = {};
  #stopped: StopReason | undefined;
  readonly #checkpoints: Checkpoints | undefined;
  #stopping = STOPPING_START;
  #plateau = PLATEAU_START;
  #cpuSeconds: readonly number[] = [];
  #trainingMs = 0;

  constructor(
    plan: RunPlan,
    run: OpenRun,
    log: RunLog,
    options: TrainOptions,
    rules: RunRules,
    start: StartPoint | undefined,
    nodes: NodeStates | undefined,
  ) {
    this.#plan = plan;
    this.#run = run;
    this.#log = log;
    this.#rules = rules;
    this.#recovery = new Recovery(run, log, start);
    this.#signal = options.signal;
    this.#controls = options.controls ?? new Controls();
    this.#histogramSteps = options.histogramSteps;
    this.#nodes = nodes;
    if (options.runDir !== undefined) {
      this.#checkpoints = new Checkpoints(plan, run, log, this.#recovery, options.runDir, rules.keepBest, nodes);
    }
  }

  /** Ends threads and waits for what is still being written. */
  async close(): Promise<void> {
    try {
      await this.#run.pool.close();
    } finally {
      await this.#checkpoints?.close();
    }
  }

  async run(notes: readonly string[], start: StartPoint | undefined, journal: Journal): Promise<TrainResult> {
    const { compiled, job, data } = this.#plan;
    const { callbacks } = job;
    const { stopping, plateau } = this.#rules;
    const control: RunControl = {
      stop: (reason) => {
        this.#stopped ??= 'callback';
        this.#log.note(`stopped by a callback: ${reason}`);
      },
    };
    let step = this.#takeUp(start);
    const problems: Error[] = [];

    this.#log.attach(this.#run.session, notes);
    journal.open((...entry) => this.#log.note(...entry));
    this.#controls.enter('running', this.#checkpoints !== undefined);
    await callbacks.onStart?.(this.#log.header, control);
    while (step < compiled.totalSteps && !this.#finished()) {
      step = await this.#segment(step, this.#segmentEnd(step));
      if (this.#histogramSteps && step % this.#histogramSteps === 0) await this.#histograms(step);
      if (data.validation && this.#evaluateAfter(step)) {
        const record = await this.#evaluate('val', step);
        if (stopping) {
          const next = nextStopping(stopping, this.#stopping, record.metrics[stopping.monitor]);
          this.#stopping = next.state;
          if (next.stop) this.#stopped ??= 'early-stopping';
        }
        if (plateau) {
          this.#plateau = nextPlateau(plateau, this.#plateau, record.metrics[plateau.monitor], step);
          this.#run.pool.rateChanges = this.#plateau.changes;
        }
        this.#checkpoints?.watch(record.metrics);
        await callbacks.onEvaluation?.(record, control);
      }
      if (compiled.calendar.endsEpoch(step) || step === compiled.totalSteps || this.#stoppedByRule()) {
        const summary = this.#log.endEpoch(step);
        await callbacks.onEpochEnd?.({ epoch: summary.epoch, step, loss: summary.loss }, control);
      }
      if (this.#checkpoints?.due(step)) await this.#save(step);
      await this.#obey(step);
    }
    await this.#save(step); // written while the test rows are evaluated
    if (data.test && this.#stopped !== 'aborted') await this.#evaluate('test', step);
    const lost = await this.#saveLast(step);
    if (lost) problems.push(lost);
    const { parameters, summary } = this.#end(step);
    this.#log.ending(summary);
    problems.push(...(await this.#log.close()));
    this.#log.end(summary);
    await callbacks.onEnd?.(summary);
    return {
      ...summary,
      history: this.#log.history.records(),
      evaluations: this.#log.evaluations,
      parameters,
      checkpoint: this.#checkpoints?.newest,
      skippedSteps: this.#log.skipped,
      problems,
    };
  }

  /** The step from which the run goes on: 0, or that of a checkpoint, whose books are taken over. */
  #takeUp(start: StartPoint | undefined): number {
    if (!start || start.warm) return 0;
    const { step, epoch, progress, metrics } = start.checkpoint.manifest;
    const { epochSums = [], epochSamples = 0, skipped, stopping, plateau } = progress;
    const { loss, ...others } = metrics;
    const ofTraining = Object.fromEntries(
      this.#plan.compiled.metrics.flatMap(({ name }) => (Object.hasOwn(others, name) ? [[name, others[name]]] : [])),
    );
    this.#log.takeUp(step, { epoch, sums: epochSums, samples: epochSamples, skipped }, loss, ofTraining);
    for (const [name, value] of Object.entries(others)) {
      if (!Object.hasOwn(ofTraining, name)) this.#latest[name] = value;
    }
    this.#stopping = stopping ?? STOPPING_START;
    this.#plateau = plateau ?? PLATEAU_START;
    this.#run.pool.rateChanges = this.#plateau.changes;
    const rule = this.#rules.stopping;
    if (rule && hasStopped(rule, this.#stopping)) this.#stopped = 'early-stopping';
    return step;
  }

  async #save(step: number): Promise<void> {
    await this.#checkpoints?.save(step, this.#watched(), this.#metrics());
  }

  async #saveLast(step: number): Promise<Error | undefined> {
    return this.#checkpoints?.saveLast(step, this.#watched(), this.#metrics());
  }

  /** What rules have counted so far. */
  #watched() {
    return { stopping: this.#stopping, ...(this.#rules.plateau && { plateau: this.#plateau }) };
  }

  /** Of the last epoch and the latest evaluations. */
  #metrics(): Record<string, number> {
    const { epochLoss, epochMetrics } = this.#log;
    return { ...(Number.isNaN(epochLoss) ? {} : { loss: epochLoss, ...epochMetrics }), ...this.#latest };
  }

  /** Runs steps until `to` (fewer after an abort, or when a checkpoint is due by the clock) while the log is kept up to date. */
  async #segment(done: number, to: number): Promise<number> {
    const { pool } = this.#run;
    let failure: { readonly error: unknown } | undefined;
    const stopRequested = () => failure !== undefined || this.#signal?.aborted === true || this.#asked();
    const onAbort = () => pool.requestStop();
    const offControls = this.#controls.onChange(() => {
      pool.requestStop(this.#asked() ? 0 : this.#controls.pausesAfter);
    });
    const clock = setInterval(() => {
      if (this.#checkpoints?.minutesDue()) pool.requestStop();
    }, CLOCK_MS);
    const start = performance.now();
    this.#signal?.addEventListener('abort', onAbort);
    this.#log.follow((error) => {
      failure ??= { error };
      pool.requestStop();
    });
    let reports: WorkerReport[];
    try {
      reports = await this.#recovery.train(done + 1, to, stopRequested);
    } finally {
      clearInterval(clock);
      offControls();
      this.#signal?.removeEventListener('abort', onAbort);
      this.#log.unfollow();
    }
    if (failure) throw failure.error; // of a callback
    this.#trainingMs += performance.now() - start;
    this.#cpuSeconds = reports.map((r) => r.cpuSeconds);
    const broken = reports.some((r) => r.stopped === 'nonFinite');
    if (broken) {
      const error = await this.#nonFinite();
      await this.#saveLast(this.#log.lastStep);
      throw error;
    }
    return this.#log.lastStep;
  }

  /** Somebody wants something that happens between two segments. */
  #asked(): boolean {
    const { pause, checkpoint, stop } = this.#controls.wanted;
    return pause || checkpoint || stop;
  }

  /** Does what has been asked for, between two segments: the workers have left after the same step. While the run is paused it waits here. */
  async #obey(step: number): Promise<void> {
    const controls = this.#controls;
    controls.reached(step);
    let paused = false;
    while (!this.#finished()) {
      const { pause, checkpoint, stop } = controls.wanted;
      if (stop) {
        this.#stopped = 'aborted';
        this.#log.note('stopped by hand', 'stop');
      } else if (checkpoint) {
        await this.#save(step);
        controls.saved();
      } else if (!pause) {
        break;
      } else if (!paused) {
        paused = true;
        this.#log.note('paused', 'pause');
        controls.enter('paused'); // whoever hears it may ask for something: look again before waiting
      } else await controls.change(this.#signal);
    }
    if (!paused) return;
    controls.enter('running');
    if (!this.#finished()) this.#log.note('goes on', 'resume');
  }

  /** The next place where the workers must wait: end of epoch, an evaluation, the last step. */
  #segmentEnd(step: number): number {
    const { compiled, job } = this.#plan;
    const next = (every: number) => (Math.floor(step / every) + 1) * every;
    const { totalSteps, calendar } = compiled;
    const ends = [totalSteps, calendar.lastOf(calendar.epochOf(step + 1))];
    if (this.#controls.pausesAfter > step) ends.push(this.#controls.pausesAfter);
    if (job.evaluate.everySteps && this.#plan.data.validation) ends.push(next(job.evaluate.everySteps));
    if (this.#histogramSteps) ends.push(next(this.#histogramSteps));
    if (this.#checkpoints) ends.push(this.#checkpoints.nextStep(step));
    return Math.min(...ends);
  }

  #evaluateAfter(step: number): boolean {
    const { job } = this.#plan;
    const { totalSteps, calendar } = this.#plan.compiled;
    const { everySteps, everyEpochs = everySteps ? undefined : 1 } = job.evaluate;
    if (step === totalSteps) return true;
    if (everySteps && step % everySteps === 0) return true;
    return everyEpochs !== undefined && calendar.endsEpoch(step) && calendar.epochOf(step) % everyEpochs === 0;
  }

  async #evaluate(split: 'val' | 'test', step: number): Promise<EvaluationRecord> {
    const { compiled } = this.#plan;
    const start = performance.now();
    const reports = await this.#recovery.between(step, () => this.#run.pool.evaluate(split));
    this.#cpuSeconds = reports.map((r) => r.cpuSeconds);
    const sums = this.#evaluationSums(split);
    const { loss, metrics } = finishSums(compiled.metrics, compiled.sums, (i) => sums[i]);
    const named: Record<string, number> = { [`${split}.loss`]: loss };
    for (const [name, value] of Object.entries(metrics)) named[`${split}.${name}`] = value;
    Object.assign(this.#latest, named);
    const record: EvaluationRecord = {
      kind: 'evaluation',
      step,
      epoch: this.#log.epochOf(step),
      split,
      metrics: named,
      seconds: (performance.now() - start) / 1000,
    };
    this.#log.evaluation(record);
    return record;
  }

  /** How weights and gradients are spread: counted by the workers, for sinks that show it. */
  async #histograms(step: number): Promise<void> {
    const reports = await this.#recovery.between(step, () => this.#run.pool.count(step));
    const counted = reports.flatMap(({ counts }) => counts ?? []);
    const histograms = this.#plan.compiled.tensors.flatMap(({ name }, tensor) =>
      (['weights', 'gradients'] as const).flatMap((of): Histogram[] => {
        const parts = counted.filter((part) => part.tensor === tensor && part.of === of);
        return parts.length === 0 ? [] : [{ tensor: name, of, ...mergeCounts(parts) }];
      }),
    );
    this.#log.histograms({ kind: 'histogram', step, histograms });
  }

  /** Sums over the evaluation shards in shard order, whoever computed them. */
  #evaluationSums(split: SplitName): Float64Array {
    const { session } = this.#run;
    const width = session.sums.length;
    const shards = evaluationShards(session.splits[split]?.size ?? 0, session.evaluationRows);
    const rows = new Float64Array(session.memory.buffer, session.layout.evaluationSums, shards * width);
    const sums = new Float64Array(width);
    for (let i = 0; i < rows.length; i++) sums[i % width] += rows[i];
    return sums;
  }

  /** Ended by early stopping or a callback: what was begun is closed. An aborted epoch stays open, to be resumed. */
  #stoppedByRule(): boolean {
    return this.#stopped !== undefined && this.#stopped !== 'aborted';
  }

  #finished(): boolean {
    if (this.#signal?.aborted) this.#stopped = 'aborted';
    return this.#stopped !== undefined;
  }

  /** What broke in the step that was not committed. */
  async #nonFinite(): Promise<LockstepError> {
    const record = this.#log.lastRecord;
    const tensor = badTensor(this.#run.session, record.step); // before the arena changes
    const inspect = () => this.#run.pool.inspect(record.step);
    // What broke in steps that nodes made by themselves is not here to be looked at.
    const reports = this.#plan.local ? [] : await this.#recovery.between(this.#log.lastStep, inspect);
    const found = reports.flatMap(({ bad }) => (bad ? [bad] : [])).sort((a, b) => a.shard - b.shard);
    return nonFiniteError(this.#run.session, record, found[0], tensor);
  }

  #end(step: number): Pick<TrainResult, 'parameters'> & { summary: TrainSummary } {
    const { compiled, workers, backend } = this.#plan;
    const log = this.#log;
    const { parameters, sha256 } = readParameters(this.#run.session);
    const seconds = log.elapsedSeconds();
    const { calendar, epochs } = compiled;
    const byLimit = calendar.endsEpoch(step) && calendar.epochOf(step) === epochs ? 'epochs' : 'steps';
    const summary: TrainSummary = {
      stopped: this.#stopped ?? byLimit,
      step,
      trainedSteps: log.trainedSteps,
      epoch: log.epochOf(step),
      loss: log.epochLoss,
      metrics: { ...log.epochMetrics, ...this.#latest },
      samplesPerSec: this.#trainingMs === 0 ? 0 : (1000 * log.samples) / this.#trainingMs,
      seconds,
      workers,
      shards: compiled.shards,
      gemm: backend.gemm,
      parametersSha256: sha256,
      cpuSecondsPerWorker: this.#cpuSeconds,
      ...(this.#nodes && { nodeStatesLost: this.#nodes.lost }),
    };
    return { summary, parameters };
  }
}
