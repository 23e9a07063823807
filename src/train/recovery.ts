import { LockstepError } from '../errors.ts';
import { newClipDecision } from '../optim/clip.ts';
import { CONTROL_WORDS } from '../parallel/control.ts';
import { batchesOf } from '../parallel/inner-steps.ts';
import { LOST } from '../parallel/pool.ts';
import { progressWidth, readProgress } from '../parallel/progress.ts';
import { RECORD_SUMS, RecordRing, RING_CAPACITY } from '../parallel/record-ring.ts';
import { Recorder } from '../parallel/recorder.ts';
import { gatheredSums, noteReplica, roundWordsOf } from '../parallel/rounds.ts';
import { epochWords } from '../parallel/row-memory.ts';
import { takeUpStatistics } from '../parallel/running-statistics.ts';
import type { WorkerReport } from '../parallel/session.ts';
import { hasReplica } from '../parallel/snapshot.ts';
import { planGathered, planStep } from '../parallel/step-plan.ts';
import { TIMING_SLOTS } from '../parallel/timings.ts';
import { samplerOf } from '../parallel/windows.ts';
import type { OpenRun } from './open-run.ts';
import { placeParameters, placeState, type StartPoint } from './resume.ts';
import type { RunLog } from './run-log.ts';

/** A state of the run to go back to: the bytes of a snapshot and where the optimizer stood. */
export interface RestorePoint {
  readonly step: number;
  readonly staging: SharedArrayBuffer;
  /** One place of progress.ts. */
  readonly progress: Float64Array;
}

/** An odd epoch: in the middle of an update. */
const TORN = 1;

/** Losses of threads without a new step in between after which the run gives up: what every new thread meets is no accident. */
const MOST_ATTEMPTS = 3;

/**
 * Trains through the deaths of workers. A step reads only what earlier steps wrote until its update begins, so a death before
 * that costs the step's time: new threads do it again. A death during the update may leave a torn block; then the last
 * restore point (or the state that the run started from) is taken up and the steps since are replayed. The bytes are those of an
 * undisturbed run either way.
 */
export class Recovery {
  /** Newest restore point; none: the state that the run started from. */
  restorePoint: RestorePoint | undefined;
  readonly #run: OpenRun;
  readonly #log: RunLog;
  readonly #start: StartPoint | undefined;
  /** The furthest step of the run at the last failure. */
  #reached = -1;
  #attempts = 0;

  /** `start`: what the run started from, if not from initial values. */
  constructor(run: OpenRun, log: RunLog, start: StartPoint | undefined) {
    this.#run = run;
    this.#log = log;
    this.#start = start;
  }

  /** Runs steps `from` to `to` (fewer after a requested stop); throws when a failure comes again and again. */
  async train(from: number, to: number, stopRequested: () => boolean): Promise<WorkerReport[]> {
    return this.#retry(async (committed) => {
      const training = this.#run.pool.train(committed + 1, to);
      if (stopRequested()) this.#run.pool.requestStop();
      return training;
    }, from - 1);
  }

  /** Anything else that all workers do between two steps and that may be done twice. */
  async between(step: number, work: () => Promise<WorkerReport[]>): Promise<WorkerReport[]> {
    return this.#retry(async (committed) => {
      if (committed < step) await this.#run.pool.train(committed + 1, step);
      return work();
    }, step);
  }

  async #retry(work: (committed: number) => Promise<WorkerReport[]>, committed: number): Promise<WorkerReport[]> {
    let stands = committed;
    for (;;) {
      try {
        return await work(stands);
      } catch (error) {
        stands = await this.#recoverThrough(error);
      }
    }
  }

  /** Threads may be lost while others are being replaced. */
  async #recoverThrough(first: unknown): Promise<number> {
    let error = first;
    for (;;) {
      try {
        return await this.#recover(error);
      } catch (next) {
        if (next === error) throw error; // it gave up
        error = next;
      }
    }
  }

  /** Brings new threads to a whole state and gives the step as of which it is; throws `error` when that is no use. */
  async #recover(error: unknown): Promise<number> {
    if (!(error instanceof LockstepError) || error.code !== 'E_WORKER') throw error;
    this.#log.drain();
    const committed = this.#committedStep();
    const reached = Math.max(this.#log.lastStep, committed ?? 0);
    if (reached > this.#reached) this.#attempts = 0;
    this.#reached = reached;
    this.#attempts += 1;
    if (this.#attempts >= MOST_ATTEMPTS) throw error;

    const what = error.detail.where === LOST ? 'a worker was lost' : `${error.detail.where} failed`;
    if (committed !== undefined) {
      if (committed > this.#log.lastStep) this.#recordAgain(committed);
      this.#log.note(`${what} after step ${committed} (${error.detail.got}): new threads go on from there`, 'lost');
      await this.#restart(committed);
      return committed;
    }
    const point = this.restorePoint;
    const resumed = this.#start?.warm ? undefined : this.#start?.checkpoint;
    const step = point?.step ?? resumed?.step ?? 0;
    this.#log.note(`${what} during an update (${error.detail.got}): replaying from step ${step}`, 'lost');
    this.#epochs().fill(TORN); // until the state is whole, whatever happens meanwhile
    if (point) this.#progressPlaces().set(point.progress, (step % 2) * point.progress.length);
    else if (resumed) placeState(this.#run.session, resumed);
    await this.#restart(step);
    const { session } = this.#run;
    if (point) {
      await this.#run.pool.copyState('restore', point.staging);
      takeUpStatistics(session, step);
    }
    if (hasReplica(session) && (point || !resumed)) noteReplica(roundWordsOf(session), point && step);
    this.#epochs().fill(2 * step);
    return step;
  }

  /** New threads for the state after `step`: it lies in the arena, or, at step 0, is made again as at the start. */
  async #restart(step: number): Promise<void> {
    await this.#run.pool.restart(step);
    if (step === 0 && this.#start?.warm) placeParameters(this.#run.session, this.#start.checkpoint);
  }

  /** The step as of which all blocks are; undefined when the update was torn. */
  #committedStep(): number | undefined {
    const epochs = this.#epochs();
    const first = epochs[0];
    if (first % 2 !== 0 || epochs.some((epoch) => epoch !== first)) return undefined;
    const step = first / 2;
    return step === 0 || readProgress(this.#progressPlaces(), step, this.#stateNames()) ? step : undefined;
  }

  /** Rank 0 died between the update and the end of the step: its record, if it is not written, follows from what is in the arena. */
  #recordAgain(t: number): void {
    const { session } = this.#run;
    const { layout, shards, sums, memory } = session;
    const { buffer } = memory;
    const control = new Int32Array(buffer, layout.control, CONTROL_WORDS);
    const ring = new RecordRing(
      new Float64Array(buffer, layout.ring, RING_CAPACITY * (RECORD_SUMS + sums.length)),
      control,
    );
    const recorder = new Recorder(ring, control);
    if (!recorder.resume(t)) {
      const batches = batchesOf(session, samplerOf(session), t);
      const plan =
        session.part === 'coordinator'
          ? planGathered(session, batches, gatheredSums(session, roundWordsOf(session)))
          : planStep(session, 0, batches[0]);
      const shardSums = new Float64Array(buffer, layout.shardSums, shards * sums.length);
      const progress = readProgress(this.#progressPlaces(), t, this.#stateNames());
      if (!progress) throw new RangeError(`no progress of step ${t}`);
      const { lr, gradNorm, clipScale, skipped } = progress.outcome;
      const decision = { ...newClipDecision(), action: skipped ? 'skip' : 'update', gradNorm, clipScale } as const;
      recorder.write(t, plan, { decision, shardSums, shards, lr });
    }
    recorder.publish(new Float64Array(TIMING_SLOTS));
    this.#log.drain();
  }

  #epochs(): Int32Array {
    const { session } = this.#run;
    return new Int32Array(session.memory.buffer, session.layout.epochs, epochWords(session.blocks, session.rowTables));
  }

  #progressPlaces(): Float64Array {
    const { session } = this.#run;
    return new Float64Array(session.memory.buffer, session.layout.progress, 2 * progressWidth(this.#stateNames()));
  }

  #stateNames(): readonly string[] {
    return this.#run.session.progressNames;
  }
}
