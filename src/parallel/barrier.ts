/** Thrown out of a wait when the run was aborted by somebody else; the cause is known to the main thread. */
export class AbortedError extends Error {
  constructor() {
    super('aborted');
    this.name = 'AbortedError';
  }
}

/** Words of one barrier in a shared Int32Array, on cache lines of their own. */
export const BARRIER_WORDS = 32;
const COUNT = 0;
const GENERATION = 16;
const POISONED = -1;

/**
 * A barrier for the workers of one node: spins for a short while, then sleeps. A poisoned barrier (see `poison`) throws
 * AbortedError in everyone who waits or comes to wait. The main thread never joins; it only poisons.
 */
export class Barrier {
  readonly #words: Int32Array;
  readonly #participants: number;
  readonly #spins: number;

  /** `words` is BARRIER_WORDS long. `spins`: polls before sleeping; 0 when there are more workers than cores. */
  constructor(words: Int32Array, participants: number, spins: number) {
    this.#words = words;
    this.#participants = participants;
    this.#spins = spins;
  }

  wait(): void {
    const words = this.#words;
    const generation = Atomics.load(words, GENERATION);
    if (generation === POISONED) throw new AbortedError();
    if (Atomics.add(words, COUNT, 1) === this.#participants - 1) {
      Atomics.store(words, COUNT, 0);
      const next = (generation + 1) & 0x7fffffff;
      if (Atomics.compareExchange(words, GENERATION, generation, next) === POISONED) throw new AbortedError();
      Atomics.notify(words, GENERATION);
      return;
    }
    for (let i = 0; i < this.#spins; i++) {
      if (Atomics.load(words, GENERATION) !== generation) break;
    }
    while (Atomics.load(words, GENERATION) === generation) Atomics.wait(words, GENERATION, generation);
    if (Atomics.load(words, GENERATION) === POISONED) throw new AbortedError();
  }
}

/** Wakes everybody at the barrier with AbortedError, now and from now on. Callable from any thread, never blocks. */
export function poison(words: Int32Array): void {
  Atomics.store(words, GENERATION, POISONED);
  Atomics.notify(words, GENERATION);
}

export function isPoisoned(words: Int32Array): boolean {
  return Atomics.load(words, GENERATION) === POISONED;
}
