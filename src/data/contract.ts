import type { Augmentation, Augmentations } from './augmentation.ts';
import type { BlockPlan } from './block-sampler.ts';
import type { SparseRows } from './raw.ts';
import type { ScratchFile } from './scratch-file.ts';

/**
 * The contract of this folder. A source describes data lazily: importing a job reads nothing. `load` gives a table of
 * columns; the split is made, transforms are fitted on the training rows only, and encoded splits go to the workers.
 */
export type FieldType = 'f32' | 'i32';
/** Field names with their element types; carried in the types so that a wrong name in a model does not compile. */
export type Fields = Record<string, FieldType>;

/** What a model may know about a field before it is built. */
export interface FieldInfo {
  readonly name: string;
  readonly dtype: FieldType;
  /** Shape of one row: [] is a scalar, [28, 28] an image. */
  readonly shape: readonly number[];
  /** For i32 fields: number of distinct values (largest + 1), so indices are in [0, size). Absent for f32. */
  readonly size?: number;
  /** Names of the classes, by label, where the data has them. */
  readonly classNames?: readonly string[];
}

/** Elements as stored, u8 for images; `gather` turns rows into f32/i32 and applies scale and shift (x * scale + shift). */
export interface Column extends FieldInfo {
  /** rows * product(shape) elements in a SharedArrayBuffer; with `stride` as many as the last row reaches. */
  readonly data: Uint8Array | Float32Array | Int32Array;
  /** Elements from one row to the next, where that is not product(shape): rows overlap (windows of a text). Not for u8. */
  readonly stride?: number;
  /** For u8 columns: f32 value = byte * scale + shift. 1 and 0 elsewhere. */
  readonly scale: number;
  readonly shift: number;
}

/** A column of vectors that are mostly zero; `gather` makes dense rows of it. */
export interface SparseColumn extends FieldInfo, SparseRows {}

/** Elements from one row of a column to the next. */
export function strideOf({ shape, stride }: Pick<Column, 'shape' | 'stride'>): number {
  return stride ?? shape.reduce((a, b) => a * b, 1);
}

/** Rows in memory, ready to train on: already encoded by the fitted transforms. */
export interface Table {
  readonly kind: 'table';
  readonly size: number;
  readonly columns: readonly Column[];
  /** Columns of which only what is not zero is kept. Default: none. */
  readonly sparse?: readonly SparseColumn[];
  /** Rows of the source that these are, for messages; absent: 0..size-1. */
  readonly ids?: Int32Array;
}

/** Rows that user code computes in the workers (`dataset(...)`): pure in id and rng. */
export interface Computed {
  readonly kind: 'computed';
  readonly size: number;
  readonly fields: readonly FieldInfo[];
  /** Where workers import `read` from: module URL and path in its exports, filled in by the trainer. */
  readonly read: ComputedRead;
  /** Row ids of this split in order; absent: 0..size-1. */
  readonly ids?: Int32Array;
}

/** Writes row `id` into `out` (one typed array per field, of one row's size, zeros beforehand) before it returns. `random()` is uniform in [0,1), keyed by seed, epoch and id. */
export type ComputedRead = (id: number, out: Record<string, Float32Array | Int32Array>, random: () => number) => void;

/** A column of rows on disk: as `Column`, but for where its elements are. */
export interface StreamedColumn extends FieldInfo {
  readonly elements: 'u8' | 'i32' | 'f32';
  /** As that of a `Column`: rows overlap. */
  readonly stride?: number;
  /** Where they begin in the file, in bytes. */
  readonly offset: number;
  readonly scale: number;
  readonly shift: number;
}

/** A sparse column of rows on disk: where its three lists (as in `SparseRows`) begin in the file, in bytes. */
export interface StreamedSparse extends FieldInfo {
  readonly pointers: number;
  readonly indices: number;
  readonly values: number;
  /** Of all rows. */
  readonly nonZero: number;
  /** The most that one window can have. */
  readonly windowValues: number;
}

/** Rows that do not fit into memory: encoded, in a file without a name, read in blocks while the run goes on. */
export interface Streamed {
  readonly kind: 'streamed';
  readonly size: number;
  readonly columns: readonly StreamedColumn[];
  /** Default: none. */
  readonly sparse?: readonly StreamedSparse[];
  readonly file: ScratchFile;
  readonly blocks: BlockPlan;
  /** What the source allows, in bytes. */
  readonly memory: number;
}

export type Split = Table | Computed | Streamed;

/** Train, and what else there is. Fields and transforms are the same in all. */
export interface LoadedData {
  readonly fields: readonly FieldInfo[];
  readonly train: Split;
  readonly validation?: Split;
  readonly test?: Split;
  /** Random changes to training rows, by field. */
  readonly augment?: Augmentations;
  /** Fitted on train only; plain data, kept with the model; turns a raw row into fields. */
  readonly transforms: readonly FittedTransform[];
  /** The first training rows as they were before the transforms, by column: what a user of the model gives it. */
  readonly examples?: readonly Readonly<Record<string, unknown>>[];
}

/** One fitted step from raw columns to a field, as plain data (src/data/transforms.ts lists the kinds). */
export interface FittedTransform {
  readonly kind: string;
  readonly [option: string]: unknown;
}

/** A lazy description of data, plain but for custom functions. `F` is known to the types only. */
export interface Source<F extends Fields = Fields> {
  readonly kind: string;
  /** Never present; carries F. */
  readonly __fields?: F;
  readonly [option: string]: unknown;
}

/** The `data` of a job. */
export interface DataSpec<F extends Fields = Fields> {
  readonly train: Source<F>;
  /** A fraction of train (0..1, chosen by seed), or a source of its own. */
  readonly validation?: number | Source<F>;
  readonly test?: number | Source<F>;
  /** Random changes to training rows, by field. */
  readonly augment?: { readonly [K in keyof F]?: Augmentation };
}

export interface LoadOptions {
  readonly seed: number;
  /** Relative paths in sources are resolved against this folder (the job's; else the current one). */
  readonly baseDir: string;
  readonly signal?: AbortSignal;
}
