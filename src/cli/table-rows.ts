import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { CsvRecords } from '../data/csv-records.ts';
import { didYouMean } from '../data/describe.ts';
import { readError, resolveFile } from '../data/files.ts';
import { openParquet } from '../data/parquet-file.ts';
import { LockstepError } from '../errors.ts';
import type { Row } from '../predict/predictor.ts';
import type { RowEncoder, RowPlace } from '../predict/row-encoder.ts';
import { isParquet } from './init-plan.ts';

export interface TableOptions {
  readonly delimiter?: string;
  /** False: the first line is a row, columns are named 0, 1, 2 ... */
  readonly header?: boolean;
  /** Columns to pass over. */
  readonly ignore?: readonly string[];
}

/** Some rows of a file, in order. */
export interface TablePiece {
  readonly rows: readonly Row[];
  /** Names of all columns of a CSV; none for JSON lines. */
  readonly header: readonly string[];
  /** The cells of the rows as they stand in the file. */
  readonly records: readonly (readonly string[])[];
  /** Where row i of this piece stands. */
  readonly place: RowPlace;
}

/** Rows that are computed together. */
const PIECE_ROWS = 1024;

/**
 * The rows of a CSV (gzipped or not; `-` is standard input) or of JSON lines (.jsonl, .ndjson: one object a line) or of a Parquet file (.parquet), piece by piece and no
 * faster than they are taken.
 *
 * @throws E_DATA_MISSING for a file or a column that is not there, E_DATA_FORMAT, E_DATA_VALUE, each with file and line; E_DATA_EMPTY.
 */
export async function* tableRows(
  data: string,
  encoder: RowEncoder,
  options: TableOptions,
  signal: AbortSignal,
): AsyncGenerator<TablePiece> {
  const file = data === '-' ? 'standard input' : resolveFile(data, process.cwd(), 'current folder');
  const json = /\.(jsonl|ndjson)$/i.test(data);
  const parquet = isParquet(data);
  const rows = json
    ? jsonRows(file, encoder, options, signal)
    : parquet
      ? parquetRows(file, encoder, options, signal)
      : csvRows(file, data, encoder, options, signal);
  const unit = parquet ? 'row' : 'line';
  let piece = newPiece(file, unit);
  let seen = 0;
  for await (const { row, header, cells, line } of rows) {
    piece.rows.push(row);
    piece.header = header;
    piece.records.push(cells);
    piece.lines.push(line);
    seen += 1;
    if (piece.rows.length < PIECE_ROWS) continue;
    yield piece;
    piece = newPiece(file, unit);
  }
  if (piece.rows.length > 0) yield piece;
  if (seen > 0) return;
  throw new LockstepError('E_DATA_EMPTY', { where: file, expected: 'at least one row', got: 'none', fix: 'add rows' });
}

function newPiece(file: string, unit: 'line' | 'row') {
  const lines: number[] = [];
  return {
    rows: [] as Row[],
    header: [] as readonly string[],
    records: [] as (readonly string[])[],
    lines,
    place: (row: number) => `${file} ${unit} ${lines[row]}`,
  };
}

interface FileRow {
  readonly row: Row;
  readonly header: readonly string[];
  readonly cells: readonly string[];
  readonly line: number;
}

async function* csvRows(
  file: string,
  data: string,
  encoder: RowEncoder,
  { delimiter, header: hasHeader = true, ignore = [] }: TableOptions,
  signal: AbortSignal,
): AsyncGenerator<FileRow> {
  const records = new CsvRecords(file, delimiter);
  const stream = records.stream(signal, data === '-' ? process.stdin : undefined);
  let header: readonly string[] | undefined;
  let places: readonly (readonly [string, number])[] = [];
  for await (const record of stream) {
    if (!header) {
      header = records.readHeader(record, hasHeader);
      checkColumns(header, encoder, ignore, `${file} line ${record.line}`);
      places = encoder.mayHave.map((name) => [name, header?.indexOf(name) ?? -1] as const).filter(([, at]) => at >= 0);
      if (hasHeader) continue;
    }
    records.checkLength(record);
    const row: Record<string, string> = {};
    for (const [name, at] of places) row[name] = record.cells[at];
    yield { row, header, cells: record.cells, line: record.line };
  }
}

async function* parquetRows(
  file: string,
  encoder: RowEncoder,
  { ignore = [] }: TableOptions,
  signal: AbortSignal,
): AsyncGenerator<FileRow> {
  const opened = await openParquet(file);
  const header = opened.columns.filter(({ type }) => type !== undefined).map(({ name }) => name);
  checkColumns(header, encoder, ignore, file);
  const known = new Set(encoder.mayHave);
  for await (const group of opened.groups(header, signal)) {
    for (let r = 0; r < group.rows; r++) {
      const values = group.cells(r);
      const row: Record<string, unknown> = {};
      for (const [i, name] of header.entries()) if (known.has(name)) row[name] = values[i] ?? null;
      const cells = values.map((value) => (value === undefined || Number.isNaN(value) ? '' : String(value)));
      yield { row, header, cells, line: group.first + r };
    }
  }
}

/** Throws unless a table has all columns that are needed and none that is strange. */
function checkColumns(header: readonly string[], encoder: RowEncoder, ignore: readonly string[], where: string): void {
  const missing = encoder.columns.find((name) => !header.includes(name));
  if (missing !== undefined) {
    const tensor = encoder.isTensor(missing);
    throw new LockstepError('E_DATA_MISSING', {
      where,
      expected: `a column ${JSON.stringify(missing)}`,
      got: `the columns ${shortList(header)}`,
      fix: tensor
        ? `it is an array: give the rows as JSON lines, a file .jsonl with lines like {"${missing}": [...]}`
        : didYouMean(
            missing,
            header,
            'add it (a cell may be empty if the model was trained on missing values), or use --no-header',
          ),
    });
  }
  const [strange] = encoder.unknownAmong(header).filter((name) => !ignore.includes(name));
  if (strange === undefined) return;
  throw new LockstepError('E_DATA_VALUE', {
    where: `${where}, column ${JSON.stringify(strange)}`,
    expected: `only columns of the training data (${shortList(encoder.mayHave)})`,
    got: 'another one',
    fix: `pass over it: --ignore ${JSON.stringify(strange)}`,
  });
}

function shortList(names: readonly string[]): string {
  return names.length > 20 ? `${names.slice(0, 20).join(', ')}, ...` : names.join(', ');
}

async function* jsonRows(
  file: string,
  encoder: RowEncoder,
  { ignore = [] }: TableOptions,
  signal: AbortSignal,
): AsyncGenerator<FileRow> {
  const lines = createInterface({ input: createReadStream(file, { signal }), crlfDelay: Number.POSITIVE_INFINITY });
  let line = 0;
  try {
    for await (const text of lines) {
      line += 1;
      if (text.trim() === '') continue;
      const row = parseRow(text, `${file} line ${line}`, ignore);
      encoder.check(row, 0, () => `${file} line ${line}`);
      yield { row, header: [], cells: [], line };
    }
  } catch (error) {
    throw readError(error, file);
  }
}

function parseRow(text: string, where: string, ignore: readonly string[]): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    const fix = 'give one JSON object a line';
    throw new LockstepError('E_DATA_FORMAT', { where, expected: 'a JSON object', got, fix, cause });
  }
  if (typeof value === 'object' && value !== null) for (const name of ignore) Reflect.deleteProperty(value, name);
  return value;
}
