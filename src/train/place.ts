import { type BlockPlan, windowCapacity } from '../data/block-sampler.ts';
import { type LoadedData, type SparseColumn, type Split, type Streamed, type StreamedColumn, type StreamedSparse, strideOf } from '../data/contract.ts'; // biome-ignore format: a list
import { sizeOf } from '../graph/tensor.ts';
import type { PlacedAugmentation } from '../parallel/augment.ts';
import type { ModuleRef, SplitAddress, SplitName } from '../parallel/session.ts';
import { EMPTY, held, WINDOW_WORDS } from '../parallel/windows.ts';

const ALIGNMENT = 64;

type Splits = readonly (readonly [SplitName, Split])[];

/** The splits of a data set under the names that records use. */
export function namedSplits(data: LoadedData): Splits {
  const all: [SplitName, Split | undefined][] = [
    ['train', data.train],
    ['val', data.validation],
    ['test', data.test],
  ];
  return all.flatMap(([name, split]) => (split ? [[name, split] as const] : []));
}

/** Bytes that the tables of all splits take in the arena. */
export function dataBytes(splits: Splits): number {
  let bytes = 0;
  for (const [name, split] of splits) {
    if (split.kind === 'table') {
      for (const column of split.columns) bytes += padded(column.data.byteLength);
      for (const column of split.sparse ?? []) for (const part of sparseParts(column)) bytes += padded(part.byteLength);
    }
    if (split.kind === 'streamed' && name === 'train') bytes += windowBytes(split);
  }
  return bytes;
}

/** Copies the tables into the arena from `address` on, and says where each column lies. */
export function placeData(
  splits: Splits,
  buffer: ArrayBufferLike,
  address: number,
  reads: ReadonlyMap<SplitName, ModuleRef>,
): Partial<Record<SplitName, SplitAddress>> {
  let top = address;
  const placed: Partial<Record<SplitName, SplitAddress>> = {};
  for (const [name, split] of splits) {
    if (split.kind === 'computed') {
      const read = reads.get(name);
      if (!read) throw new RangeError(`no module reference for split ${name}`);
      const ids = split.ids && sharedCopy(split.ids);
      placed[name] = { kind: 'computed', size: split.size, fields: split.fields, read, ids };
      continue;
    }
    if (split.kind === 'streamed') {
      placed[name] = name === 'train' ? placeWindows(split, buffer, top) : fileAddress(split);
      if (name === 'train') top += windowBytes(split);
      continue;
    }
    const columns = split.columns.map((column) => {
      const bytes = new Uint8Array(column.data.buffer, column.data.byteOffset, column.data.byteLength);
      new Uint8Array(buffer, top, bytes.length).set(bytes);
      const at = top;
      top += padded(bytes.length);
      return {
        name: column.name,
        address: at,
        width: sizeOf(column.shape),
        ...(column.stride !== undefined && { stride: column.stride }),
        bytes: column.data instanceof Uint8Array,
        scale: column.scale,
        shift: column.shift,
      };
    });
    const sparse = split.sparse?.map((column) => {
      const [pointers, indices, values] = sparseParts(column).map((part) => {
        new Uint8Array(buffer, top, part.byteLength).set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
        const at = top;
        top += padded(part.byteLength);
        return at;
      });
      return {
        name: column.name,
        width: sizeOf(column.shape),
        nonZero: column.values.length,
        pointers,
        indices,
        values,
      };
    });
    placed[name] = { kind: 'table', size: split.size, columns, ...(sparse ? { sparse } : {}) };
  }
  return placed;
}

const sparseParts = ({ pointers, indices, values }: SparseColumn) => [pointers, indices, values];

const WORDS_BYTES = padded(4 * WINDOW_WORDS);

/** Two windows of rows, and the words about them. */
function windowBytes({ columns, sparse = [], blocks }: Streamed): number {
  const dense = columns.map((column) => padded(2 * windowCapacity(blocks) * stepBytes(column)));
  const lists = sparse.map(({ windowValues }) => padded(pointerBytes(blocks)) + 2 * padded(8 * windowValues));
  return [...dense, ...lists].reduce((a, b) => a + b, WORDS_BYTES);
}

const pointerBytes = (blocks: BlockPlan): number => 4 * (2 * windowCapacity(blocks) + 1);

function placeWindows(split: Streamed, buffer: ArrayBufferLike, address: number): SplitAddress {
  const { blocks, size, file } = split;
  const words = new Int32Array(buffer, address, WINDOW_WORDS).fill(0);
  for (const g of [0, 1]) words[held(g)] = EMPTY;
  let top = address + WORDS_BYTES;
  const columns = split.columns.map((column) => {
    const at = top;
    top += padded(2 * windowCapacity(blocks) * stepBytes(column));
    return { ...columnOnDisk(column), address: at };
  });
  const sparse = split.sparse?.map((column) => {
    const take = (bytes: number): number => {
      const at = top;
      top += padded(bytes);
      return at;
    };
    const { windowValues } = column;
    const lists = { pointers: take(pointerBytes(blocks)), indices: take(8 * windowValues), values: take(8 * windowValues) }; // biome-ignore format: one line
    return { ...sparseOnDisk(column), ...lists, windowValues, nonZero: 2 * windowValues };
  });
  return { kind: 'streamed', size, fd: file.fd, words: address, blocks, columns, ...(sparse && { sparse }) };
}

function fileAddress({ size, file, columns, sparse }: Streamed): SplitAddress {
  const lists = sparse && { sparse: sparse.map(sparseOnDisk) };
  return { kind: 'file', size, fd: file.fd, columns: columns.map(columnOnDisk), ...lists };
}

function sparseOnDisk({ name, shape, pointers, indices, values }: StreamedSparse) {
  return { name, width: sizeOf(shape), filePointers: pointers, fileIndices: indices, fileValues: values };
}

function columnOnDisk(column: StreamedColumn) {
  const { name, shape, stride, elements, offset, scale, shift } = column;
  return {
    name,
    width: sizeOf(shape),
    ...(stride !== undefined && { stride }),
    bytes: elements === 'u8',
    scale,
    shift,
    fileOffset: offset,
    rowBytes: sizeOf(shape) * elementBytes(column),
    stepBytes: stepBytes(column),
  };
}

const stepBytes = (column: StreamedColumn): number => strideOf(column) * elementBytes(column);
const elementBytes = ({ elements }: StreamedColumn): number => (elements === 'u8' ? 1 : 4);

/** What the workers are told of the augmentations of a data set. */
export function placeAugmentations({ augment = {}, train }: LoadedData): PlacedAugmentation[] {
  const columns = train.kind === 'computed' ? [] : train.columns;
  const shiftOf = (field: string) => columns.find((c) => c.name === field)?.shift ?? 0;
  return Object.entries(augment).map(([field, options]) => ({ ...options, field, zero: shiftOf(field) }));
}

function sharedCopy(ids: Int32Array): Int32Array {
  const copy = new Int32Array(new SharedArrayBuffer(ids.byteLength));
  copy.set(ids);
  return copy;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
