import { createHash } from 'node:crypto';
import { windowCapacity } from '../data/block-sampler.ts';
import type { ComputedRead, FieldInfo } from '../data/contract.ts';
import { readFully } from '../data/scratch-file.ts';
import { writeSparseRow } from '../data/sparse.ts';
import { byteValue } from '../data/transforms.ts';
import { LockstepError } from '../errors.ts';
import type { Field } from '../graph/program.ts';
import { sizeOf } from '../graph/tensor.ts';
import { philox4x32 } from '../kernels/math.ts';
import type { KernelTable } from '../kernels/table.ts';
import type { SparseAddress, SplitAddress } from './session.ts';

/** Fills the batch region with the rows whose ids lie in the worker's id list. */
export type Gather = (rows: number, epoch: number) => void;

/** Gather from columns in the arena: one kernel call a field. `ids`: address of the rows' ids, or of their places in windows. */
export function gatherTable(
  split: SplitAddress & { kind: 'table' | 'streamed' },
  fields: readonly Field[],
  batch: number,
  ids: number,
  kernels: KernelTable,
  buffer: ArrayBufferLike,
): Gather {
  const places = split.kind === 'table' ? split.size : 2 * windowCapacity(split.blocks);
  const calls = fields.map((field): Gather => {
    const rows = split.sparse?.find((c) => c.name === field.name);
    if (rows) return gatherSparse(rows, places, field, buffer, batch, ids);
    const column = split.columns.find((c) => c.name === field.name);
    if (!column) throw new RangeError(`gather: no column ${field.name}`);
    const { address, width, stride, scale, shift } = column;
    const out = batch + field.offset;
    if (stride !== undefined) return (rows) => kernels.gatherWindows(out, address, ids, rows, width, stride);
    return column.bytes
      ? (rows) => kernels.gatherBytes(out, address, ids, rows, width, scale, shift)
      : (rows) => kernels.gatherWords(out, address, ids, rows, width);
  });
  return (rows, epoch) => {
    for (let i = 0; i < calls.length; i++) calls[i](rows, epoch);
  };
}

/** Dense rows of sparse ones. */
function gatherSparse(
  { pointers, indices, values, nonZero, width }: SparseAddress,
  places: number,
  field: Field,
  buffer: ArrayBufferLike,
  batch: number,
  ids: number,
): Gather {
  const rows = {
    pointers: new Int32Array(buffer, pointers, places + 1),
    indices: new Int32Array(buffer, indices, nonZero),
    values: new Float32Array(buffer, values, nonZero),
  };
  const wanted = new Int32Array(buffer, ids, field.shape[0]);
  const out = new Float32Array(buffer, batch + field.offset, sizeOf(field.shape));
  return (count) => {
    for (let i = 0; i < count; i++) writeSparseRow(rows, wanted[i], out, i * width, width);
  };
}

/** Gather from a file: neighbouring rows are read at once, straight into the batch where they need no conversion. */
export function gatherFile(
  split: SplitAddress & { kind: 'file' },
  fields: readonly Field[],
  buffer: SharedArrayBuffer,
  batch: number,
  ids: Int32Array,
): Gather {
  const calls = fields.map((field) => {
    const sparse = split.sparse?.find((c) => c.name === field.name);
    if (sparse) return readSparse(split.fd, sparse, field, buffer, batch);
    const column = split.columns.find((c) => c.name === field.name);
    if (!column) throw new RangeError(`gather: no column ${field.name}`);
    const { width, rowBytes, stepBytes, fileOffset, bytes, scale, shift } = column;
    const out = new Float32Array(buffer, batch + field.offset, sizeOf(field.shape));
    const raw = bytes ? new Uint8Array(out.length) : new Uint8Array(buffer, batch + field.offset, 4 * out.length);
    const table = Float32Array.from({ length: 256 }, (_, byte) => byteValue(byte, scale, shift));
    return (first: number, row: number, count: number): void => {
      const together = stepBytes === rowBytes ? count : 1; // rows that overlap come one by one
      for (let i = 0; i < count; i += together) {
        const begin = (row + i) * rowBytes;
        readFully(split.fd, raw.subarray(begin, begin + together * rowBytes), fileOffset + (first + i) * stepBytes);
      }
      if (bytes) for (let i = row * width; i < (row + count) * width; i++) out[i] = table[raw[i]];
    };
  });
  return (rows) => {
    for (let row = 0, count = 0; row < rows; row += count) {
      for (count = 1; row + count < rows && ids[row + count] === ids[row] + count; ) count += 1;
      for (const read of calls) read(ids[row], row, count);
    }
  };
}

/** Dense rows of sparse ones in a file: `count` rows from row `first` on, into the batch from its row `row` on. */
function readSparse(
  fd: number,
  { width, filePointers, fileIndices, fileValues }: NonNullable<(SplitAddress & { kind: 'file' })['sparse']>[number],
  field: Field,
  buffer: ArrayBufferLike,
  batch: number,
): (first: number, row: number, count: number) => void {
  const out = new Float32Array(buffer, batch + field.offset, sizeOf(field.shape));
  const pointers = new Int32Array(field.shape[0] + 1);
  return (first, row, count) => {
    readFully(fd, pointers.subarray(0, count + 1), filePointers + 4 * first);
    const [from] = pointers;
    const rows = { pointers: pointers.map((p) => p - from), indices: new Int32Array(pointers[count] - from), values: new Float32Array(pointers[count] - from) }; // biome-ignore format: one line
    readFully(fd, rows.indices, fileIndices + 4 * from);
    readFully(fd, rows.values, fileValues + 4 * from);
    for (let i = 0; i < count; i++) writeSparseRow(rows, i, out, (row + i) * width, width);
  };
}

/**
 * Gather by user code: `read` writes one row at a time into staging arrays that are copied into the batch. They are zeros before
 * each row: what a `read` leaves out must not be what some other row, on this worker by chance, has left there.
 */
export function gatherComputed(
  split: SplitAddress & { kind: 'computed' },
  read: ComputedRead,
  fields: readonly Field[],
  buffer: SharedArrayBuffer,
  batch: number,
  ids: Int32Array,
  seed: number,
): Gather {
  const staging: Record<string, Float32Array | Int32Array> = {};
  for (const field of split.fields) {
    const size = sizeOf(field.shape);
    staging[field.name] = field.dtype === 'i32' ? new Int32Array(size) : new Float32Array(size);
  }
  const targets = fields.map((field) => {
    const size = sizeOf(field.shape);
    return {
      from: staging[field.name],
      to:
        field.dtype === 'i32'
          ? new Int32Array(buffer, batch + field.offset, size)
          : new Float32Array(buffer, batch + field.offset, size),
      width: size / field.shape[0],
    };
  });
  const staged = Object.values(staging);
  const random = new RowRandom(seed);
  return (rows, epoch) => {
    for (let row = 0; row < rows; row++) {
      const id = split.ids ? split.ids[ids[row]] : ids[row];
      random.start(epoch, id);
      for (const values of staged) values.fill(0);
      const returned: unknown = read(id, staging, random.next);
      if (returned instanceof Promise) throw asyncRead(returned);
      for (const field of split.fields) checkIndices(field, staging[field.name], id);
      for (const { from, to, width } of targets) to.set(from, row * width);
    }
  };
}

/** An async function fits the type of `read`, but writes its row when the batch has long been computed. */
function asyncRead(returned: Promise<unknown>): LockstepError {
  returned.catch(() => undefined); // it is not waited for
  return new LockstepError('E_CUSTOM_CODE', {
    where: 'dataset: read',
    expected: 'a function that has written its row when it returns',
    got: 'a promise',
    fix: 'read synchronously (readSync of an open file, arrays in memory), or give the rows with rows() or csv()',
  });
}

/** Indices that user code gave must be in range: kernels read tables by them. */
function checkIndices(field: FieldInfo, values: Float32Array | Int32Array, id: number): void {
  const { size } = field;
  if (size === undefined) return;
  for (let i = 0; i < values.length; i++) {
    if (values[i] >= 0 && values[i] < size) continue;
    throw new LockstepError('E_LABEL', {
      where: `dataset: row ${id}, field ${field.name}`,
      expected: `integers from 0 to ${size - 1}`,
      got: String(values[i]),
      fix: 'correct `read`, or declare a larger size in the spec',
    });
  }
}

/** Uniform numbers keyed by (seed, purpose, epoch, row id): the same for a row whoever reads it. */
export class RowRandom {
  readonly #counter = new Uint32Array(4);
  readonly #key: Uint32Array;
  readonly #out = new Uint32Array(4);
  #lane = 4;

  constructor(seed: number, purpose = 'row') {
    this.#key = purposeKey(seed, purpose);
  }

  start(epoch: number, id: number): void {
    this.#counter[0] = 0;
    this.#counter[1] = id;
    this.#counter[2] = epoch;
    this.#lane = 4;
  }

  next = (): number => {
    if (this.#lane === 4) {
      philox4x32(this.#counter, this.#key, this.#out);
      this.#counter[0] += 1;
      this.#lane = 0;
    }
    return (this.#out[this.#lane++] >>> 8) / 16777216;
  };
}

/** A Philox key for one use of the seed, so that shuffle, dropout, initialisation ... never share a stream. */
export function purposeKey(seed: number, purpose: string): Uint32Array {
  const digest = createHash('sha256').update(`${purpose}\0${seed}`).digest();
  return Uint32Array.of(digest.readUInt32LE(0), digest.readUInt32LE(4));
}
