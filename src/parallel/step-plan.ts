import { shardRange } from '../data/sampler.ts';
import type { ShardRange } from '../membership/assignment.ts';
import { assignShards } from '../membership/assignment.ts';
import type { Addition } from './gradient-tree.ts';
import {
  type PartialInstruction,
  type PartialPlan,
  planPartials,
  planReduction,
  slotsNeeded,
} from './gradient-tree.ts';
import type { Session } from './session.ts';

/** Where a shard's gradient goes. */
export interface ShardTarget {
  readonly shard: number;
  readonly rows: number;
  readonly slot: number;
  readonly accumulate: boolean;
}

export type StepInstruction =
  /** One shard, or neighbours that go through one program together. */
  | { readonly kind: 'compute'; readonly rows: number; readonly shards: readonly ShardTarget[] }
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
  /** Shards of this worker that have none. */
  readonly idle: readonly number[];
}

/** What decides who computes what, and how. */
export type InstructionInput = Pick<Session, 'shards' | 'workers' | 'partialSlots' | 'accumulate' | 'groupRows'>;
type PlanInput = InstructionInput & Pick<Session, 'layout'>;

export function planStep(session: PlanInput, rank: number, batchRows: number): StepPlan {
  const { shards, layout } = session;
  const isEmpty = (shard: number) => rowsOf(session, batchRows, shard) === 0;
  const plans = workerPlans(session, batchRows);
  const mine = assignShards(shards, session.workers)[rank];
  const partials = plans.flatMap((plan, worker) =>
    plan.partials.map((p) => ({ ...p, address: layout.workers[worker].partials[p.slot] })),
  );
  const reduction = planReduction(partials, shards);
  const sources = partials.map((p) => p.address);
  return {
    batchRows,
    instructions: instructionsOf(session, plans[rank], batchRows),
    sources,
    additions: reduction.additions,
    gradient: reduction.single === undefined ? layout.reduced : sources[reduction.single],
    nonEmpty: Uint8Array.from({ length: shards }, (_, shard) => (isEmpty(shard) ? 0 : 1)),
    idle: Array.from({ length: mine.count }, (_, i) => mine.first + i).filter(isEmpty),
  };
}

function rowsOf({ shards }: InstructionInput, batchRows: number, shard: number): number {
  const [begin, end] = shardRange(batchRows, shards, shard);
  return end - begin;
}

/** Which partial sums each worker makes, and how. */
function workerPlans(input: InstructionInput, batchRows: number): PartialPlan[] {
  const { shards, workers, partialSlots: capacity, accumulate } = input;
  const isEmpty = (shard: number) => rowsOf(input, batchRows, shard) === 0;
  return assignShards(shards, workers).map((range) => planPartials(range, shards, capacity, isEmpty, accumulate));
}

function instructionsOf(input: InstructionInput, plan: PartialPlan, batchRows: number): StepInstruction[] {
  return group(plan.instructions, (shard) => rowsOf(input, batchRows, shard), input.groupRows[batchRows] ?? 0);
}

/** Neighbouring shards in groups of at most `groupRows` rows. */
function group(
  instructions: readonly PartialInstruction[],
  rowsOf: (shard: number) => number,
  groupRows: number,
): StepInstruction[] {
  const steps: StepInstruction[] = [];
  for (const instruction of instructions) {
    if (instruction.kind === 'merge') {
      steps.push(instruction);
      continue;
    }
    const { shard, slot, accumulate } = instruction;
    const target = { shard, slot, accumulate, rows: rowsOf(shard) };
    const last = steps[steps.length - 1];
    if (last?.kind === 'compute' && last.rows + target.rows <= groupRows) {
      steps[steps.length - 1] = { ...last, rows: last.rows + target.rows, shards: [...last.shards, target] };
    } else steps.push({ kind: 'compute', rows: target.rows, shards: [target] });
  }
  return steps;
}

/** The groups that any worker of a node has in a batch of this size: rows of each shard, by group. */
export function groupsOf(input: InstructionInput, batchRows: number): number[][] {
  const groups = new Map<string, number[]>();
  for (const plan of workerPlans(input, batchRows)) {
    for (const instruction of instructionsOf(input, plan, batchRows)) {
      if (instruction.kind !== 'compute' || instruction.shards.length < 2) continue;
      const rows = instruction.shards.map((s) => s.rows);
      groups.set(rows.join(), rows);
    }
  }
  return [...groups.values()];
}

/** Most shards of one group. */
export function largestGroup(groups: readonly (readonly number[])[]): number {
  return Math.max(1, ...groups.map((rows) => rows.length));
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
