/** Stands for an element before which no gradient ends: nothing is final. */
export const NOT_YET = 0x7fffffff;

/** Words of an EarlySum in shared memory: from where on the sum is made, whether somebody is making it, and how far each worker is. */
const [MADE_FROM, BUSY, REACHED] = [0, 1, 2];

export const earlySumWords = (workers: number): number => REACHED + workers;

/** Before the workers begin on a sum; nobody may be at the one before. */
export function resetEarlySum(words: Int32Array): void {
  words.fill(NOT_YET);
  Atomics.store(words, BUSY, 0);
}

/**
 * The one sum of a node's workers while they are still in their backward passes. Gradients become final from the end of the flat vector on, in
 * each worker at its own time; what is final in all is added up at once, by whoever came there last, so that it can be sent.
 */
export class EarlySum {
  readonly #words: Int32Array;
  readonly #rank: number;
  readonly #make: (from: number, to: number) => void;
  readonly #tell: (from: number) => void;

  /**
   * @param words see `earlySumWords`.
   * @param make adds up the elements of a range in the order of the gradient tree.
   * @param tell hears from where on the sum is made, ever lower.
   */
  constructor(words: Int32Array, rank: number, make: (from: number, to: number) => void, tell: (from: number) => void) {
    this.#words = words;
    this.#rank = rank;
    this.#make = make;
    this.#tell = tell;
  }

  /** From which element on the sum is made. */
  get madeFrom(): number {
    return Atomics.load(this.#words, MADE_FROM);
  }

  /** This worker's gradients are final from an element on; it goes on with others. */
  reached(from: number): void {
    const words = this.#words;
    Atomics.store(words, REACHED + this.#rank, from);
    for (;;) {
      const final = this.#finalFrom();
      if (final === 0 || final >= this.madeFrom) return; // the first layers are left to all workers together
      if (Atomics.compareExchange(words, BUSY, 0, 1) !== 0) return; // whoever is at it looks again
      const made = this.madeFrom;
      if (final < made) {
        this.#make(final, made);
        Atomics.store(words, MADE_FROM, final);
        this.#tell(final);
      }
      Atomics.store(words, BUSY, 0);
    }
  }

  /** This worker has computed all of its shards. */
  finish(): void {
    Atomics.store(this.#words, REACHED + this.#rank, 0);
  }

  #finalFrom(): number {
    let from = 0;
    for (let i = REACHED; i < this.#words.length; i++) from = Math.max(from, Atomics.load(this.#words, i));
    return from;
  }
}
