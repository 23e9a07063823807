import { shardRange } from '../data/sampler.ts';
import { sizeOf } from '../graph/tensor.ts';
import { assignShards } from '../membership/assignment.ts';
import { computeShards } from './gradient-pass.ts';
import type { WorkerState } from './worker-state.ts';

/** The first shard of a step whose numbers broke. */
export interface BadShard {
  readonly shard: number;
  /** Its loss is not finite; else its gradient. */
  readonly loss: boolean;
  /** First parameter tensor whose gradient is not finite. */
  readonly tensor?: string;
  /** Rows of the shard, by their place in it, with inputs that are not finite. */
  readonly rows: readonly number[];
}

/**
 * Computes this worker's shards of step t once more, each by itself: a partial sum of several does not say whose numbers broke.
 * The parameters must be those before the step. Writes partial sums, batch and activations only.
 */
export function inspectShards(worker: WorkerState, t: number): BadShard | undefined {
  const { session, bound } = worker;
  const trained = session.tensors.filter(({ sparse }, i) => !sparse && !bound.groups[bound.groupOf[i]].frozen);
  const batchRows = worker.sampler.batchRows(t);
  const sums = new Float64Array(session.shards * session.sums.length);
  const mine = assignShards(session.shards, session.workers)[worker.rank];
  for (let shard = mine.first; shard < mine.first + mine.count; shard++) {
    const [begin, end] = shardRange(batchRows, session.shards, shard);
    const rows = end - begin;
    if (rows === 0) continue;
    const shards = [{ shard, rows, slot: 0, accumulate: false }];
    computeShards(worker, { instructions: [{ kind: 'compute', rows, shards }], idle: [] }, t, sums);
    const loss = !Number.isFinite(sums[shard * session.sums.length]);
    const flat = trained.find(({ offset, size }) => hasBad(worker, worker.regions.partials[0] + 4 * offset, size));
    const tensor = flat?.name ?? worker.rowGradients.badTable(shard);
    if (!loss && !tensor) continue;
    return { shard, loss, ...(tensor && { tensor }), rows: badRows(worker, rows) };
  }
  return undefined;
}

/** Rows of the batch that lies there now. */
function badRows(worker: WorkerState, count: number): number[] {
  const { fields } = worker.programs.programOf(count);
  return Array.from({ length: count }, (_, row) => row).filter((row) =>
    fields.some(({ dtype, shape, offset }) => {
      const width = sizeOf(shape) / count;
      return dtype === 'f32' && hasBad(worker, worker.regions.batch + offset + 4 * row * width, width);
    }),
  );
}

function hasBad({ session }: WorkerState, address: number, size: number): boolean {
  return !new Float32Array(session.memory.buffer, address, size).every(Number.isFinite);
}
