import { createSampler } from '../data/sampler.ts';
import { LockstepError } from '../errors.ts';
import { planStep } from '../parallel/step-plan.ts';
import type { OpenRun } from './open-run.ts';

/** Ids that a message lists before it says how many more there are. */
const MOST_IDS = 16;

/**
 * What broke in `step`, read from what the workers left in the arena: the first shard whose loss is not finite and its rows,
 * else the first shards whose gradient is not, and the first parameter tensor with a bad gradient (or a bad value).
 */
export function nonFiniteError(run: OpenRun, step: number, loss: number, gradNorm: number): LockstepError {
  const { session } = run;
  const shard = badShard(run, step);
  const rows = shard === undefined ? '' : `; shard ${shard}, rows ${listIds(run, step, shard)}`;
  const tensor = badTensor(run, step);
  return new LockstepError('E_NON_FINITE', {
    where: `step ${step}`,
    expected: 'a finite loss and gradient',
    got: `loss ${loss}, gradient norm ${gradNorm}${rows}${tensor ? `; first bad tensor: ${tensor}` : ''}`,
    fix:
      session.nonFinite === 'skip'
        ? 'too many bad steps in a row: lower the learning rate, or clip: { globalNorm: 1 }; the parameters are those before this step'
        : "lower the learning rate, clip: { globalNorm: 1 }, look at those rows, or nonFinite: 'skip'; the parameters are those before this step",
  });
}

function badShard({ session }: OpenRun, step: number): number | undefined {
  const width = session.sums.length;
  const sums = new Float64Array(session.memory.buffer, session.layout.shardSums, session.shards * width);
  for (let shard = 0; shard < session.shards; shard++) {
    if (!Number.isFinite(sums[shard * width])) return shard;
  }
  const plans = Array.from({ length: session.workers }, (_, rank) => planStep(session, rank, batchRows(session, step)));
  for (const [rank, { instructions }] of plans.entries()) {
    const targets = instructions.flatMap((i) => (i.kind === 'compute' ? i.shards : []));
    const merged = new Set(instructions.flatMap((i) => (i.kind === 'merge' ? [i.into, i.from] : [])));
    for (const { shard, slot } of targets) {
      // A partial sum of several shards does not say whose gradient is bad.
      if (merged.has(slot) || targets.some((t) => t.slot === slot && t.shard !== shard)) continue;
      const address = session.layout.workers[rank].partials[slot];
      if (session.tensors.some((t) => hasBad(session, address + 4 * t.offset, t.size))) return shard;
    }
  }
  return undefined;
}

function badTensor({ session }: OpenRun, step: number): string | undefined {
  const { gradient } = planStep(session, 0, batchRows(session, step));
  const { parameters } = session.layout;
  const value = session.tensors.find((t) => hasBad(session, parameters + 4 * t.offset, t.size));
  if (value) return `${value.name} (its value)`;
  const grad = session.tensors.find((t) => hasBad(session, gradient + 4 * t.offset, t.size));
  return grad && `${grad.name} (its gradient)`;
}

function listIds({ session }: OpenRun, step: number, shard: number): string {
  const ids = new Int32Array(session.batchSize);
  const count = samplerOf(session).ids(step, shard, session.shards, ids);
  const split = session.splits.train;
  const rows = Array.from(ids.subarray(0, Math.min(count, MOST_IDS)), (id) =>
    split?.kind === 'computed' && split.ids ? split.ids[id] : id,
  );
  return `${rows.join(', ')}${count > MOST_IDS ? ` and ${count - MOST_IDS} more` : ''} of the training split`;
}

function batchRows(session: OpenRun['session'], step: number): number {
  return samplerOf(session).batchRows(step);
}

function samplerOf({ splits, batchSize, seed, shuffle }: OpenRun['session']) {
  return createSampler({ size: splits.train?.size ?? 1, batchSize, seed, shuffle });
}

function hasBad({ memory }: OpenRun['session'], address: number, size: number): boolean {
  const values = new Float32Array(memory.buffer, address, size);
  for (let i = 0; i < size; i++) if (!Number.isFinite(values[i])) return true;
  return false;
}
