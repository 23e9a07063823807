import type { BlockPlan } from './block-sampler.ts';
import type { FieldInfo, SparseColumn, StreamedSparse } from './contract.ts';
import type { PagedSparse, RawTable } from './raw.ts';
import { type SparseRows, sharedArray } from './raw.ts';
import type { ScratchFile } from './scratch-file.ts';
import { tooWide } from './sparse.ts';
import type { Encoder } from './transforms.ts';

/** A field of sparse rows on disk, with its column, and how many values the rows that are wanted have. */
export interface SpilledSparse {
  readonly field: FieldInfo;
  readonly column: PagedSparse;
  readonly nonZero: number;
}

/** The sparse fields of a table on disk, of rows `ids` (all, if absent). */
export function sparseFields(raw: RawTable, ids: Int32Array | undefined, encoder: Encoder): SpilledSparse[] {
  return encoder.fields.flatMap((field) => {
    const [part] = encoder.parts(field.name);
    const column = raw.columns.get(part.column);
    if (column?.kind !== 'pagedSparse') return [];
    let nonZero = 0;
    for (const [begin, end] of rangesOf(column, ids, raw.size)) nonZero += end - begin;
    return [{ field, column, nonZero }];
  });
}

/** Where the values of each row begin and end. Rows in ascending order, as the lists are read. */
function* rangesOf(
  { ends }: PagedSparse,
  ids: Int32Array | undefined,
  rows: number,
): Generator<[begin: number, end: number, row: number]> {
  for (let i = 0; i < (ids?.length ?? rows); i++) {
    const row = ids ? ids[i] : i;
    yield [row === 0 ? 0 : ends.at(row - 1), ends.at(row), row];
  }
}

/** Calls `take` with the values of each row in turn. Throws E_DATA_VALUE for a feature that the training rows do not have. */
function eachValue(
  raw: RawTable,
  { field, column }: SpilledSparse,
  ids: Int32Array | undefined,
  take: (index: number, value: number) => void,
  rowEnds: (end: number) => void,
): void {
  const [width] = field.shape;
  let count = 0;
  for (const [begin, end, row] of rangesOf(column, ids, raw.size)) {
    for (let i = begin; i < end; i++) {
      const index = column.indices.at(i);
      if (index >= width) throw tooWide(raw.place(row, field.name), width, index);
      take(index, column.values.at(i));
    }
    count += end - begin;
    rowEnds(count);
  }
}

/** The rows in memory, in arrays of their own. */
export function sparseInMemory(raw: RawTable, sparse: SpilledSparse, ids: Int32Array | undefined): SparseColumn {
  const rows = ids?.length ?? raw.size;
  const pointers = sharedArray('i32', rows + 1);
  const indices = sharedArray('i32', sparse.nonZero);
  const values = sharedArray('f32', sparse.nonZero);
  let [at, row] = [0, 0];
  eachValue(
    raw,
    sparse,
    ids,
    (index, value) => {
      indices[at] = index;
      values[at++] = value;
    },
    (end) => {
      pointers[++row] = end;
    },
  );
  return { ...sparse.field, pointers, indices, values };
}

/** The rows in a file, with `bytes` of memory on the way. */
export function sparseOnDisk(
  raw: RawTable,
  sparse: SpilledSparse,
  ids: Int32Array | undefined,
  file: ScratchFile,
  bytes: number,
): Omit<StreamedSparse, 'windowValues'> {
  const rows = ids?.length ?? raw.size;
  const length = Math.max(256, Math.floor(bytes / 12));
  const pointers = new Run(file, file.allocate(4 * (rows + 1)), new Int32Array(length));
  const indices = new Run(file, file.allocate(4 * sparse.nonZero), new Int32Array(length));
  const values = new Run(file, file.allocate(4 * sparse.nonZero), new Float32Array(length));
  pointers.push(0);
  eachValue(
    raw,
    sparse,
    ids,
    (index, value) => {
      indices.push(index);
      values.push(value);
    },
    (end) => pointers.push(end),
  );
  for (const run of [pointers, indices, values]) run.flush();
  const [p, i, v] = [pointers.place, indices.place, values.place];
  return { ...sparse.field, pointers: p, indices: i, values: v, nonZero: sparse.nonZero };
}

/** Numbers that are written one after the other. */
class Run {
  readonly place: number;
  readonly #file: ScratchFile;
  readonly #numbers: Int32Array | Float32Array;
  #held = 0;
  #written = 0;

  constructor(file: ScratchFile, place: number, numbers: Int32Array | Float32Array) {
    this.#file = file;
    this.place = place;
    this.#numbers = numbers;
  }

  push(value: number): void {
    this.#numbers[this.#held++] = value;
    if (this.#held === this.#numbers.length) this.flush();
  }

  flush(): void {
    this.#file.write(this.#numbers.subarray(0, this.#held), this.place + 4 * this.#written);
    this.#written += this.#held;
    this.#held = 0;
  }
}

/** Where the lists of sparse rows begin in a file. */
type SparseLists = Pick<StreamedSparse, 'pointers' | 'indices' | 'values'>;

/** The most values that one window of these blocks can have: whichever blocks an epoch's order brings together. */
export function mostWindowValues(
  file: ScratchFile,
  { pointers }: Pick<SparseLists, 'pointers'>,
  rows: number,
  { blockRows, windowBlocks }: BlockPlan,
): number {
  const word = new Int32Array(1);
  const pointerOf = (row: number): number => {
    file.read(word, pointers + 4 * row);
    return word[0];
  };
  const whole = Math.floor(rows / blockRows);
  const starts = Array.from({ length: whole + 1 }, (_, b) => pointerOf(b * blockRows));
  const counts = starts.slice(1).map((end, b) => end - starts[b]);
  const fullest = counts.sort((a, b) => b - a).slice(0, windowBlocks);
  return fullest.reduce((a, b) => a + b, pointerOf(rows) - starts[whole]);
}

/** Rows `ids` of a sparse column on disk, in arrays of their own. */
export function readSparseRows(file: ScratchFile, column: SparseLists, ids: Int32Array): SparseRows {
  const ends = sharedArray('i32', ids.length + 1);
  const begins = new Int32Array(ids.length);
  const range = new Int32Array(2);
  for (let i = 0; i < ids.length; i++) {
    file.read(range, column.pointers + 4 * ids[i]);
    begins[i] = range[0];
    ends[i + 1] = ends[i] + range[1] - range[0];
  }
  const count = ends[ids.length];
  const rows = { pointers: ends, indices: sharedArray('i32', count), values: sharedArray('f32', count) };
  for (let i = 0; i < ids.length; i++) {
    file.read(rows.indices.subarray(ends[i], ends[i + 1]), column.indices + 4 * begins[i]);
    file.read(rows.values.subarray(ends[i], ends[i + 1]), column.values + 4 * begins[i]);
  }
  return rows;
}
