/**
 * Time stamps (ms, `performance.now`) of one step on one worker. `gather` and `forward` are durations, added up over the shards;
 * `backward` is when the backward pass of the shard in hand began.
 */
export const PHASE = {
  start: 0,
  computed: 1,
  gathered: 2,
  reduced: 3,
  normed: 4,
  updated: 5,
  done: 6,
  gather: 7,
  forward: 8,
  backward: 9,
} as const;
export const TIMING_SLOTS = 10;

export function mark(timings: Float64Array, phase: number): void {
  timings[phase] = performance.now();
}

/** The first mark of a step. */
export function markStart(timings: Float64Array): void {
  timings[PHASE.gather] = 0;
  timings[PHASE.forward] = 0;
  mark(timings, PHASE.start);
}
