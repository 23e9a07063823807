/**
 * A clock that stands still while this process does not run: stopped, asleep with its laptop, starved by its machine. What others owe
 * us is measured by it, for they cannot be late with what we did not listen to. It notices by a beat that comes late: of a gap it counts at
 * most two beats.
 */
export class AwakeClock {
  readonly #beatMs: number;
  readonly #timer: NodeJS.Timeout;
  #awakeMs = 0;
  #at = performance.now();

  /** `onBeat` is called at every beat. Does not keep the process alive. */
  constructor(beatMs: number, onBeat: () => void = () => undefined) {
    this.#beatMs = beatMs;
    this.#timer = setInterval(() => {
      this.#awakeMs = this.now();
      this.#at = performance.now();
      onBeat();
    }, beatMs).unref();
  }

  /** Milliseconds since it was made in which this process ran. */
  now(): number {
    return this.#awakeMs + Math.min(performance.now() - this.#at, 2 * this.#beatMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
