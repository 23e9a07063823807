import { parentPort, workerData } from 'node:worker_threads';
import type { AsyncBuffer, ColumnMetaData } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { describeValue } from './describe.ts';

/**
 * Thread entry of parquet-file.ts: decodes one row group for each request. In a thread, because a damaged file can make the decoder
 * ask for any amount of memory or time: the thread's heap has a limit, and it can be ended.
 */
export interface GroupRequest {
  readonly first: number;
  readonly rows: number;
}

export interface ParquetThreadData {
  readonly file: string;
  readonly names: readonly string[];
}

/** One column of a row group: numbers with NaN for null, or cells of mixed kinds, or the first value that is no cell. */
export type GroupColumn =
  | { readonly numbers: Float64Array }
  | { readonly cells: readonly (string | number | undefined)[] }
  | { readonly bad: number; readonly got: string };

export type GroupAnswer = { readonly columns: readonly GroupColumn[] } | { readonly failure: string };

const MS_PER_DAY = 86_400_000;

if (parentPort) serve(parentPort, workerData);

function serve(port: NonNullable<typeof parentPort>, { file, names }: ParquetThreadData): void {
  const opened = open(file);
  opened.catch(() => undefined); // each request reports it
  port.on('message', async ({ first, rows }: GroupRequest) => {
    try {
      const read = await opened;
      const columns: GroupColumn[] = [];
      for (const name of names) columns.push(packColumn(await read(name, first, rows), rows, name));
      const buffers = columns.flatMap((column) => ('numbers' in column ? [column.numbers.buffer as ArrayBuffer] : []));
      port.postMessage({ columns } satisfies GroupAnswer, buffers);
    } catch (error) {
      port.postMessage({ failure: error instanceof Error ? error.message : String(error) } satisfies GroupAnswer);
    }
  });
}

type ReadColumn = (name: string, first: number, rows: number) => Promise<ArrayLike<unknown>[]>;

async function open(path: string): Promise<ReadColumn> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetRead } = await import('hyparquet');
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  // Absent: the main thread has made sure that nothing needs them.
  const compressors = await import('hyparquet-compressors').then(
    (module) => ({ compressors: module.compressors }),
    () => ({}),
  );
  return async (name, first, rows) => {
    let begin = 0;
    for (const group of metadata.row_groups) {
      if (begin === first)
        for (const { meta_data } of group.columns)
          if (meta_data?.path_in_schema[0] === name) await checkPages(file, meta_data, rows);
      begin += Number(group.num_rows);
    }
    const chunks: ArrayLike<unknown>[] = [];
    await parquetRead({
      file,
      metadata,
      columns: [name],
      rowStart: first,
      rowEnd: first + rows,
      ...compressors,
      onChunk: ({ columnData }) => void chunks.push(columnData),
    });
    return chunks;
  };
}

/**
 * Walks over the headers of the pages of a column chunk: the decoder itself goes on for ever where a size is missing, and believes
 * any count.
 */
async function checkPages(file: AsyncBuffer, chunk: ColumnMetaData, rows: number): Promise<void> {
  const begin = Number(chunk.dictionary_page_offset ?? chunk.data_page_offset);
  const bytes = await file.slice(begin, begin + Number(chunk.total_compressed_size));
  const reader = { view: new DataView(bytes), offset: 0 };
  const values = Math.max(rows, Number(chunk.num_values));
  while (reader.offset < bytes.byteLength - 1) {
    const at = begin + reader.offset;
    const header = parquetHeader(reader);
    const sizes = [header.compressed_page_size, header.uncompressed_page_size];
    const counts = [header.data_page_header, header.data_page_header_v2, header.dictionary_page_header];
    const good =
      sizes.every((size) => Number.isInteger(size) && size >= 0) &&
      counts.every((count) => count === undefined || (count.num_values >= 0 && count.num_values <= values)) &&
      counts.some((count) => count !== undefined) &&
      reader.offset + header.compressed_page_size <= bytes.byteLength;
    if (!good) throw new Error(`a damaged page header at byte ${at}`);
    reader.offset += header.compressed_page_size;
  }
}

function packColumn(chunks: readonly ArrayLike<unknown>[], rows: number, name: string): GroupColumn {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (length !== rows) throw new Error(`${length} values of column "${name}" instead of ${rows}`);
  const numbers = new Float64Array(rows);
  let cells: (string | number | undefined)[] | undefined;
  let row = 0;
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; i++, row++) {
      const cell = cellOf(chunk[i]);
      if (cell === BAD) return { bad: row, got: describeValue(chunk[i]) };
      if (typeof cell === 'string')
        cells ??= Array.from(numbers.subarray(0, row), (x) => (Number.isNaN(x) ? undefined : x));
      if (cells) cells.push(cell);
      else numbers[row] = typeof cell === 'number' ? cell : Number.NaN;
    }
  }
  return cells ? { cells } : { numbers };
}

const BAD = Symbol('no cell');

/** What the decoder gives: numbers, bigints, texts, booleans, dates, null; bytes and objects are no cells. */
function cellOf(value: unknown): string | number | undefined | typeof BAD {
  if (value === null || value === undefined) return undefined;
  switch (typeof value) {
    case 'number':
    case 'string':
      return value;
    case 'bigint':
      return Number(value);
    case 'boolean':
      return String(value);
    default:
      return value instanceof Date ? value.getTime() / MS_PER_DAY : BAD;
  }
}
