/** Time stamps (ms) of one step on one worker; `gather` accumulates over shards. */
export const PHASE = {
  start: 0,
  computed: 1,
  gathered: 2,
  reduced: 3,
  normed: 4,
  updated: 5,
  done: 6,
  gather: 7,
} as const;
export const TIMING_SLOTS = 8;

export function mark(timings: Float64Array, phase: number): void {
  timings[phase] = performance.now();
}
