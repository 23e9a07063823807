import { shardRange } from '../data/sampler.ts';
import { treeSum } from './gradient-tree.ts';
import type { StepPlan } from './step-plan.ts';
import type { WorkerState } from './worker-state.ts';

/** How far gradients of parts of a batch lie from that of the whole: one step's sample for the gradient-noise scale. */
export interface NoiseSample {
  readonly step: number;
  /** Mean over the partial sums of the squared norm of their mean gradient. */
  readonly parts: number;
  /** Mean over them of 1 / rows. */
  readonly inverseRows: number;
  /** The same of the whole batch. */
  readonly whole: number;
  readonly inverseBatch: number;
}

/** Samples that are kept: the newest. */
const SAMPLES = 512;
/** Doubles of a sample. */
const WIDTH = 5;

/** Bytes of the table of norms and of the ring of samples. */
export function noiseBytes(workers: number, shards: number): number {
  return 8 * (WIDTH * SAMPLES + workers * shards);
}

/**
 * Every so many steps a worker keeps the partial sums of its shards apart (the same bytes come out) and takes their squared norms in
 * its blocks; rank 0 adds them up. Nothing of it enters the result. Rows of sparse tables take no part.
 */
export class NoiseSampler {
  readonly #worker: WorkerState;
  readonly #every: number;
  /** f64 [workers, shards]. */
  readonly #norms: Float64Array;
  readonly #ring: Float64Array;

  constructor(worker: WorkerState, every: number) {
    const { memory, layout, workers, shards } = worker.session;
    this.#worker = worker;
    this.#every = every;
    this.#ring = new Float64Array(memory.buffer, layout.noise, WIDTH * SAMPLES);
    this.#norms = new Float64Array(memory.buffer, layout.noise + 8 * WIDTH * SAMPLES, workers * shards);
  }

  /** Whether step t is a sample. */
  takes(t: number): boolean {
    return t % this.#every === 0;
  }

  /** Phase 2, of a sampled step: squared norms of all partial sums in my blocks. Reads what the reduction has just read. */
  reduce(t: number, plan: StepPlan): void {
    if (!this.takes(t)) return;
    const { kernels, reducedBlocks, rank, session } = this.#worker;
    for (let i = 0; i < plan.sources.length; i++) {
      let sum = 0;
      for (const block of reducedBlocks) sum += kernels.squaredNorm(plan.sources[i] + 4 * block.offset, block.length);
      this.#norms[rank * session.shards + i] = sum;
    }
  }

  /** Rank 0, of a sampled step, when all norms are there: the sample. Skipped where the batch is one partial sum, or weighs nothing. */
  write(t: number, plan: StepPlan): void {
    const { session, shardSums, totals } = this.#worker;
    const { shards, workers } = session;
    const stride = session.sums.length;
    const count = plan.partials.length;
    if (!this.takes(t) || count < 2) return;
    let parts = 0;
    let inverseRows = 0;
    for (let i = 0; i < count; i++) {
      const { first, count: leaves } = plan.partials[i];
      const weight = treeSum(shardSums, stride, 1, first, leaves, plan.nonEmpty);
      let squared = 0;
      for (let rank = 0; rank < workers; rank++) squared += this.#norms[rank * shards + i];
      const rows =
        shardRange(plan.batchRows, shards, first + leaves - 1)[1] - shardRange(plan.batchRows, shards, first)[0];
      parts += squared / weight ** 2 / count;
      inverseRows += 1 / rows / count;
    }
    const at = WIDTH * (Math.floor(t / this.#every) % SAMPLES);
    this.#ring[at + 1] = parts;
    this.#ring[at + 2] = inverseRows;
    this.#ring[at + 3] = totals.squaredNorm / totals.weight ** 2;
    this.#ring[at + 4] = 1 / plan.batchRows;
    this.#ring[at] = t;
  }
}

/** The samples of a session after step `after`, up to `to`, by step; between two steps, or of steps that are recorded. */
export function readNoise(buffer: ArrayBufferLike, address: number, after: number, to: number): NoiseSample[] {
  const ring = new Float64Array(buffer, address, WIDTH * SAMPLES);
  const samples: NoiseSample[] = [];
  for (let at = 0; at < ring.length; at += WIDTH) {
    const [step, parts, inverseRows, whole, inverseBatch] = ring.subarray(at, at + WIDTH);
    if (step > after && step <= to && Number.isFinite(parts) && Number.isFinite(whole))
      samples.push({ step, parts, inverseRows, whole, inverseBatch });
  }
  return samples.sort((a, b) => a.step - b.step);
}
