import { closeSync, openSync, readSync } from 'node:fs';
import { LockstepError } from '../errors.ts';
import { CsvRecords } from './csv-records.ts';
import { readError } from './files.ts';
import { ColumnCounter, type TableProfile } from './table-profile.ts';

/** Bytes in which the first line is looked for. */
const HEAD_BYTES = 65_536;

/**
 * Reads a CSV file once and describes its columns by the rules by which `csv` will read them, in bounded memory.
 *
 * @param options.delimiter default: the one that comes most often in the first line (tab for .tsv).
 * @throws E_DATA_FORMAT, E_DATA_EMPTY, as `csv`.
 */
export async function profileCsv(
  file: string,
  options: { readonly delimiter?: string; readonly header?: boolean; readonly signal?: AbortSignal } = {},
): Promise<TableProfile> {
  const delimiter = options.delimiter ?? guessDelimiter(file);
  const records = new CsvRecords(file, delimiter);
  let columns: ColumnCounter[] | undefined;
  let rows = 0;
  await records.each((record) => {
    if (!columns) {
      columns = records.readHeader(record, options.header ?? true).map((name) => new ColumnCounter(name));
      if (options.header !== false) return;
    }
    records.checkLength(record);
    rows += 1;
    for (const [i, cell] of record.cells.entries()) columns[i].add(cell);
  }, options.signal);
  if (rows > 0) return { rows, delimiter, columns: (columns ?? []).map((c) => c.finish()) };
  throw new LockstepError('E_DATA_EMPTY', {
    where: file,
    expected: 'at least one row',
    got: columns ? 'a header only' : 'an empty file',
    fix: 'check that it is the right file',
  });
}

function guessDelimiter(file: string): string {
  if (/\.tsv(\.gz)?$/i.test(file)) return '\t';
  if (/\.gz$/i.test(file)) return ',';
  const [line] = readHead(file).split(/[\r\n]/, 1);
  const bare = line.replace(/"[^"]*"/g, '');
  const times = (delimiter: string) => bare.split(delimiter).length;
  return [',', ';', '\t', '|'].reduce((best, d) => (times(d) > times(best) ? d : best));
}

/** The file may be larger than memory. */
function readHead(file: string): string {
  const head = new Uint8Array(HEAD_BYTES);
  try {
    const opened = openSync(file, 'r');
    try {
      return new TextDecoder().decode(head.subarray(0, readSync(opened, head, 0, HEAD_BYTES, 0)));
    } finally {
      closeSync(opened);
    }
  } catch (error) {
    throw readError(error, file);
  }
}
