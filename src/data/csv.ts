import { z } from 'zod';
import { parseOptions } from '../optim/options.ts';
import type { FieldType, LoadOptions, Source } from './contract.ts';
import { readCsv } from './csv-file.ts';
import { type FilePath, pathText, resolveFile } from './files.ts';
import type { RawTable } from './raw.ts';
import type { SourceReader } from './reader.ts';
import { fitTable } from './table-fit.ts';
import { TABLE_OPTIONS, type TableOptions } from './table-options.ts';

export interface CsvOptions extends TableOptions {
  /** Default ',' (tab for .tsv). */
  readonly delimiter?: string;
  /** true (default): the first line has the names; false: columns are named 0, 1, 2 ...; or the names themselves. */
  readonly header?: boolean | readonly string[];
}

const OPTIONS = TABLE_OPTIONS.extend({
  delimiter: z.string().min(1).optional(),
  header: z.union([z.boolean(), z.array(z.string()).min(1)]).default(true),
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
  fit: (source, raw, ids) => fitTable(parseOptions(SOURCE, source, 'csv'), raw, ids),
};
