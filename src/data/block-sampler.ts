import { createPermutation, type Permutation } from './permutation.ts';
import { batchShape, type Sampler, type SamplerOptions, shardRange } from './sampler.ts';

/** How the rows of a data set that is read from disk are shuffled: in whole blocks, and row by row within a window of blocks. */
export interface BlockPlan {
  /** Rows that lie together on disk and are read at once. */
  readonly blockRows: number;
  /** Blocks of a window: two windows are in memory. */
  readonly windowBlocks: number;
  /** Places between the rows of two blocks in memory: rows that overlap reach beyond the place where the next one begins. Default 0. */
  readonly gap?: number;
}

/** Places for rows that one of the two windows in memory has: its last block takes the rows that fill none. */
export function windowCapacity({ blockRows, windowBlocks, gap = 0 }: BlockPlan): number {
  return (blockRows + gap) * (windowBlocks + 1);
}

/** A run of rows that is read at once. */
export type TakeBlock = (firstRow: number, rows: number, place: number) => void;

/**
 * A sampler for rows on disk. Each epoch cuts the blocks, in a new random order, into windows; the rows of a window are shuffled
 * among themselves. All of it is a pure function of (seed, epoch). Windows are counted through all epochs; window g lies in half g % 2
 * of the memory for windows.
 */
export interface BlockSampler extends Sampler {
  /** As `Sampler.ids`; `places` gets the place of each row in the memory for windows. */
  ids(step: number, shard: number, shards: number, out: Int32Array, places?: Int32Array): number;
  /** The first and the last window that a step needs. */
  firstWindow(step: number): number;
  lastWindow(step: number): number;
  /** Rows of the smallest window: a batch may not be larger. */
  readonly smallestWindow: number;
  /** Calls `take` with each run of rows of window `g`, and its place in the memory for windows. */
  eachBlock(g: number, take: TakeBlock): void;
}

export function createBlockSampler(options: SamplerOptions & { readonly blocks: BlockPlan }): BlockSampler {
  const { size, seed, shuffle, blocks } = options;
  const { blockRows, windowBlocks, gap = 0 } = blocks;
  const { stepsPerEpoch, batchRows, epochOf, firstOf } = batchShape(options);
  const capacity = windowCapacity(blocks);
  const whole = Math.floor(size / blockRows);
  const windows = Math.max(1, Math.ceil(whole / windowBlocks));
  // Windows of nearly the same size: a small last one would hardly be shuffled.
  const firstBlock = (w: number): number => Math.floor((w * whole) / windows);
  const begin = (w: number): number => (w === windows ? size : blockRows * firstBlock(w));
  const order = whole > 0 ? createPermutation(whole, seed, 'blocks', 0) : undefined;
  const inside = new Map<number, Permutation>();
  const shuffled = (rows: number): Permutation => {
    const permutation = inside.get(rows) ?? createPermutation(rows, seed, 'shuffle', 0);
    inside.set(rows, permutation);
    return permutation;
  };
  let smallest = size;
  for (let w = 0; w < windows; w++) smallest = Math.min(smallest, begin(w + 1) - begin(w));

  let window = 0;
  const windowOf = (position: number): number => {
    while (position >= begin(window + 1)) window += 1;
    while (position < begin(window)) window -= 1;
    return window;
  };
  /** First row of the block that comes as number `block` in the epoch. */
  const rowOfBlock = (block: number): number => blockRows * (shuffle && order ? order.at(block) : block);

  return {
    stepsPerEpoch,
    batchRows,
    epochOf,
    smallestWindow: smallest,
    firstWindow: (step) => epochOf(step) * windows + windowOf(firstOf(step)),
    lastWindow: (step) => epochOf(step) * windows + windowOf(firstOf(step) + batchRows(step) - 1),
    ids(step, shard, shards, out, places) {
      const [from, to] = shardRange(batchRows(step), shards, shard);
      const epoch = epochOf(step);
      const first = firstOf(step) + from;
      order?.use(epoch);
      for (let i = 0; i < to - from; i++) {
        const w = windowOf(first + i);
        const g = epoch * windows + w;
        let q = first + i - begin(w);
        if (shuffle) {
          const permutation = shuffled(begin(w + 1) - begin(w));
          permutation.use(g);
          q = permutation.at(q);
        }
        const block = Math.floor(q / blockRows);
        const inBlocks = firstBlock(w + 1) - firstBlock(w);
        out[i] =
          block < inBlocks
            ? rowOfBlock(firstBlock(w) + block) + (q - block * blockRows)
            : whole * blockRows + q - inBlocks * blockRows;
        if (places) places[i] = (g % 2) * capacity + q + block * gap;
      }
      return to - from;
    },
    eachBlock(g, take) {
      const epoch = Math.floor(g / windows);
      const w = g - epoch * windows;
      order?.use(epoch);
      const base = (g % 2) * capacity;
      const inBlocks = firstBlock(w + 1) - firstBlock(w);
      for (let b = 0; b < inBlocks; b++) take(rowOfBlock(firstBlock(w) + b), blockRows, base + b * (blockRows + gap));
      const rest = size - whole * blockRows;
      if (w === windows - 1 && rest > 0) take(whole * blockRows, rest, base + inBlocks * (blockRows + gap));
    },
  };
}
