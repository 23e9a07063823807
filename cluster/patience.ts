/** A step's deadline by itself: so many times the longest so far, and at least so long; the first may compile and warm up. */
const PATIENCE = 20;
const SHORTEST_DEADLINE_MS = 60_000;
const FIRST_DEADLINE_MS = 600_000;
/** When a round takes so many times as long as usual, who is late is said. */
const LATE = 5;
const LATE_AT_LEAST_MS = 2_000;

/** How long members may take for their shards of a round: as told, or learnt from how long they took. In milliseconds; pure. */
export class Patience {
  readonly #stepMs: number;
  #longestMs = 0;

  /** `stepMs`: as told; 0: learnt. */
  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  /** A member took so long. */
  learn(ms: number): void {
    this.#longestMs = Math.max(this.#longestMs, ms);
  }

  /** Whoever takes longer is given up. */
  get deadlineMs(): number {
    if (this.#stepMs > 0) return this.#stepMs;
    return this.#longestMs === 0 ? FIRST_DEADLINE_MS : Math.max(SHORTEST_DEADLINE_MS, PATIENCE * this.#longestMs);
  }

  /** Whoever takes longer is named. */
  get usualMs(): number {
    return Math.max(LATE_AT_LEAST_MS, LATE * this.#longestMs);
  }
}
