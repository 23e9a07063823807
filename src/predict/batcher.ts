import type { Prediction } from './answer.ts';
import type { Scheduler } from './scheduler.ts';

/** What runs batches: `rows` ascending are the sizes it can run. */
export interface BatchRunner {
  readonly sizes: readonly number[];
  /** Makes row `index` of a call row `slot` of the batch of `size` rows. Throws what is wrong with the row. */
  encode(call: Call, index: number, size: number, slot: number): void;
  /** Computes the batch. */
  run(size: number): void;
  /** The answer for a slot of the batch that was computed last. */
  read(size: number, slot: number): Prediction;
}

/** The rows of one `predict`. */
export interface Call {
  readonly rows: readonly unknown[];
  /** Where a row stands, for messages. */
  readonly place: (index: number) => string;
  readonly answers: Prediction[];
  readonly resolve: (answers: Prediction[]) => void;
  readonly reject: (error: unknown) => void;
}

/** At most this long at a time: then others have their turn, and calls that they make join. */
const TURN_MS = 8;

/**
 * Collects calls and computes their rows together: calls made before the turn comes, or while a long one is under way between two
 * turns, share batches. A row that cannot be encoded fails its own call and no other.
 */
export class Batcher {
  readonly #runner: BatchRunner;
  readonly #scheduler: Scheduler;
  readonly #queue: Call[] = [];
  /** Row of the first call that comes next. */
  #next = 0;
  /** Rows that wait, over all calls. */
  #waiting = 0;
  #scheduled = false;

  constructor(runner: BatchRunner, scheduler: Scheduler) {
    this.#runner = runner;
    this.#scheduler = scheduler;
  }

  add(call: Call): void {
    if (call.rows.length === 0) {
      call.resolve([]);
      return;
    }
    this.#queue.push(call);
    this.#waiting += call.rows.length;
    this.#schedule();
  }

  /** Fails everything that waits. */
  close(error: Error): void {
    for (const call of this.#queue.splice(0)) call.reject(error);
    this.#waiting = 0;
    this.#next = 0;
    this.#scheduler.close();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#scheduler.defer(() => {
      this.#scheduled = false;
      const end = performance.now() + TURN_MS;
      while (this.#queue.length > 0 && performance.now() < end) this.#batch();
      if (this.#queue.length > 0) this.#schedule();
    });
  }

  #batch(): void {
    const size = sizeFor(this.#waiting, this.#runner.sizes);
    const taken: { call: Call; index: number }[] = [];
    while (taken.length < size && this.#queue.length > 0) {
      const call = this.#queue[0];
      const index = this.#next;
      try {
        this.#runner.encode(call, index, size, taken.length);
      } catch (error) {
        this.#drop(call, error);
        while (taken.at(-1)?.call === call) taken.pop(); // its slots are written anew
        continue;
      }
      taken.push({ call, index });
      this.#waiting -= 1;
      this.#next += 1;
      if (this.#next === call.rows.length) {
        this.#queue.shift();
        this.#next = 0;
      }
    }
    if (taken.length === 0) return;
    try {
      this.#runner.run(size);
      for (let slot = 0; slot < taken.length; slot++) {
        const { call, index } = taken[slot];
        call.answers.push(this.#runner.read(size, slot));
        if (index === call.rows.length - 1) call.resolve(call.answers);
      }
    } catch (error) {
      this.#fail(taken, error);
    }
  }

  /** The batch could not be computed, which no row is to blame for: out of this turn nobody could catch it. */
  #fail(taken: readonly { readonly call: Call }[], error: unknown): void {
    for (const { call } of taken) call.reject(error);
    if (taken.at(-1)?.call === this.#queue[0]) this.#drop(this.#queue[0], error);
  }

  /** The first call of the queue fails as a whole. */
  #drop(call: Call, error: unknown): void {
    this.#queue.shift();
    this.#waiting -= call.rows.length - this.#next;
    this.#next = 0;
    call.reject(error);
  }
}

/**
 * The size of the next batch for so many rows: the smallest that holds them if they fill at least half of it, else the next
 * smaller one. What is left of it is computed for nothing, which costs less than rows one by one.
 */
export function sizeFor(waiting: number, sizes: readonly number[]): number {
  for (let i = sizes.length - 1; i > 0; i--) if (2 * waiting >= sizes[i]) return sizes[i];
  return sizes[0];
}
