import { shardRange } from '../data/sampler.ts';
import type { ShardRange } from '../membership/assignment.ts';
import { assignShards } from '../membership/assignment.ts';
import type { Addition } from './gradient-tree.ts';
import { planPartials, planReduction, slotsNeeded } from './gradient-tree.ts';
import type { Session } from './session.ts';

export type StepInstruction =
  | {
      readonly kind: 'compute';
      readonly shard: number;
      readonly rows: number;
      readonly slot: number;
      readonly accumulate: boolean;
    }
  | { readonly kind: 'merge'; readonly into: number; readonly from: number };

export type ComputeInstruction = Extract<StepInstruction, { kind: 'compute' }>;

/** What one worker does in a step of a given batch size, with addresses. Made once per batch size. */
export interface StepPlan {
  readonly batchRows: number;
  readonly instructions: readonly StepInstruction[];
  /** Addresses of all partial sums of the node, in tree order. */
  readonly sources: readonly number[];
  readonly additions: readonly Addition[];
  /** Where the complete gradient lies after the reduction. */
  readonly gradient: number;
  /** 1 for each shard that has rows. */
  readonly nonEmpty: Uint8Array;
}

type PlanInput = Pick<Session, 'shards' | 'workers' | 'partialSlots' | 'accumulate' | 'layout'>;

export function planStep(session: PlanInput, rank: number, batchRows: number): StepPlan {
  const { shards, layout, partialSlots } = session;
  const rowsOf = (shard: number) => {
    const [begin, end] = shardRange(batchRows, shards, shard);
    return end - begin;
  };
  const isEmpty = (shard: number) => rowsOf(shard) === 0;
  const plans = assignShards(shards, session.workers).map((range) =>
    planPartials(range, shards, partialSlots, isEmpty, session.accumulate),
  );
  const partials = plans.flatMap((plan, worker) =>
    plan.partials.map((p) => ({ ...p, address: layout.workers[worker].partials[p.slot] })),
  );
  const reduction = planReduction(partials, shards);
  const sources = partials.map((p) => p.address);
  return {
    batchRows,
    instructions: plans[rank].instructions.map((i) => (i.kind === 'compute' ? { ...i, rows: rowsOf(i.shard) } : i)),
    sources,
    additions: reduction.additions,
    gradient: reduction.single === undefined ? layout.reduced : sources[reduction.single],
    nonEmpty: Uint8Array.from({ length: shards }, (_, shard) => (isEmpty(shard) ? 0 : 1)),
  };
}

/**
 * Partial-sum slots for each worker: one for every shard while they stay within `budgetBytes` (fewer passes over memory),
 * and never fewer than the tree needs.
 */
export function partialSlots(shards: number, workers: number, vectorBytes: number, budgetBytes: number): number {
  const most = Math.max(...assignShards(shards, workers).map((range: ShardRange) => range.count), 1);
  const affordable = Math.floor(budgetBytes / Math.max(1, vectorBytes));
  return Math.min(most, Math.max(slotsNeeded(most), affordable));
}

/** Temporaries that the reduction may need, whatever the plan. */
export function reductionTemporaries(shards: number): number {
  return 2 * Math.ceil(Math.log2(Math.max(2, shards))) + 2;
}
