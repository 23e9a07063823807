import { type BlockPlan, windowCapacity } from './block-sampler.ts';
import type { Column, Split, Streamed, StreamedColumn, StreamedSparse, Table } from './contract.ts';
import { encodeSplit } from './encode.ts';
import type { RawColumn, RawTable, Spill } from './raw.ts';
import { type ColumnArrays, OWN_ARRAYS, ReusedArrays } from './reused-arrays.ts';
import { ScratchFile } from './scratch-file.ts';
import { mostWindowValues, readSparseRows, sparseFields, sparseInMemory, sparseOnDisk } from './stream-sparse.ts';
import type { Encoder } from './transforms.ts';

/** Blocks that a window has if it can: more are read in smaller pieces, fewer mix the rows less. */
const BLOCKS = 32;
/** Rows that are encoded to see how large they become. */
const SAMPLE_ROWS = 256;

/**
 * Rows `ids` (all, if absent) of a table on disk: encoded run by run, in memory if they take no more than half of what the source allows,
 * else in a file. A quarter of that is one of the two windows of training rows.
 */
export function encodeSpilled(
  raw: RawTable,
  spill: Spill,
  ids: Int32Array | undefined,
  encoder: Encoder,
  split: string,
): Split {
  const rows = ids?.length ?? raw.size;
  /** Valid until the next call with the same arrays. */
  const run = (begin: number, end: number, arrays: ReusedArrays): Column[] => {
    const picked = ids?.subarray(begin, end) ?? Int32Array.from({ length: end - begin }, (_, i) => begin + i);
    return encodeSplit(rowsOf(raw, picked, arrays), undefined, encoder, split, arrays);
  };
  const sample = run(0, Math.min(rows, SAMPLE_ROWS), new ReusedArrays());
  const fields = sparseFields(raw, ids, encoder);
  const sparseBytes = fields.reduce((sum, { nonZero }) => sum + 4 + (8 * nonZero) / rows, 0);
  const rowBytes =
    sparseBytes + sample.reduce((sum, { data }) => sum + data.byteLength, 0) / Math.min(rows, SAMPLE_ROWS);
  if (rows * rowBytes <= spill.memory / 2) {
    const sparse = fields.map((field) => sparseInMemory(raw, field, ids));
    return {
      kind: 'table',
      size: rows,
      columns: run(0, rows, new ReusedArrays()),
      ...(sparse.length > 0 && { sparse }),
    };
  }

  const file = new ScratchFile();
  const columns = sample.map(({ data, ...column }): StreamedColumn & { readonly width: number } => {
    const elements = data instanceof Uint8Array ? 'u8' : data instanceof Int32Array ? 'i32' : 'f32';
    const width = (data.byteLength / Math.min(rows, SAMPLE_ROWS)) * rows;
    return { ...column, elements, offset: file.allocate(width), width: width / rows };
  });
  const sparse = fields.map((field) => sparseOnDisk(raw, field, ids, file, spill.memory / 8 / fields.length));
  const runRows = Math.max(1, Math.floor(spill.memory / 8 / rowBytes));
  const arrays = new ReusedArrays();
  for (let begin = 0; begin < rows; begin += runRows) {
    const encoded = run(begin, Math.min(rows, begin + runRows), arrays);
    for (const [i, { offset, width }] of columns.entries()) file.write(encoded[i].data, offset + begin * width);
  }
  return {
    kind: 'streamed',
    size: rows,
    columns: columns.map(({ width: _, ...column }) => column),
    file,
    ...planWindows(rows, rowBytes, file, sparse, spill.memory / 4),
    memory: spill.memory,
  };
}

/** Blocks for windows of at most `bytes`, however unequal sparse rows are. */
function planWindows(
  rows: number,
  rowBytes: number,
  file: ScratchFile,
  sparse: readonly Omit<StreamedSparse, 'windowValues'>[],
  bytes: number,
): Pick<Streamed, 'blocks' | 'sparse'> {
  const denseBytes = sparse.reduce((sum, { nonZero }) => sum - (8 * nonZero) / rows, rowBytes);
  for (let places = bytes / rowBytes; ; places *= 0.9) {
    const blocks = planBlocks(places);
    if (sparse.length === 0) return { blocks };
    const most = sparse.map((column) => ({ ...column, windowValues: mostWindowValues(file, column, rows, blocks) }));
    const valueBytes = most.reduce((sum, { windowValues }) => sum + 8 * windowValues, 0);
    if (windowCapacity(blocks) * denseBytes + valueBytes <= bytes || places < 2) return { blocks, sparse: most };
  }
}

/** Blocks for windows with places for at most `places` rows, those for a ragged block included. `gap`: see BlockPlan. */
export function planBlocks(places: number, gap = 0): BlockPlan {
  // Gaps are to be the smaller part of a window, though it then has fewer blocks.
  const wanted = Math.max(places / (BLOCKS + 1), Math.min(4 * gap, places / 5));
  const blockRows = Math.max(1, Math.floor(wanted) - gap);
  const windowBlocks = Math.max(1, Math.floor(places / (blockRows + gap)) - 1);
  return { blockRows, windowBlocks, ...(gap > 0 && { gap }) };
}

/** Some rows of a table on disk as a table in memory, in arrays that the next one takes again. */
function rowsOf(raw: RawTable, ids: Int32Array, arrays: ReusedArrays): RawTable {
  const columns = [...raw.columns].map(([name, column]) => [name, pick(name, column, ids, arrays)] as const);
  const { place } = raw;
  const moved = (row: number, column: string) => place(ids[row], column);
  return { size: ids.length, columns: new Map(columns), place: Object.assign(moved, { advice: place.advice }) };
}

function pick(name: string, column: RawColumn, ids: Int32Array, arrays: ReusedArrays): RawColumn {
  if (column.kind === 'cells') return { kind: 'cells', at: (row) => column.at(ids[row]) };
  if (column.kind === 'pagedSparse') return column; // not encoded row by row: stream-sparse.ts
  if (column.kind !== 'paged') throw new TypeError('a column in memory among others on disk');
  const { elements, width, shape } = column;
  const data = arrays.column(name, elements, ids.length * width);
  for (let i = 0; i < ids.length; i++) data.set(column.row(ids[i]), i * width);
  return { kind: 'tensor', shape, data };
}

/** Rows `ids` of a split on disk as a table in memory, of its own unless `arrays` gives some. */
export function readRows(split: Streamed, ids: Int32Array, arrays: ColumnArrays = OWN_ARRAYS): Table {
  const columns = split.columns.map(({ elements, offset, stride, ...column }): Column => {
    const width = column.shape.reduce((a, b) => a * b, 1);
    const { name } = column;
    const length = ids.length * width;
    const data = elements === 'u8' ? arrays.bytes(name, length) : arrays.words(name, elements, length);
    const step = stride ?? width;
    for (let i = 0; i < ids.length; ) {
      let count = 1;
      while (step === width && i + count < ids.length && ids[i + count] === ids[i] + count) count += 1;
      split.file.read(data.subarray(i * width, (i + count) * width), offset + ids[i] * step * data.BYTES_PER_ELEMENT);
      i += count;
    }
    return { ...column, data };
  });
  const sparse = split.sparse?.map(({ windowValues: _, nonZero: __, pointers, indices, values, ...field }) => ({
    ...field,
    ...readSparseRows(split.file, { pointers, indices, values }, ids),
  }));
  return { kind: 'table', size: ids.length, columns, ...(sparse && { sparse }) };
}
