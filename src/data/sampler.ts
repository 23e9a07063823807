import { LockstepError } from '../errors.ts';
import { createPermutation } from './permutation.ts';

/** Which rows each shard of each step gets: a pure function of (seed, step, shard), the same on every worker and node. */
export interface Sampler {
  /** Updates in one pass over the rows; the last batch of an epoch may be smaller. */
  readonly stepsPerEpoch: number;
  /** Rows in the global batch of `step` (from 1). */
  batchRows(step: number): number;
  /** Epoch of `step`, from 0. */
  epochOf(step: number): number;
  /**
   * Writes the row ids of shard `shard` of `shards` into `out` and gives their number (0 is possible in a ragged batch). Allocates nothing.
   * `places`: where the rows lie in memory, if that is not their ids (BlockSampler).
   */
  ids(step: number, shard: number, shards: number, out: Int32Array, places?: Int32Array): number;
}

export interface SamplerOptions {
  /** Rows of the split. */
  readonly size: number;
  /** Rows of the global batch; more than `size` means all. */
  readonly batchSize: number;
  readonly seed: number;
  /** Each epoch in another random order; false: in the order of the table (evaluation). */
  readonly shuffle: boolean;
}

/** The positions of shard `shard` within a batch of `batch` rows: from floor(s*B/S) up to floor((s+1)*B/S). */
export function shardRange(batch: number, shards: number, shard: number): [begin: number, end: number] {
  return [shardBegin(batch, shards, shard), shardBegin(batch, shards, shard + 1)];
}

function shardBegin(batch: number, shards: number, shard: number): number {
  return Math.floor((shard * batch) / shards);
}

/** The batches of an epoch. Throws E_OPTION for a size or batch that is no positive integer. */
export function batchShape(options: Pick<SamplerOptions, 'size' | 'batchSize'>) {
  const { size } = options;
  for (const [name, value] of [
    ['size', size],
    ['batchSize', options.batchSize],
  ] as const) {
    if (Number.isInteger(value) && value >= 1 && (name === 'batchSize' || value <= 2 ** 31 - 1)) continue;
    throw new LockstepError('E_OPTION', {
      where: `createSampler: ${name}`,
      expected: 'an integer of at least 1',
      got: String(value),
      fix: name === 'size' ? 'give the number of rows' : 'choose a batch of at least one row',
    });
  }
  const batchSize = Math.min(options.batchSize, size);
  const stepsPerEpoch = Math.ceil(size / batchSize);
  const epochOf = (step: number): number => Math.floor((step - 1) / stepsPerEpoch);
  const firstOf = (step: number): number => (step - 1 - epochOf(step) * stepsPerEpoch) * batchSize;
  const batchRows = (step: number): number => Math.min(batchSize, size - firstOf(step));
  return { stepsPerEpoch, epochOf, firstOf, batchRows };
}

/** See {@link Sampler}. Throws E_OPTION for a size or batch that is no positive integer. */
export function createSampler(options: SamplerOptions): Sampler {
  const { size, seed, shuffle } = options;
  const { stepsPerEpoch, epochOf, firstOf, batchRows } = batchShape(options);
  const permutation = createPermutation(size, seed, 'shuffle', 0);
  return {
    stepsPerEpoch,
    batchRows,
    epochOf,
    ids(step, shard, shards, out) {
      const rows = batchRows(step);
      const begin = shardBegin(rows, shards, shard);
      const count = shardBegin(rows, shards, shard + 1) - begin;
      if (count > out.length) throw tooSmall(count, out.length);
      const first = firstOf(step) + begin;
      if (!shuffle) {
        for (let i = 0; i < count; i++) out[i] = first + i;
        return count;
      }
      permutation.use(epochOf(step));
      for (let i = 0; i < count; i++) out[i] = permutation.at(first + i);
      return count;
    },
  };
}

function tooSmall(count: number, room: number): LockstepError {
  return new LockstepError('E_SHAPE', {
    where: 'sampler.ids',
    expected: `room for ${count} ids`,
    got: `an array of ${room}`,
    fix: 'give an array of at least ceil(batchSize / shards) elements',
  });
}
