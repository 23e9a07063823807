/** `lockstep/data`: sources of rows, their options, and the encoding of one raw row. */
export { type ArrayField, type ArraysOptions, arrays, type Nested } from './arrays.ts';
export type { Augmentation } from './augmentation.ts';
export type {
  Column,
  Computed,
  ComputedRead,
  DataSpec,
  FieldInfo,
  Fields,
  FieldType,
  FittedTransform,
  LoadedData,
  LoadOptions,
  Source,
  SparseColumn,
  Split,
  Streamed,
  StreamedColumn,
  Table,
} from './contract.ts';
export { type CsvOptions, csv } from './csv.ts';
export { type DatasetOptions, dataset } from './dataset.ts';
export type { FilePath } from './files.ts';
export { type IdxOptions, idx } from './idx.ts';
export { type ImagesOptions, images } from './images.ts';
export { type LibsvmOptions, libsvm } from './libsvm.ts';
export { loadData } from './load.ts';
export { type NpyOptions, npy, npz } from './npy.ts';
export { type ParquetOptions, parquet } from './parquet.ts';
export { type RowsOptions, type RowValue, rows } from './rows.ts';
export type { FieldSpec } from './spec.ts';
export { type TextOptions, text } from './text.ts';
export type { TokenKind } from './tokens.ts';
export { applyTransforms, type EncodedRow, type RawRow } from './transforms.ts';
export { type Series, type WindowsOptions, windows } from './windows.ts';
