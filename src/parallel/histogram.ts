import { treeSum } from './gradient-tree.ts';
import type { WorkerState } from './worker-state.ts';

/** The values of one tensor in the blocks of one worker, counted by the first 11 bits of their floats: sign, exponent, quarter of an octave. */
export interface TensorCounts {
  readonly tensor: number;
  readonly of: 'weights' | 'gradients';
  /** What values are to be multiplied by. */
  readonly scale: number;
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly sumOfSquares: number;
  /** Bucket and number in turn, for buckets that hold something. */
  readonly buckets: readonly number[];
}

const SHIFT = 21;
const BUCKETS = 1 << (32 - SHIFT);
const NEGATIVE = BUCKETS / 2;
/** Buckets of one sign with finite values: the last exponent is that of NaN and the infinities. */
const FINITE = 0x7f800000 >>> SHIFT;

/**
 * Counts the parameters of this worker's blocks, and the gradient that the update of step `t` was made from: a mean over the global
 * batch, before it was clipped by its global norm and after any other clipping. Reads only. Sparse tables have no whole gradient.
 */
export function countTensors(worker: WorkerState, t: number): TensorCounts[] {
  const { session, shardSums, reducedBlocks, frozenBlocks } = worker;
  const { layout, clip, tensors } = session;
  const plan = worker.plans.range(worker.sampler.batchRows(t));
  const weight = treeSum(shardSums, session.sums.length, 1, 0, session.shards, plan.nonEmpty);
  const rewritten = [clip.tensorNorm, clip.blockRms, clip.adaptive, clip.value].some((limit) => limit !== undefined);
  const gradients = rewritten ? { address: layout.reduced, scale: 1 } : { address: plan.gradient, scale: 1 / weight };
  const weights = { address: layout.parameters, scale: 1 };
  const counted: TensorCounts[] = [];
  for (const [tensor, { sparse }] of tensors.entries()) {
    const trained = reducedBlocks.filter((block) => block.tensor === tensor);
    const all = [...trained, ...frozenBlocks.filter((block) => block.tensor === tensor)];
    if (all.length > 0) counted.push({ tensor, of: 'weights', ...count(session.memory, weights, all) });
    if (trained.length > 0 && !sparse && weight > 0) {
      counted.push({ tensor, of: 'gradients', ...count(session.memory, gradients, trained) });
    }
  }
  return counted;
}

function count(
  { buffer }: WebAssembly.Memory,
  { address, scale }: { address: number; scale: number },
  blocks: readonly { offset: number; length: number }[],
): Omit<TensorCounts, 'tensor' | 'of'> {
  const counts = new Uint32Array(BUCKETS);
  let [number, sum, sumOfSquares] = [0, 0, 0];
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { offset, length } of blocks) {
    const values = new Float32Array(buffer, address + 4 * offset, length);
    const words = new Uint32Array(buffer, address + 4 * offset, length);
    for (let i = 0; i < length; i++) {
      const value = values[i];
      const bucket = value === 0 ? 0 : words[i] >>> SHIFT;
      if (bucket % NEGATIVE >= FINITE) continue;
      counts[bucket] += 1;
      number += 1;
      sum += value;
      sumOfSquares += value * value;
      if (value < min) min = value;
      if (value > max) max = value;
    }
  }
  const buckets: number[] = [];
  for (let i = 0; i < BUCKETS; i++) if (counts[i] > 0) buckets.push(i, counts[i]);
  return { scale, count: number, min, max, sum, sumOfSquares, buckets };
}

/** What the workers have counted of one tensor, put together: ascending upper limits of buckets, and how many values each holds. */
export function mergeCounts(parts: readonly TensorCounts[]): Omit<
  TensorCounts,
  'buckets' | 'tensor' | 'of' | 'scale'
> & {
  readonly limits: readonly number[];
  readonly counts: readonly number[];
} {
  const scale = parts[0]?.scale ?? 1;
  const total = new Float64Array(BUCKETS);
  for (const { buckets } of parts) for (let i = 0; i < buckets.length; i += 2) total[buckets[i]] += buckets[i + 1];
  const limits: number[] = [];
  const counts: number[] = [];
  let gap = true;
  for (let place = 0; place < 2 * FINITE; place++) {
    const bucket = place < FINITE ? NEGATIVE + FINITE - 1 - place : place - FINITE;
    if (total[bucket] === 0) {
      gap = true;
      continue;
    }
    if (gap) push(lowerLimit(bucket), 0); // an empty bucket says where this one begins
    push(upperLimit(bucket), total[bucket]);
    gap = false;
  }
  function push(limit: number, number: number): void {
    if (limits.at(-1) === scale * limit) return;
    limits.push(scale * limit);
    counts.push(number);
  }
  const sumOf = (of: (part: TensorCounts) => number) => parts.reduce((sum, part) => sum + of(part), 0);
  return {
    count: sumOf((part) => part.count),
    min: scale * Math.min(...parts.map((part) => part.min)),
    max: scale * Math.max(...parts.map((part) => part.max)),
    sum: scale * sumOf((part) => part.sum),
    sumOfSquares: scale ** 2 * sumOf((part) => part.sumOfSquares),
    limits,
    counts,
  };
}

/** Of a bucket, in the order of the numbers: of a negative one the edge next to zero is the upper. */
function upperLimit(bucket: number): number {
  return bucket < NEGATIVE ? floatOf((bucket + 1) << SHIFT) : 0 - floatOf((bucket - NEGATIVE) << SHIFT);
}

function lowerLimit(bucket: number): number {
  return bucket < NEGATIVE ? floatOf(bucket << SHIFT) : -floatOf((bucket - NEGATIVE + 1) << SHIFT);
}

const WORD = new Uint32Array(1);
const FLOAT = new Float32Array(WORD.buffer);

/** The largest finite float where the bits say infinity. */
function floatOf(bits: number): number {
  WORD[0] = Math.min(bits, 0x7f7fffff);
  return FLOAT[0];
}
