import { z } from 'zod';
import { parseOptions } from '../optim/options.ts';
import type { FieldType, LoadOptions, Source } from './contract.ts';
import { readCsv } from './csv-file.ts';
import { fitCsv } from './csv-fit.ts';
import { type FilePath, pathText, resolveFile } from './files.ts';
import type { RawTable } from './raw.ts';
import type { SourceReader } from './reader.ts';

export interface CsvOptions {
  /** The column to predict: its name, or its position from 0 where the file has no header. */
  readonly target: string | number;
  /** Columns to leave out (ids, names, dates). */
  readonly ignore?: readonly (string | number)[];
  /** What a column is, where the guess is wrong: a zip code is a 'category'. */
  readonly types?: Readonly<Record<string, 'number' | 'category' | 'boolean'>>;
  /** Default ',' (tab for .tsv). */
  readonly delimiter?: string;
  /** true (default): the first line has the names; false: columns are named 0, 1, 2 ...; or the names themselves. */
  readonly header?: boolean | readonly string[];
  /** Number columns: 'standard' (default) to mean 0 and standard deviation 1, 'minmax' to [0, 1], or false. Never the target. */
  readonly normalize?: 'standard' | 'minmax' | false;
  /**
   * 'classification': the target becomes labels i32 with class names; 'regression': f32. Default: classification for
   * texts, booleans and integers with at most 20 different values in the training rows, else regression.
   */
  readonly task?: 'classification' | 'regression';
  /**
   * Cells without a value: 'error' (default); 'mean': the training mean (categories and booleans: the most frequent training
   * value), never for the target; 'drop': such rows are left out.
   */
  readonly missing?: 'error' | 'mean' | 'drop';
  /** Texts that mean "no value". Default: '', 'NA', 'N/A', 'NaN', 'nan', 'null', '?'. */
  readonly missingValues?: readonly string[];
  /** A category that the training rows do not have: 'error' (default), or 'zeros' in its one-hot numbers. */
  readonly unknown?: 'error' | 'zeros';
  /** Most different values of a category column or of the target's classes. Default 1000. */
  readonly maxCategories?: number;
}

/** What means "no value" unless the source says otherwise. */
export const MISSING_VALUES: readonly string[] = ['', 'NA', 'N/A', 'NaN', 'nan', 'null', '?'];

const name = z.union([z.string(), z.number().int().nonnegative()]).transform(String);
const OPTIONS = z.strictObject({
  target: name,
  ignore: z.array(name).default([]),
  types: z.record(z.string(), z.enum(['number', 'category', 'boolean'])).default({}),
  delimiter: z.string().min(1).optional(),
  header: z.union([z.boolean(), z.array(z.string()).min(1)]).default(true),
  normalize: z.enum(['standard', 'minmax']).or(z.literal(false)).default('standard'),
  task: z.enum(['classification', 'regression']).optional(),
  missing: z.enum(['error', 'mean', 'drop']).default('error'),
  missingValues: z.array(z.string()).default([...MISSING_VALUES]),
  unknown: z.enum(['error', 'zeros']).default('error'),
  maxCategories: z.number().int().min(2).default(1000),
});
const SOURCE = OPTIONS.extend({ kind: z.literal('csv'), path: z.string() });

/** The description of a CSV source with its defaults filled in. */
export type CsvSource = z.output<typeof SOURCE>;

/**
 * A table in a CSV file (gzipped or not, see `FilePath` for how paths are found). Reads nothing before the training starts.
 *
 * Fields: `x` f32 [features], the columns in file order: numbers (normalised), booleans (0 or 1), categories (one-hot, values
 * sorted); `y` scalar, the target: i32 labels (classes sorted, their names in `classNames`) or f32. Types, statistics, categories
 * and classes come from the training rows only. A column is numeric if at least half of its training cells are numbers;
 * another text in it is an error with file, line and column. A separate validation or test file is encoded as the training rows are.
 *
 * @throws LockstepError E_OPTION for options; when loaded E_DATA_MISSING (file, column), E_DATA_FORMAT (quotes, row length, duplicate
 * names), E_DATA_VALUE (a cell that is no number, a missing value), E_LABEL (a class that training does not have), E_DATA_EMPTY.
 */
export function csv(path: FilePath, options: CsvOptions & { readonly task: 'regression' }): CsvDescription<'f32'>;
export function csv(path: FilePath, options: CsvOptions & { readonly task: 'classification' }): CsvDescription<'i32'>;
export function csv(path: FilePath, options: CsvOptions): CsvDescription<FieldType>;
export function csv(path: FilePath, options: CsvOptions): CsvDescription<FieldType> {
  return { kind: 'csv', path: pathText(path, 'csv'), ...parseOptions(OPTIONS, options, 'csv') };
}

type CsvDescription<Y extends FieldType> = Source<{ x: 'f32'; y: Y }> & { readonly kind: 'csv' };

export const csvReader: SourceReader = {
  read(source: Source, { baseDir, signal }: LoadOptions): Promise<RawTable> {
    const spec = parseOptions(SOURCE, source, 'csv');
    return readCsv(resolveFile(spec.path, baseDir), spec, signal);
  },
  fit: (source, raw, ids) => fitCsv(parseOptions(SOURCE, source, 'csv'), raw, ids),
};
