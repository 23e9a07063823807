import type { RawArray } from './raw.ts';
import type { ScratchFile } from './scratch-file.ts';

export type PagedElements = 'u8' | 'i32' | 'f32' | 'f64';

const BYTES = { u8: 1, i32: 4, f32: 4, f64: 8 } as const;

/**
 * Rows of numbers of a fixed shape in a scratch file, a page of them in memory: a tensor column that is larger than memory. Rows are
 * written in any order and read in ascending order.
 */
export class PagedColumn {
  readonly kind = 'paged';
  readonly shape: readonly number[];
  readonly elements: PagedElements;
  readonly width: number;
  readonly #file: ScratchFile;
  readonly #place: number;
  readonly #rows: number;
  readonly #page: RawArray;
  readonly #pageRows: number;
  /** First row of the page in memory. */
  #first = -1;

  /** `bytes`: memory for the page. */
  constructor(file: ScratchFile, elements: PagedElements, rows: number, shape: readonly number[], bytes: number) {
    this.#file = file;
    this.elements = elements;
    this.shape = shape;
    this.width = shape.reduce((a, b) => a * b, 1);
    this.#rows = rows;
    this.#pageRows = Math.max(1, Math.min(rows, Math.floor(bytes / (this.width * BYTES[elements]))));
    this.#page = makeArray(elements, this.#pageRows * this.width);
    this.#place = file.allocate(rows * this.width * BYTES[elements]);
  }

  /** Writes numbers from element `at` of the column on. */
  write(values: RawArray, at: number): void {
    this.#first = -1;
    this.#file.write(values, this.#place + at * BYTES[this.elements]);
  }

  /** Element `i` of row `row`. */
  at(row: number, i: number): number {
    return this.#page[this.#load(row) + i];
  }

  /** Row `row`; valid until the next call. */
  row(row: number): RawArray {
    const begin = this.#load(row);
    return this.#page.subarray(begin, begin + this.width);
  }

  #load(row: number): number {
    const first = row - (row % this.#pageRows);
    if (first !== this.#first) {
      const count = Math.min(this.#pageRows, this.#rows - first);
      const place = this.#place + first * this.width * BYTES[this.elements];
      this.#file.read(this.#page.subarray(0, count * this.width), place);
      this.#first = first;
    }
    return (row - first) * this.width;
  }
}

export function makeArray(elements: PagedElements, length: number): RawArray {
  switch (elements) {
    case 'u8':
      return new Uint8Array(length);
    case 'i32':
      return new Int32Array(length);
    case 'f32':
      return new Float32Array(length);
    default:
      return new Float64Array(length);
  }
}
