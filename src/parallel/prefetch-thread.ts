import { parentPort, workerData } from 'node:worker_threads';
import { createBlockSampler, windowCapacity } from '../data/block-sampler.ts';
import type { SamplerOptions } from '../data/sampler.ts';
import { readFully } from '../data/scratch-file.ts';
import type { SparseAddress } from './session.ts';
import {
  EMPTY,
  FAILED,
  held,
  RUNNING,
  STATE,
  type StreamedAddress,
  type StreamedColumn,
  type StreamedSparse,
  WANTED_STEP,
  WINDOW_WORDS,
} from './windows.ts';

/** What the thread is given when it starts. */
export interface PrefetchData {
  readonly memory: WebAssembly.Memory;
  readonly address: StreamedAddress;
  readonly columns: readonly StreamedColumn[];
  readonly sparse: readonly (SparseAddress & StreamedSparse)[];
  readonly sampler: SamplerOptions;
}

/**
 * Thread entry of prefetch.ts: keeps the window that the workers are in and the one after it in memory. When they have left a window,
 * the next but one takes its place; when they go back (a run that is replayed after a loss), so does this.
 */
function prefetch({ memory, address, columns, sparse, sampler: options }: PrefetchData): void {
  const { fd, blocks } = address;
  const words = new Int32Array(memory.buffer, address.words, WINDOW_WORDS);
  const bytes = new Uint8Array(memory.buffer);
  const sampler = createBlockSampler({ ...options, blocks });
  const sparseReaders = sparse.map((column) => sparseReader(column, address, memory.buffer));
  const load = (g: number): void => {
    Atomics.store(words, held(g), EMPTY);
    const readers = sparseReaders.map((begin) => begin(g));
    sampler.eachBlock(g, (firstRow, rows, place) => {
      for (const read of readers) read(firstRow, rows, place);
      for (const { fileOffset, rowBytes, stepBytes, address: begin } of columns) {
        const at = begin + place * stepBytes;
        readFully(fd, bytes.subarray(at, at + (rows - 1) * stepBytes + rowBytes), fileOffset + firstRow * stepBytes);
      }
    });
    Atomics.store(words, held(g), g);
    Atomics.notify(words, held(g));
  };
  while (Atomics.load(words, STATE) === RUNNING) {
    const step = Atomics.load(words, WANTED_STEP);
    // Before the first step nobody has said where the run begins.
    const first = step === 0 ? 0 : sampler.firstWindow(step);
    const missing = step === 0 ? undefined : [first, first + 1].find((g) => Atomics.load(words, held(g)) !== g);
    if (missing === undefined) Atomics.wait(words, WANTED_STEP, step);
    else load(missing);
  }
}

/** Brings the sparse rows of window `g` block by block: their values lie one after the other in its half, and pointers are of the arena. */
function sparseReader(
  column: SparseAddress & StreamedSparse,
  { fd, blocks }: StreamedAddress,
  buffer: ArrayBufferLike,
) {
  const { windowValues, nonZero, filePointers, fileIndices, fileValues } = column;
  const pointers = new Int32Array(buffer, column.pointers, 2 * windowCapacity(blocks) + 1);
  const indices = new Int32Array(buffer, column.indices, nonZero);
  const values = new Float32Array(buffer, column.values, nonZero);
  return (g: number) => {
    let top = (g % 2) * windowValues;
    return (firstRow: number, rows: number, place: number): void => {
      const own = pointers.subarray(place, place + rows + 1);
      readFully(fd, own, filePointers + 4 * firstRow);
      const from = own[0];
      const end = top + own[rows] - from;
      readFully(fd, indices.subarray(top, end), fileIndices + 4 * from);
      readFully(fd, values.subarray(top, end), fileValues + 4 * from);
      for (let i = 0; i <= rows; i++) own[i] += top - from;
      top = end;
    };
  };
}

const data: PrefetchData = workerData;
try {
  prefetch(data);
} catch (error) {
  const words = new Int32Array(data.memory.buffer, data.address.words, WINDOW_WORDS);
  Atomics.store(words, STATE, FAILED);
  for (const g of [0, 1]) Atomics.notify(words, held(g));
  parentPort?.postMessage(error instanceof Error ? error.message : String(error));
}
