import { ChunkedNumbers } from './chunks.ts';
import type { ScratchFile } from './scratch-file.ts';

type Numbers = Int32Array | Float32Array | Float64Array;

/** A list of numbers that grows at its end. */
export interface NumberList {
  readonly length: number;
  push(value: number): void;
  at(index: number): number;
}

/** Where the lists of a table are kept: in memory, or on disk. */
export interface ListMaker {
  i32(): NumberList;
  f32(): NumberList;
  f64(): NumberList;
}

export const LISTS_IN_MEMORY: ListMaker = {
  i32: () => new ChunkedNumbers((n) => new Int32Array(n)),
  f32: () => new ChunkedNumbers((n) => new Float32Array(n)),
  f64: () => new ChunkedNumbers((n) => new Float64Array(n)),
};

/** Moves a list in memory into `out`: it is empty then. */
export function drain<B extends Numbers>(list: NumberList, out: B): B {
  if (!(list instanceof ChunkedNumbers)) throw new TypeError('drain: a list on disk');
  return list.drainInto(out);
}

/**
 * A growing list of numbers in a scratch file, with one piece of it in memory: for reading in ascending order, as fitting and encoding do.
 */
export class SpilledNumbers<A extends Numbers> implements NumberList {
  readonly #file: ScratchFile;
  /** The last piece while it grows. */
  readonly #tail: A;
  /** The piece that was read last. */
  readonly #piece: A;
  #pieceIndex = -1;
  readonly #places: number[] = [];
  #length = 0;

  /** `tail` and `piece`: two arrays of the same length, the numbers that are in memory. */
  constructor(file: ScratchFile, tail: A, piece: A) {
    this.#file = file;
    this.#tail = tail;
    this.#piece = piece;
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const size = this.#tail.length;
    this.#tail[this.#length % size] = value;
    this.#length += 1;
    if (this.#length % size !== 0) return;
    const place = this.#file.allocate(this.#tail.byteLength);
    this.#file.write(this.#tail, place);
    this.#places.push(place);
  }

  at(index: number): number {
    const size = this.#tail.length;
    const piece = Math.floor(index / size);
    const offset = index - piece * size;
    if (piece === this.#places.length) return this.#tail[offset];
    if (piece !== this.#pieceIndex) {
      this.#file.read(this.#piece, this.#places[piece]);
      this.#pieceIndex = piece;
    }
    return this.#piece[offset];
  }
}

/** Lists on disk that keep about `bytes` of memory, all `columns` of them together. */
export function spilledLists(file: ScratchFile, columns: number, bytes: number): ListMaker {
  const length = Math.max(256, Math.min(65_536, Math.floor(bytes / (columns * 2 * 8))));
  return {
    i32: () => new SpilledNumbers(file, new Int32Array(length), new Int32Array(length)),
    f32: () => new SpilledNumbers(file, new Float32Array(length), new Float32Array(length)),
    f64: () => new SpilledNumbers(file, new Float64Array(length), new Float64Array(length)),
  };
}
