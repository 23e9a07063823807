import { LockstepError } from '../errors.ts';
import type { Session } from '../parallel/session.ts';
import { TIMELINE_STEPS, TimelineReader } from '../parallel/timeline.ts';
import type { StepRecord } from '../record/contract.ts';
import { Controls } from '../train/controls.ts';
import type { TrainOptions, TrainResult } from '../train/options.ts';
import { readParameters } from '../train/read-parameters.ts';
import type { OnOpen } from '../train/train.ts';
import type { KeptPoint, NodeStep } from './contract.ts';

/** Steps of a run that is kept: more than anybody waits for. */
export const KEPT_STEPS = 2 ** 24;

/** Starts a run with these options; `onOpen` is to be called when its workers are there. */
export type StartRun = (
  options: Pick<TrainOptions, 'controls' | 'onProgress'>,
  onOpen: OnOpen,
) => Promise<Pick<TrainResult, 'step'>>;

/** One run of the trainer, which is made to wait between slices by the button that stops it after a step. */
export class KeptRun implements KeptPoint {
  readonly #start: StartRun;
  readonly #batch: number;
  readonly #processes: number;
  readonly #controls = new Controls();
  #training: Promise<never> | undefined;
  #session: Session | undefined;
  #target = 0;
  #reached = 0;
  #records: StepRecord[] = [];
  #slice = 0;
  #wallMs = 0;

  /** @param batch rows of a whole batch. @param processes that hold about as much as this one, itself included. */
  constructor(start: StartRun, batch: number, processes = 1) {
    this.#start = start;
    this.#batch = batch;
    this.#processes = processes;
  }

  async run(steps: number): Promise<readonly number[]> {
    this.#records = [];
    this.#slice = steps;
    this.#target += steps;
    this.#controls.pauseAfter(this.#target);
    const paused = this.#pause();
    const start = performance.now();
    if (this.#training === undefined) {
      this.#training = this.#train();
      this.#training.catch(() => undefined); // it may fail while nobody waits: the next slice hears of it
    } else this.#controls.resume();
    await Promise.race([paused, this.#training]);
    this.#wallMs = performance.now() - start;
    return this.#records.map(({ timings }) => timings.stepMs);
  }

  /** Of the last slice: the steps with a whole batch. */
  get records(): readonly StepRecord[] {
    return this.#records;
  }

  /** How long it took, waking up and waiting included. */
  get wallMs(): number {
    return this.#wallMs;
  }

  get shards(): number {
    return this.#opened.shards;
  }

  hash(): string {
    return readParameters(this.#opened).sha256;
  }

  async timeline(): Promise<readonly NodeStep[]> {
    const { memory, layout } = this.#opened;
    const reader = new TimelineReader(memory.buffer, layout.timelines);
    reader.startAfter(this.#reached - Math.min(this.#slice, TIMELINE_STEPS - 1));
    return reader.drain(this.#reached);
  }

  get bytes(): number {
    return this.#session === undefined ? 0 : this.#processes * this.#session.memory.buffer.byteLength;
  }

  async close(): Promise<void> {
    this.#controls.stop();
    await this.#training?.catch(() => undefined); // whoever ran it has heard
  }

  get #opened(): Session {
    if (this.#session === undefined) throw new RangeError('kept run: nothing was run yet');
    return this.#session;
  }

  /** Never resolves: a run that is over cannot go on. */
  async #train(): Promise<never> {
    await this.#start(
      {
        controls: this.#controls,
        onProgress: (event) => {
          if (event.kind !== 'steps') return;
          for (const record of event.records) {
            this.#reached = record.step;
            if (record.samples === this.#batch) this.#records.push(record);
          }
        },
      },
      async ({ session }) => {
        this.#session = session;
        return {};
      },
    );
    throw new LockstepError('E_ABORTED', {
      where: 'lockstep scale',
      expected: 'to measure to the end',
      got: 'a stop',
      fix: 'run it again; fewer --rounds or --seconds take less time',
    });
  }

  /** Resolves when the workers wait after the last step of the slice. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const off = this.#controls.onChange(() => {
        if (this.#controls.state !== 'paused' || this.#reached < this.#target) return;
        off();
        resolve();
      });
    });
  }
}
