/**
 * Control words: how the main thread talks to free-running workers. The main thread writes requests; rank 0 reads them
 * between two barriers and publishes one decision; everybody obeys the decision after the next barrier. So all workers
 * leave after the same step, whatever the timing. Each word has a cache line of its own.
 */
const LINE = 16;
/** Main -> rank 0: no step beyond this one should start (0 = stop after the step in progress). */
export const REQUESTED_LIMIT = 0 * LINE;
/** Rank 0 -> all: the last step of this segment. */
export const DECIDED_LIMIT = 1 * LINE;
/** Next free index of the record ring (rank 0 writes) and the next to be read (main writes). */
export const RING_WRITE = 2 * LINE;
export const RING_READ = 3 * LINE;
/** Ranks claimed so far. */
export const CLAIMED_RANKS = 4 * LINE;
/** Next evaluation shard that nobody has taken. */
export const NEXT_EVALUATION_SHARD = 5 * LINE;
export const CONTROL_WORDS = 6 * LINE;
