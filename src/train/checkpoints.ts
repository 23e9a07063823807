import { setTimeout as pause } from 'node:timers/promises';
import type { SaveOutcome } from '../checkpoint/save.ts';
import { CheckpointWriter } from '../checkpoint/writer.ts';
import { LockstepError } from '../errors.ts';
import { adviseHugePages } from '../kernels/huge-pages.ts';
import { progressWidth, readProgress } from '../parallel/progress.ts';
import { snapshotBytes, snapshotViews } from '../parallel/snapshot.ts';
import { manifestFacts, type Watched } from './manifest-facts.ts';
import type { NodeStates } from './node-states.ts';
import type { OpenRun } from './open-run.ts';
import type { RunPlan } from './plan-run.ts';
import type { Recovery } from './recovery.ts';
import type { RunRules } from './rules.ts';
import type { RunLog } from './run-log.ts';

/** Pauses before the state at the end of a run is saved again, when that failed: nobody will come by later. */
const RETRY_MS = [500, 2000];

/** One may still be written while the other is the newest restore point. */
const STAGINGS = 2;
const PAGE_BYTES = 4096;

/**
 * Saves a run as it goes. Between two segments the workers copy parameters and slots to staging memory (that is all they wait
 * for); hashing and writing happen in a thread of their own. Two stagings take turns.
 */
export class Checkpoints {
  readonly #plan: RunPlan;
  readonly #run: OpenRun;
  readonly #log: RunLog;
  readonly #recovery: Recovery;
  readonly #runDir: string;
  readonly #keepBest: RunRules['keepBest'];
  readonly #nodes: NodeStates | undefined;
  readonly #writer = new CheckpointWriter();
  readonly #stagings: { memory: SharedArrayBuffer; free: Promise<unknown> }[] = [];
  #savedStep = -1;
  #savedAt = performance.now();
  /** Best value of the monitored metric in this run so far, and whether its parameters are still to be saved. */
  #best = Number.NaN;
  #bestDue = false;
  /** Why the newest save failed, and what comes next. */
  #failure: string | undefined;
  #next = 'training goes on, earlier checkpoints stay, the next one is tried as planned';
  /** Folder of the newest checkpoint that was written. */
  newest: string | undefined;

  constructor(
    plan: RunPlan,
    run: OpenRun,
    log: RunLog,
    recovery: Recovery,
    runDir: string,
    keepBest: RunRules['keepBest'],
    nodes: NodeStates | undefined,
  ) {
    this.#plan = plan;
    this.#run = run;
    this.#log = log;
    this.#recovery = recovery;
    this.#runDir = runDir;
    this.#keepBest = keepBest;
    this.#nodes = nodes;
    // Here the workers have not begun: what a first snapshot would take to touch new memory, they would wait for.
    if (plan.job.checkpoint) for (let i = 0; i < STAGINGS; i++) this.#makeStaging();
  }

  /** Takes note of an evaluation: with `keepBest` the best one is saved when it is measured, between others too. */
  watch(metrics: Readonly<Record<string, number>>): void {
    if (!this.#keepBest) return;
    const { monitor, mode } = this.#keepBest;
    const value = metrics[monitor];
    const better = Number.isNaN(this.#best)
      ? !Number.isNaN(value)
      : mode === 'max'
        ? value > this.#best
        : value < this.#best;
    if (!better) return;
    this.#best = value;
    this.#bestDue = true;
  }

  /** The next step after `step` at which the job wants a checkpoint. */
  nextStep(step: number): number {
    const every = this.#plan.job.checkpoint?.everySteps;
    return every ? (Math.floor(step / every) + 1) * every : Number.POSITIVE_INFINITY;
  }

  /** Whether a checkpoint is due now, between two segments. */
  due(step: number): boolean {
    const rule = this.#plan.job.checkpoint;
    if (!rule || step === this.#savedStep) return false;
    if (this.#bestDue) return true;
    const { everySteps, everyEpochs } = rule;
    if (everySteps && step % everySteps === 0) return true;
    const { calendar } = this.#plan.compiled;
    if (everyEpochs && calendar.endsEpoch(step) && calendar.epochOf(step) % everyEpochs === 0) return true;
    return this.minutesDue();
  }

  /** Whether `everyMinutes` have passed: then the segment in progress should end. */
  minutesDue(): boolean {
    const minutes = this.#plan.job.checkpoint?.everyMinutes;
    return minutes !== undefined && performance.now() - this.#savedAt >= 60_000 * minutes;
  }

  /** Takes a snapshot and has it written; resolves when the workers may go on. The state must be that after `step`. */
  async save(step: number, watched: Watched, metrics: Readonly<Record<string, number>>): Promise<void> {
    if (step === this.#savedStep || step === 0) return;
    const { session, pool } = this.#run;
    const staging = this.#stagingToUse();
    await staging.free; // the disk is slower than the checkpoints come: wait for it rather than pile up memory
    const start = performance.now();
    await this.#recovery.between(step, async () => {
      await pool.copyState('snapshot', staging.memory);
      return [];
    });
    const states = await this.#nodes?.collect(step);
    const pauseMs = performance.now() - start;
    const names = session.progressNames;
    const width = progressWidth(names);
    const places = new Float64Array(session.memory.buffer, session.layout.progress, 2 * width);
    const progress = readProgress(places, step, names) ?? { updates: 0, badInARow: 0, state: {} };
    const place = places.slice((step % 2) * width, (step % 2) * width + width);
    this.#recovery.restorePoint = { step, staging: staging.memory, progress: place };
    this.#savedStep = step;
    this.#savedAt = performance.now();
    this.#bestDue = false;

    const rule = this.#plan.job.checkpoint;
    const keepBest = this.#keepBest && { ...this.#keepBest, count: 1 };
    const { replica, ...vectors } = snapshotViews(session, staging.memory);
    const nodes = states && { lost: this.#nodes?.lost ?? 0, states };
    const epoch = this.#log.epochState();
    const outcome = this.#writer.save({
      runDir: this.#runDir,
      facts: manifestFacts(this.#plan, { step, progress, watched, metrics, epoch, ...(nodes && { nodes }) }),
      ...vectors,
      ...(states && { nodes: { ...(replica && { replica }), states } }),
      retention: { keepLast: rule?.keepLast ?? 2, ...(keepBest ? { keepBest } : {}) },
    });
    staging.free = outcome.then((result) => this.#report(result, pauseMs));
    staging.free.catch(() => undefined); // a callback threw: whoever waits for this staging next will throw it
  }

  /**
   * Waits until the state after `step`, the last of the run, is on disk, and tries again when that fails. Gives what is wrong after
   * the last try.
   */
  async saveLast(
    step: number,
    watched: Watched,
    metrics: Readonly<Record<string, number>>,
  ): Promise<LockstepError | undefined> {
    await this.#written(); // what fails now was planned before
    for (const wait of [...RETRY_MS, undefined]) {
      this.#next = wait === undefined ? 'it is lost' : 'trying again';
      await this.save(step, watched, metrics);
      await this.#written();
      if (this.#savedStep === step || step === 0) return undefined;
      if (wait !== undefined) await pause(wait);
    }
    return new LockstepError('E_RUN_DIR', {
      where: `run folder ${this.#runDir}`,
      expected: `the checkpoint of step ${step}, the last`,
      got: this.#failure ?? 'none',
      fix: this.newest
        ? 'make room and go on from the newest checkpoint: --resume auto'
        : 'make room, or choose another folder (--run-dir, runDir)',
    });
  }

  async #written(): Promise<void> {
    for (const { free } of this.#stagings) await free;
  }

  /** Waits for what is still being written, and ends the writer. */
  async close(): Promise<void> {
    try {
      await this.#written();
    } finally {
      await this.#writer.close();
    }
  }

  #report(outcome: SaveOutcome, pauseMs: number): void {
    if (outcome.ok) {
      const { step, path, bytes, seconds } = outcome;
      this.#log.checkpoint({ step, path, bytes, pauseMs, seconds });
      this.newest = outcome.path;
      if (outcome.problem) this.#log.note(`an old checkpoint could not be deleted: ${outcome.problem}`);
      return;
    }
    if (this.#savedStep === outcome.step) this.#savedStep = -1; // not saved: the next occasion tries again
    this.#failure = outcome.reason.message;
    this.#log.note(`checkpoint of step ${outcome.step} was not written (${this.#failure}): ${this.#next}`);
  }

  /** The one that is not the restore point. */
  #stagingToUse(): { memory: SharedArrayBuffer; free: Promise<unknown> } {
    const newest = this.#recovery.restorePoint?.staging;
    const other = this.#stagings.find((s) => s.memory !== newest);
    return other ?? this.#makeStaging();
  }

  #makeStaging() {
    const made = { memory: new SharedArrayBuffer(snapshotBytes(this.#run.session)), free: Promise.resolve() };
    adviseHugePages(made.memory); // a first touch in 4 KiB pages takes longer than the copy
    const bytes = new Uint8Array(made.memory);
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) bytes[at] = 0;
    this.#stagings.push(made);
    return made;
  }
}
