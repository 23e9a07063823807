import type { PagedColumn } from './paged.ts';
import type { ScratchFile } from './scratch-file.ts';
import type { NumberList } from './spilled.ts';
import type { TokenKind } from './tokens.ts';

/**
 * What a source gives before anything is fitted: columns by name, and for each row a place that a person can find. Splitting,
 * fitting and encoding work on this, whatever the source was.
 */
export interface RawTable {
  readonly size: number;
  readonly columns: ReadonlyMap<string, RawColumn>;
  /** "iris.csv line 7, column "age"", "train-labels item 17": where a value of this row stands. */
  readonly place: Place;
  /** Set where the columns lie on disk. */
  readonly spill?: Spill;
  /** Gives the memory of the columns back: nobody looks at them any more. */
  release?(): void;
}

/** The file of columns that lie on disk, and the memory that the source allows, in bytes. */
export interface Spill {
  readonly file: ScratchFile;
  readonly memory: number;
}

export interface Place {
  (row: number, column: string): string;
  /** What to do about a value there, where the source offers more than to correct it. */
  readonly advice?: { readonly missing: string; readonly wrong: string };
}

export type RawColumn = TensorColumn | CellColumn | PagedColumn | SparseTensor | PagedSparse | WindowColumn;

export type RawArray = Uint8Array | Int32Array | Float32Array | Float64Array;

/** Numbers of a fixed shape a row. Float64Array where the numbers are still to be normalised. */
export interface TensorColumn {
  readonly kind: 'tensor';
  readonly shape: readonly number[];
  /** rows * product(shape). Used in place, not copied, if it lies in a SharedArrayBuffer and no row is left out. */
  readonly data: RawArray;
}

/** Rows of numbers, most of them zero: row i has values[k] at indices[k] for k from pointers[i] up to pointers[i + 1]. */
export interface SparseRows {
  readonly pointers: Int32Array;
  readonly indices: Int32Array;
  readonly values: Float32Array;
}

export interface SparseTensor extends SparseRows {
  readonly kind: 'sparse';
  /** Elements of a row. */
  readonly shape: readonly [number];
  /** The index by which the source calls element 0. */
  readonly base: number;
}

/** The same on disk. Row i has the values from ends[i - 1] up to ends[i]; read in ascending order. */
export interface PagedSparse {
  readonly kind: 'pagedSparse';
  readonly shape: readonly [number];
  readonly base: number;
  readonly ends: Pick<NumberList, 'at'>;
  readonly indices: Pick<NumberList, 'at'>;
  readonly values: Pick<NumberList, 'at'>;
}

/** Overlapping stretches of one text: row r is the `length` tokens from `from + r * stride` on. */
export interface WindowColumn {
  readonly kind: 'windows';
  /** Of the whole text, as places in `dictionary`. */
  readonly tokens: Pick<NumberList, 'length' | 'at'>;
  readonly dictionary: readonly string[];
  readonly unit: TokenKind;
  readonly from: number;
  /** Behind the last token of this part of the text. */
  readonly end: number;
  readonly length: number;
  readonly stride: number;
  /** Where token i stands, for messages. */
  readonly where: (token: number) => string;
}

/** Cells of a text table: text, a number (already parsed from text) or nothing. */
export interface CellColumn {
  readonly kind: 'cells';
  at(row: number): Cell;
}

export type Cell = string | number | boolean | undefined;

/** A typed array over a new SharedArrayBuffer. */
export function sharedArray(type: 'u8', length: number): Uint8Array;
export function sharedArray(type: 'f32', length: number): Float32Array;
export function sharedArray(type: 'i32', length: number): Int32Array;
export function sharedArray(type: 'f32' | 'i32', length: number): Float32Array | Int32Array;
export function sharedArray(type: 'u8' | 'f32' | 'i32', length: number): Uint8Array | Float32Array | Int32Array {
  if (type === 'u8') return new Uint8Array(new SharedArrayBuffer(length));
  const buffer = new SharedArrayBuffer(length * 4);
  return type === 'f32' ? new Float32Array(buffer) : new Int32Array(buffer);
}
