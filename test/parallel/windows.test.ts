import { describe, expect, it } from 'vitest';
import { createBlockSampler, windowCapacity } from '../../src/data/block-sampler.ts';
import { ScratchFile } from '../../src/data/scratch-file.ts';
import { BARRIER_WORDS, poison } from '../../src/parallel/barrier.ts';
import { Prefetcher } from '../../src/parallel/prefetch.ts';
import type { Session } from '../../src/parallel/session.ts';
import { EMPTY, held, openWindows, STATE, WINDOW_WORDS } from '../../src/parallel/windows.ts';
import { failure } from '../data/folder.ts';

const blocks = { blockRows: 4, windowBlocks: 5 };
const [size, batchSize, width] = [103, 10, 3];

/** A session whose rows lie on disk, `stride` elements from one to the next: element j of row i is stride i + j. */
function session(stride = width, gap = 0) {
  const plan = { ...blocks, gap };
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const file = new ScratchFile();
  const values = Float32Array.from({ length: (size - 1) * stride + width }, (_, i) => i);
  const fileOffset = file.allocate(values.byteLength);
  file.write(values, fileOffset);
  const words = new Int32Array(memory.buffer, 0, WINDOW_WORDS);
  for (const g of [0, 1]) words[held(g)] = EMPTY;
  const address = 4 * WINDOW_WORDS;
  const column = {
    name: 'x',
    address,
    width,
    bytes: false,
    scale: 1,
    shift: 0,
    fileOffset,
    rowBytes: 4 * width,
    stepBytes: 4 * stride,
  };
  const train = { kind: 'streamed', size, fd: file.fd, words: 0, blocks: plan, columns: [column] } as const;
  const given = { memory, splits: { train }, batchSize, seed: 5, shuffle: true } as unknown as Session;
  const rows = new Float32Array(memory.buffer, address, 2 * windowCapacity(plan) * stride);
  return { given, rows, words, file, plan };
}

describe('windows of rows on disk', () => {
  it.each([
    ['rows', width, 0],
    ['rows that overlap', 1, 2],
    ['rows that overlap a little', 2, 1],
  ])('hold the %s of each step, forwards, over epochs, and back after a loss', async (_, stride, gap) => {
    const { given, rows, file, plan } = session(stride, gap);
    const sampler = createBlockSampler({ size, batchSize, seed: 5, shuffle: true, blocks: plan });
    const prefetcher = Prefetcher.start(given);
    const windows = openWindows(given, new Int32Array(BARRIER_WORDS));
    try {
      const forward = Array.from({ length: 3 * sampler.stepsPerEpoch }, (_, i) => i + 1);
      for (const step of [...forward, 2, 3, 4, 20, 1, 30]) {
        windows?.require(step);
        const [ids, places] = [new Int32Array(batchSize), new Int32Array(batchSize)];
        const count = sampler.ids(step, 0, 1, ids, places);
        for (let i = 0; i < count; i++) {
          const row = rows.subarray(places[i] * stride, places[i] * stride + width);
          expect(Array.from(row)).toEqual([0, 1, 2].map((j) => stride * ids[i] + j));
        }
      }
    } finally {
      await prefetcher?.stop();
      file.close();
    }
  });

  it('keep nobody waiting who was aborted, or whose thread is gone', async () => {
    const aborted = session();
    const barrier = new Int32Array(BARRIER_WORDS);
    poison(barrier);
    expect(() => openWindows(aborted.given, barrier)?.require(1)).toThrow(/aborted/);
    const gone = session();
    const prefetcher = Prefetcher.start(gone.given);
    await prefetcher?.stop();
    gone.words[held(0)] = EMPTY;
    gone.words[held(1)] = EMPTY;
    await failure('E_DATA_SOURCE', () => openWindows(gone.given, new Int32Array(BARRIER_WORDS))?.require(1));
    expect(gone.words[STATE]).not.toBe(0);
  });

  it('say so when the file cannot be read', async () => {
    const { given, file } = session();
    const { train } = given.splits;
    if (train?.kind !== 'streamed') throw new Error('not streamed');
    const beyond = { ...train, columns: train.columns.map((c) => ({ ...c, fileOffset: 1 << 20 })) };
    const broken = { ...given, splits: { train: beyond } };
    const prefetcher = Prefetcher.start(broken);
    try {
      await failure('E_DATA_SOURCE', () => openWindows(broken, new Int32Array(BARRIER_WORDS))?.require(1));
    } finally {
      await prefetcher?.stop();
      file.close();
    }
  });
});
