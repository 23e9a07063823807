import { parentPort, workerData } from 'node:worker_threads';
import { createBlockSampler } from '../data/block-sampler.ts';
import type { SamplerOptions } from '../data/sampler.ts';
import { readFully } from '../data/scratch-file.ts';
import {
  EMPTY,
  FAILED,
  held,
  RUNNING,
  STATE,
  type StreamedAddress,
  type StreamedColumn,
  WANTED_STEP,
  WINDOW_WORDS,
} from './windows.ts';

/** What the thread is given when it starts. */
export interface PrefetchData {
  readonly memory: WebAssembly.Memory;
  readonly address: StreamedAddress;
  readonly columns: readonly StreamedColumn[];
  readonly sampler: SamplerOptions;
}

/**
 * Thread entry of prefetch.ts: keeps the window that the workers are in and the one after it in memory. When they have left a window,
 * the next but one takes its place; when they go back (a run that is replayed after a loss), so does this.
 */
function prefetch({ memory, address, columns, sampler: options }: PrefetchData): void {
  const { fd, blocks } = address;
  const words = new Int32Array(memory.buffer, address.words, WINDOW_WORDS);
  const bytes = new Uint8Array(memory.buffer);
  const sampler = createBlockSampler({ ...options, blocks });
  const load = (g: number): void => {
    Atomics.store(words, held(g), EMPTY);
    sampler.eachBlock(g, (firstRow, rows, place) => {
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

const data: PrefetchData = workerData;
try {
  prefetch(data);
} catch (error) {
  const words = new Int32Array(data.memory.buffer, data.address.words, WINDOW_WORDS);
  Atomics.store(words, STATE, FAILED);
  for (const g of [0, 1]) Atomics.notify(words, held(g));
  parentPort?.postMessage(error instanceof Error ? error.message : String(error));
}
