import { PHASE } from './timings.ts';

/**
 * The timeline: what every worker did when in its last steps. A ring for each worker in the arena, written by that worker at the end
 * of a step, read by the main thread (or anybody who sees the arena) without stopping anyone: each record carries its step as a
 * sequence word, and one that is overwritten while it is read is left out.
 */
export interface WorkerStep {
  readonly rank: number;
  readonly step: number;
  /** Milliseconds on the machine's monotonic clock (`process.hrtime`): the same for all threads and processes of a machine. */
  readonly start: number;
  /** Own shards forward and backward are done; then the wait for everybody's. */
  readonly computed: number;
  readonly gathered: number;
  /** Own blocks are added up; then the wait for all norms. */
  readonly reduced: number;
  readonly normed: number;
  /** Own blocks are updated; then the wait until all parameters may be read. */
  readonly updated: number;
  readonly done: number;
  /** Durations between `start` and `computed`, added up over the shards. */
  readonly gatherMs: number;
  readonly forwardMs: number;
}

/**
 * What the main thread of a coordinator or a node did in a round of several machines, on the same clock. A coordinator makes frames of the
 * parameters, sends them, waits, receives sums; a node receives parameters, waits for its workers, makes frames of their sums, sends them.
 */
export interface RoundTimes {
  readonly step: number;
  readonly spans: readonly RoundSpan[];
}

export interface RoundSpan {
  readonly name: 'serialise' | 'send' | 'wait' | 'receive';
  readonly start: number;
  readonly end: number;
}

/** Steps that a worker's ring holds: more than the main thread lets pass between two looks. */
export const TIMELINE_STEPS = 2048;

/** Doubles of a record: the step as an i32 word, the stamps, the durations; two cache lines. */
const WIDTH = 16;
export const TIMELINE_BYTES = 8 * WIDTH * TIMELINE_STEPS;

const STAMPS = ['start', 'computed', 'gathered', 'reduced', 'normed', 'updated', 'done'] as const;
const DURATIONS = [
  ['gatherMs', PHASE.gather],
  ['forwardMs', PHASE.forward],
] as const;

/** A worker's pen. */
export class TimelinePen {
  readonly #values: Float64Array;
  readonly #words: Int32Array;
  /** From this thread's `performance.now` to the machine's clock. */
  readonly #offset = clockOffset();

  constructor(buffer: ArrayBufferLike, address: number) {
    this.#values = new Float64Array(buffer, address, WIDTH * TIMELINE_STEPS);
    this.#words = new Int32Array(buffer, address, 2 * WIDTH * TIMELINE_STEPS);
  }

  /** Writes down step t, whose marks are all made. */
  write(t: number, timings: Float64Array): void {
    const values = this.#values;
    const at = WIDTH * (t % TIMELINE_STEPS);
    Atomics.store(this.#words, 2 * at, -t); // being written
    for (let i = 0; i < STAMPS.length; i++) values[at + 1 + i] = timings[i] + this.#offset;
    for (let i = 0; i < DURATIONS.length; i++) values[at + 1 + STAMPS.length + i] = timings[DURATIONS[i][1]];
    Atomics.store(this.#words, 2 * at, t);
  }
}

/** Reads the rings of all workers. It keeps its own place, so readers take nothing away from each other. */
export class TimelineReader {
  readonly #rings: readonly { readonly values: Float64Array; readonly words: Int32Array; next: number }[];

  /** @param addresses of the workers' rings, by rank. */
  constructor(buffer: ArrayBufferLike, addresses: readonly number[]) {
    this.#rings = addresses.map((address) => ({
      values: new Float64Array(buffer, address, WIDTH * TIMELINE_STEPS),
      words: new Int32Array(buffer, address, 2 * WIDTH * TIMELINE_STEPS),
      next: 1,
    }));
  }

  /** Goes on with the steps after `step`, whatever lies there of them or of earlier ones. */
  startAfter(step: number): void {
    for (const ring of this.#rings) ring.next = step + 1;
  }

  /** What was written since the last time of the steps up to `to`, by step, then rank. Steps that were overwritten are missing. */
  drain(to: number): WorkerStep[] {
    const steps: WorkerStep[] = [];
    for (const [rank, ring] of this.#rings.entries()) {
      ring.next = Math.max(ring.next, to - TIMELINE_STEPS + 1);
      for (; ring.next <= to; ring.next++) {
        const word = Atomics.load(ring.words, 2 * WIDTH * (ring.next % TIMELINE_STEPS));
        if (Math.abs(word) < ring.next || word === -ring.next) break; // not written yet
        const step = this.#at(rank, ring.next);
        if (step !== undefined) steps.push(step);
      }
    }
    return steps.sort((a, b) => a.step - b.step || a.rank - b.rank);
  }

  #at(rank: number, t: number): WorkerStep | undefined {
    const { values, words } = this.#rings[rank];
    const at = WIDTH * (t % TIMELINE_STEPS);
    if (Atomics.load(words, 2 * at) !== t) return undefined;
    const [start, computed, gathered, reduced, normed, updated, done, gatherMs, forwardMs] = values.subarray(
      at + 1,
      at + WIDTH,
    );
    if (Atomics.load(words, 2 * at) !== t) return undefined;
    return { rank, step: t, start, computed, gathered, reduced, normed, updated, done, gatherMs, forwardMs };
  }
}

/** The names of the phases of a step on one worker, in order. */
export const PHASES = [
  'gather',
  'forward',
  'backward',
  'waitGradients',
  'reduce',
  'waitNorms',
  'update',
  'waitParameters',
] as const;
export type PhaseName = (typeof PHASES)[number];

/** Milliseconds of each phase; their sum is the time of the step. Rank 0 keeps the records in the last wait. */
export function phasesOf(step: WorkerStep): Record<PhaseName, number> {
  const { start, computed, gathered, reduced, normed, updated, done, gatherMs, forwardMs } = step;
  return {
    gather: gatherMs,
    forward: forwardMs,
    backward: computed - start - gatherMs - forwardMs,
    waitGradients: gathered - computed,
    reduce: reduced - gathered,
    waitNorms: normed - reduced,
    update: updated - normed,
    waitParameters: done - updated,
  };
}

/** The machine's monotonic clock minus this thread's `performance.now`, from the quickest of some looks at both. */
export function clockOffset(): number {
  let best = Number.POSITIVE_INFINITY;
  let offset = 0;
  for (let i = 0; i < 8; i++) {
    const before = performance.now();
    const clock = Number(process.hrtime.bigint()) / 1e6;
    const after = performance.now();
    if (after - before >= best) continue;
    best = after - before;
    offset = clock - (before + after) / 2;
  }
  return offset;
}
