const CHUNK_BITS = 16;
const CHUNK = 1 << CHUNK_BITS;

type Numbers = Int32Array | Float32Array | Float64Array;

/** A growing list of numbers in chunks of 64 Ki: appending never copies what is there, so a long file never takes twice its size. */
export class ChunkedNumbers<A extends Numbers> {
  #chunks: A[] = [];
  #length = 0;
  readonly #make: (length: number) => A;

  /** `make` gives a new typed array of the element type: `(n) => new Int32Array(n)`. */
  constructor(make: (length: number) => A) {
    this.#make = make;
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const offset = this.#length & (CHUNK - 1);
    if (offset === 0) this.#chunks.push(this.#make(CHUNK));
    this.#chunks[this.#chunks.length - 1][offset] = value;
    this.#length += 1;
  }

  at(index: number): number {
    return this.#chunks[Math.floor(index / CHUNK)][index & (CHUNK - 1)];
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    this.#chunks.length = Math.ceil(length / CHUNK);
    this.#length = length;
  }

  /** Moves the numbers into `out` and empties the list, freeing each chunk once it is copied. */
  drainInto<B extends Numbers>(out: B): B {
    for (let c = 0, at = 0; at < this.#length; c++, at += CHUNK) {
      out.set(this.#chunks[c].subarray(0, Math.min(CHUNK, this.#length - at)), at);
      this.#chunks[c] = this.#make(0);
    }
    this.#chunks = [];
    this.#length = 0;
    return out;
  }
}
