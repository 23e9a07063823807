import type { Worker } from 'node:worker_threads';
import type { AsyncBuffer, FileMetaData, SchemaTree } from 'hyparquet';
import { LockstepError } from '../errors.ts';
import { abortedError, readError } from './files.ts';
import { optionalPackage } from './optional.ts';
import type { ParquetSource } from './parquet.ts';
import type { GroupAnswer, GroupColumn, GroupRequest, ParquetThreadData } from './parquet-thread.ts';
import type { RawTable } from './raw.ts';
import { emptyFile, type FileCell, TableCollector } from './table-collector.ts';
import type { ColumnType } from './table-column.ts';
import { startThread } from './thread.ts';

const INSTALL = 'hyparquet hyparquet-compressors';
/** A group that takes longer, beyond a second for each MB, has sent the decoder round in circles. */
const MOST_SECONDS = 60;
/** Heap of the thread that decodes: a row group and its texts fit, what a damaged file asks for does not. */
const MOST_HEAP_MB = 2048;
/** Codecs that hyparquet has by itself. */
const OWN_CODECS: readonly string[] = ['UNCOMPRESSED', 'SNAPPY'];

/** A Parquet file whose metadata is read. */
export interface ParquetFile {
  readonly rows: number;
  /** Columns at the top of the schema, in file order. */
  readonly columns: readonly ParquetColumn[];
  /** The row groups in order, one in memory at a time, with the columns `names`. */
  groups(names: readonly string[], signal: AbortSignal | undefined): AsyncGenerator<ParquetGroup>;
}

/** Some rows of a file, in order. */
export interface ParquetGroup {
  /** Number of its first row in the file. */
  readonly first: number;
  readonly rows: number;
  /** The cells of row `r` of the group. Throws E_DATA_VALUE for what is no cell. */
  cells(r: number): FileCell[];
}

export interface ParquetColumn {
  readonly name: string;
  /** By the file's own type; undefined for lists, maps and structs. */
  readonly type: ColumnType | undefined;
}

/** @throws E_DATA_MISSING if hyparquet is not installed, E_DATA_FORMAT for what is no Parquet file. */
export async function openParquet(file: string): Promise<ParquetFile> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetSchema } = await optionalPackage(
    () => import('hyparquet'),
    INSTALL,
    `reading ${file}`,
  );
  const explain = <T>(reading: Promise<T>): Promise<T> =>
    reading.catch((error) => Promise.reject(formatError(error, file)));
  const buffer: AsyncBuffer = await explain(asyncBufferFromFile(file));
  const metadata: FileMetaData = await explain(parquetMetadataAsync(buffer));
  const columns = describe(() => parquetSchema(metadata).children, file).map(columnOf);
  checkGroups(metadata, buffer.byteLength, file);
  await requireCodecs(metadata, file);
  return {
    rows: Number(metadata.num_rows),
    columns,
    groups: (names, signal) => readGroups(file, names, metadata, signal),
  };
}

async function* readGroups(
  file: string,
  names: readonly string[],
  { row_groups }: FileMetaData,
  signal: AbortSignal | undefined,
): AsyncGenerator<ParquetGroup> {
  if (row_groups.length === 0) return;
  const thread = startThread('parquet-thread', import.meta.url, {
    workerData: { file, names } satisfies ParquetThreadData,
    resourceLimits: { maxOldGenerationSizeMb: MOST_HEAP_MB },
    stdout: true,
    stderr: true,
  });
  try {
    let first = 0;
    for (const { num_rows, total_byte_size } of row_groups) {
      const rows = Number(num_rows);
      const seconds = MOST_SECONDS + Number(total_byte_size) / 1e6;
      const columns = await ask(thread, { first, rows }, { file, seconds, signal });
      const begin = first;
      yield { first, rows, cells: (r) => columns.map((column, i) => cellOf(column, r, file, begin, names[i])) };
      first += rows;
    }
  } finally {
    await thread.terminate();
  }
}

function ask(
  thread: Worker,
  request: GroupRequest,
  { file, seconds, signal }: { file: string; seconds: number; signal: AbortSignal | undefined },
): Promise<readonly GroupColumn[]> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      thread.off('message', onMessage).off('error', onError).off('exit', onExit);
      signal?.removeEventListener('abort', onAbort);
      clearTimeout(limit);
      end();
    };
    const place = `the row group from row ${request.first} on`;
    const onMessage = (answer: GroupAnswer) =>
      settle(() =>
        'columns' in answer
          ? resolve(answer.columns)
          : reject(wrongFile(file, `${request.rows} rows in ${place}`, answer.failure)),
      );
    const onError = (error: Error) =>
      settle(() => reject(wrongFile(file, `${place} to fit into ${MOST_HEAP_MB} MB`, error.message, error)));
    const onExit = () => settle(() => reject(wrongFile(file, `to read ${place}`, 'an end of the thread')));
    const onAbort = () => settle(() => reject(abortedError(`reading ${file}`, signal?.reason)));
    const onLimit = () =>
      settle(() => reject(wrongFile(file, `to read ${place}`, `nothing after ${Math.ceil(seconds)} s`)));
    const limit = setTimeout(onLimit, Math.min(1000 * seconds, 2 ** 31 - 1));
    if (signal?.aborted) return onAbort();
    thread.on('message', onMessage).on('error', onError).on('exit', onExit);
    signal?.addEventListener('abort', onAbort, { once: true });
    thread.postMessage(request);
  });
}

function cellOf(column: GroupColumn, r: number, file: string, first: number, name: string): FileCell {
  if ('numbers' in column) return column.numbers[r];
  if ('cells' in column) return column.cells[r];
  if (r < column.bad) return undefined; // the row that is bad comes
  throw new LockstepError('E_DATA_VALUE', {
    where: `${file} row ${first + column.bad}, column "${name}"`,
    expected: 'a number, a text, a truth value or a date',
    got: column.got,
    fix: `leave the column out: ignore: ['${name}']`,
  });
}

/** Reads a Parquet file into columns. Throws errors with file, row and column. */
export async function readParquet(
  file: string,
  source: ParquetSource,
  signal: AbortSignal | undefined,
): Promise<RawTable> {
  const opened = await openParquet(file);
  const { columns } = opened;
  const header = columns.map((column) => column.name);
  const hint = { text: 'name a column of the file', certain: false };
  const declared = new Map(columns.flatMap(({ name, type }) => (type ? [[name, type] as const] : [])));
  const collector = new TableCollector({ file, source, unit: 'row', header, declared, hint });
  const kept = header.filter((name) => !source.ignore.includes(name));
  for (const { name, type } of columns) {
    if (type === undefined && kept.includes(name)) throw nested(file, name);
  }
  const places = header.map((name) => kept.indexOf(name));
  let rows = 0;
  for await (const group of opened.groups(kept, signal)) {
    for (let r = 0; r < group.rows; r++) {
      const cells = group.cells(r);
      collector.record(
        places.map((at) => (at < 0 ? undefined : cells[at])),
        group.first + r,
      );
    }
    rows += group.rows;
  }
  if (rows === 0) throw emptyFile(file, 'a file without rows');
  return collector.finish();
}

function describe<T>(action: () => T, file: string): T {
  try {
    return action();
  } catch (error) {
    throw formatError(error, file);
  }
}

function columnOf({ element, children }: SchemaTree): ParquetColumn {
  const { name } = element;
  if (children.length > 0 || element.repetition_type === 'REPEATED') return { name, type: undefined };
  if (element.type === 'BOOLEAN') return { name, type: 'boolean' };
  const bytes = element.type === 'BYTE_ARRAY' || element.type === 'FIXED_LEN_BYTE_ARRAY';
  const decimal = element.converted_type === 'DECIMAL' || element.logical_type?.type === 'FLOAT16';
  return { name, type: bytes && !decimal ? 'category' : 'number' };
}

/** Row groups must add up before anything is read by them. */
function checkGroups({ num_rows, row_groups }: FileMetaData, size: number, file: string): void {
  let rows = 0;
  for (const group of row_groups) {
    if (group.num_rows < 0) throw wrongFile(file, 'row groups of at least 0 rows', String(group.num_rows));
    rows += Number(group.num_rows);
    for (const { meta_data: data } of group.columns) {
      if (!data) continue;
      const begin = Number(data.dictionary_page_offset ?? data.data_page_offset);
      const end = begin + Number(data.total_compressed_size);
      if (begin >= 0 && end >= begin && end <= size && data.num_values >= 0) continue;
      throw wrongFile(file, 'columns inside the file', `one that ends at byte ${end} of ${size}`);
    }
  }
  if (rows !== Number(num_rows)) throw wrongFile(file, `${num_rows} rows in its row groups`, String(rows));
}

async function requireCodecs({ row_groups }: FileMetaData, file: string): Promise<void> {
  const codecs = new Set(
    row_groups.flatMap((group) => group.columns.map((column) => column.meta_data?.codec ?? 'SNAPPY')),
  );
  const other = [...codecs].find((codec) => !OWN_CODECS.includes(codec));
  if (other === undefined) return;
  const purpose = `reading ${file}, which is compressed with ${other}`;
  await optionalPackage(() => import('hyparquet-compressors'), 'hyparquet-compressors', purpose);
}

function formatError(error: unknown, file: string): LockstepError {
  if (error instanceof LockstepError) return error;
  if (error instanceof Error && typeof Reflect.get(error, 'code') === 'string') return readError(error, file);
  return wrongFile(file, 'a Parquet file', error instanceof Error ? error.message : String(error), error);
}

function wrongFile(where: string, expected: string, got: string, cause?: unknown): LockstepError {
  const fix = 'check that it is the right file, and write or fetch it again';
  return new LockstepError('E_DATA_FORMAT', { where, expected, got, fix, cause });
}

function nested(file: string, name: string): LockstepError {
  return new LockstepError('E_DATA_VALUE', {
    where: `${file}, column "${name}"`,
    expected: 'one value a row',
    got: 'lists, a map or a struct',
    fix: `leave the column out: ignore: ['${name}']`,
  });
}
