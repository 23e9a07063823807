import { z } from 'zod';
import { parseOptions } from '../optim/options.ts';
import type { FieldType, LoadOptions, Source } from './contract.ts';
import { type FilePath, pathText, resolveFile } from './files.ts';
import { readParquet } from './parquet-file.ts';
import type { RawTable } from './raw.ts';
import type { SourceReader } from './reader.ts';
import { fitTable } from './table-fit.ts';
import { TABLE_OPTIONS, type TableOptions } from './table-options.ts';

export interface ParquetOptions extends TableOptions {}

const SOURCE = TABLE_OPTIONS.extend({ kind: z.literal('parquet'), path: z.string() });

/** The description of a Parquet source with its defaults filled in. */
export type ParquetSource = z.output<typeof SOURCE>;

/**
 * A table in a Parquet file; see `FilePath` for how paths are found. Reads nothing before the training starts. Needs the package
 * `hyparquet` (and `hyparquet-compressors` for files that are compressed with anything but Snappy): `npm install hyparquet
 * hyparquet-compressors`.
 *
 * Fields, fitting and options as `csv`: `x` f32 [features], `y` the target. The types of the columns are the file's: numbers (of all
 * widths, decimals), booleans, texts (categories); dates and timestamps are numbers, days since 1970-01-01. Nulls are cells without a
 * value. Lists, maps and structs are refused: ignore those columns. A row group is in memory while it is read.
 *
 * @throws LockstepError as `csv` does, with file, row (from 0) and column; E_DATA_MISSING if the package is not installed.
 */
export function parquet(
  path: FilePath,
  options: ParquetOptions & { readonly task: 'regression' },
): ParquetDescription<'f32'>;
export function parquet(
  path: FilePath,
  options: ParquetOptions & { readonly task: 'classification' },
): ParquetDescription<'i32'>;
export function parquet(path: FilePath, options: ParquetOptions): ParquetDescription<FieldType>;
export function parquet(path: FilePath, options: ParquetOptions): ParquetDescription<FieldType> {
  return { kind: 'parquet', path: pathText(path, 'parquet'), ...parseOptions(TABLE_OPTIONS, options, 'parquet') };
}

type ParquetDescription<Y extends FieldType> = Source<{ x: 'f32'; y: Y }> & { readonly kind: 'parquet' };

export const parquetReader: SourceReader = {
  read(source: Source, { baseDir, signal }: LoadOptions): Promise<RawTable> {
    const spec = parseOptions(SOURCE, source, 'parquet');
    return readParquet(resolveFile(spec.path, baseDir), spec, signal);
  },
  fit: (source, raw, ids) => fitTable(parseOptions(SOURCE, source, 'parquet'), raw, ids),
};
