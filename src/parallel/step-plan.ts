import { shardRange } from '../data/sampler.ts';
import type { ShardRange } from '../membership/assignment.ts';
import { assignShards } from '../membership/assignment.ts';
import {
  type Addition,
  type PartialInstruction,
  type PartialPlan,
  planPartials,
  planReduction,
  planRoots,
  type Root,
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
  | {
      readonly kind: 'compute';
      readonly rows: number;
      readonly shards: readonly ShardTarget[];
      /** All that this worker adds to the node's one sum is final when this is: it can be added up meanwhile (early-sum.ts). */
      readonly last?: true;
    }
  | { readonly kind: 'merge'; readonly into: number; readonly from: number };

export type ComputeInstruction = Extract<StepInstruction, { kind: 'compute' }>;

/** A sum that the node makes of its partial sums: to the root of the tree, or, of a part of the shards, as far as they go. */
export interface NodeSum extends ShardRange {
  readonly additions: readonly Addition[];
  /** Where it lies afterwards. */
  readonly address: number;
}

/** What one worker does in a step of a given batch size, with addresses. Made once per batch size and range of shards. */
export interface StepPlan {
  readonly batchRows: number;
  readonly instructions: readonly StepInstruction[];
  /** All partial sums of the node, in tree order, and their addresses. */
  readonly partials: readonly ShardRange[];
  readonly sources: readonly number[];
  readonly sums: readonly NodeSum[];
  /** Where the complete gradient lies after the reduction; on one of many nodes, its first sum. */
  readonly gradient: number;
  /** 1 for each shard that has rows. */
  readonly nonEmpty: Uint8Array;
  /** Shards of this worker that have none. */
  readonly idle: readonly number[];
}

/** What decides who computes what, and how. */
export type InstructionInput = Pick<Session, 'shards' | 'workers' | 'partialSlots' | 'accumulate' | 'groupRows'> & {
  /** Groups that keep every bit and have a program, by the rows of their shards, joined by commas; absent: all. */
  readonly groups?: readonly string[];
};
type PlanInput = InstructionInput & Pick<Session, 'layout'>;

/**
 * The plan of worker `rank` for the shards of `range` of a batch: of all, where this process is alone. On one of many nodes it ends
 * in several sums, which lie in `layout.uploads`.
 */
export function planStep(
  session: PlanInput,
  rank: number,
  batchRows: number,
  range: ShardRange = { first: 0, count: session.shards },
): StepPlan {
  const { shards } = session;
  const isEmpty = emptyIn(session, batchRows);
  const roots = (partials: readonly ShardRange[]) => planRoots(partials, shards, range, isEmpty);
  const plan = planRange(session, rank, batchRows, range, roots);
  return { ...plan, instructions: plan.sums.length === 1 ? endOf(plan.instructions) : plan.instructions };
}

/**
 * The plan of worker `rank` for a step that this process makes by itself on the shards of `range`: the others might as well be empty, so
 * there is one sum (none when its shards are). With all shards it is the plan of a process that is alone.
 */
export function planShare(session: PlanInput, rank: number, batchRows: number, range: ShardRange): StepPlan {
  const { shards } = session;
  const roots = (partials: readonly ShardRange[]) =>
    partials.length === 0 ? [] : [{ first: 0, count: shards, ...planReduction(partials, shards) }];
  const plan = planRange(session, rank, batchRows, range, roots);
  return { ...plan, nonEmpty: plan.nonEmpty.map((some, shard) => (some && isIn([range], shard) ? 1 : 0)) };
}

function planRange(
  session: PlanInput,
  rank: number,
  batchRows: number,
  range: ShardRange,
  rootsOf: (partials: readonly ShardRange[]) => readonly Root[],
): StepPlan {
  const { layout } = session;
  const isEmpty = emptyIn(session, batchRows);
  const plans = workerPlans(session, batchRows, range);
  const mine = assignShards(range.count, session.workers)[rank];
  const partials = plans.flatMap((plan, worker) =>
    plan.partials.map((p) => ({ ...p, address: layout.workers[worker].partials[p.slot] })),
  );
  const sources = partials.map((p) => p.address);
  const roots = rootsOf(partials);
  const sums = roots.map(({ first, count, additions, single }, i): NodeSum => {
    const made = roots.length === 1 ? layout.reduced : layout.uploads[i];
    return { first, count, additions, address: single === undefined ? made : sources[single] };
  });
  return {
    batchRows,
    instructions: instructionsOf(session, plans[rank], batchRows),
    partials,
    sources,
    sums,
    gradient: sums[0]?.address ?? layout.reduced,
    nonEmpty: nonEmptyIn(session, batchRows),
    idle: Array.from({ length: mine.count }, (_, i) => range.first + mine.first + i).filter(isEmpty),
  };
}

/** Marks the last instruction where it is the only one to change what is final when it ends. */
function endOf(instructions: readonly StepInstruction[]): readonly StepInstruction[] {
  const end = instructions.at(-1);
  if (end?.kind !== 'compute') return instructions;
  return [...instructions.slice(0, -1), { ...end, last: true }];
}

/**
 * The plan of a coordinator's worker: other nodes have computed all partial sums of the batch; or, of several batches (the largest first),
 * what their local steps came to: one sum of each node, whatever shards it has, and none of a node that was lost.
 */
export function planGathered(
  session: Pick<Session, 'shards' | 'layout' | 'pace'>,
  batches: readonly number[],
  gathered: readonly (ShardRange & { readonly address: number })[],
): StepPlan {
  const local = session.pace !== undefined;
  const [batchRows] = batches;
  const sources = gathered.map(({ address }) => address);
  const nodes = local ? gathered.map(({ first }) => ({ first, count: 1 })) : gathered;
  const { additions, single } = planReduction(nodes, session.shards);
  const address = single === undefined ? session.layout.reduced : sources[single];
  const nonEmpty = nonEmptyIn(session, batchRows);
  return {
    batchRows: local ? rowsIn(session, batches, gathered) : batchRows,
    instructions: [],
    partials: gathered,
    sources,
    sums: [{ first: 0, count: session.shards, additions, address }],
    gradient: address,
    nonEmpty: local ? nonEmpty.map((some, shard) => (some && isIn(gathered, shard) ? 1 : 0)) : nonEmpty,
    idle: [],
  };
}

const isIn = (ranges: readonly ShardRange[], shard: number): boolean =>
  ranges.some(({ first, count }) => shard >= first && shard < first + count);

/** Rows that these shards have in these batches. */
function rowsIn(shards: Shards, batches: readonly number[], ranges: readonly ShardRange[]): number {
  let rows = 0;
  for (const batch of batches) {
    for (let shard = 0; shard < shards.shards; shard++) if (isIn(ranges, shard)) rows += rowsOf(shards, batch, shard);
  }
  return rows;
}

/** Most sums in which the shards of any range can end. */
export function mostRoots(shards: number): number {
  return Math.max(1, 2 * Math.ceil(Math.log2(Math.max(1, shards))));
}

type Shards = Pick<Session, 'shards'>;

function rowsOf({ shards }: Shards, batchRows: number, shard: number): number {
  const [begin, end] = shardRange(batchRows, shards, shard);
  return end - begin;
}

const emptyIn = (input: Shards, batchRows: number) => (shard: number) => rowsOf(input, batchRows, shard) === 0;

function nonEmptyIn(input: Shards, batchRows: number): Uint8Array {
  const isEmpty = emptyIn(input, batchRows);
  return Uint8Array.from({ length: input.shards }, (_, shard) => (isEmpty(shard) ? 0 : 1));
}

/** Which partial sums each worker makes, and how. */
function workerPlans(input: InstructionInput, batchRows: number, { first, count }: ShardRange): PartialPlan[] {
  const { shards, workers, partialSlots: capacity, accumulate } = input;
  const isEmpty = emptyIn(input, batchRows);
  return assignShards(count, workers).map((part) =>
    planPartials({ first: first + part.first, count: part.count }, shards, capacity, isEmpty, accumulate),
  );
}

function instructionsOf(input: InstructionInput, plan: PartialPlan, batchRows: number): StepInstruction[] {
  const tried = input.groups && new Set(input.groups);
  const limit = input.groupRows[batchRows] ?? 0;
  return group(
    plan.instructions,
    (shard) => rowsOf(input, batchRows, shard),
    (rows) => rows.reduce((sum, n) => sum + n, 0) <= limit,
    (rows) => tried?.has(rows.join()) !== false,
  );
}

/** Neighbouring shards in groups, each as large as it may be. */
function group(
  instructions: readonly PartialInstruction[],
  rowsOf: (shard: number) => number,
  fits: (rows: readonly number[]) => boolean,
  isTried: (rows: readonly number[]) => boolean,
): StepInstruction[] {
  const steps: StepInstruction[] = [];
  for (let i = 0; i < instructions.length; i++) {
    const instruction = instructions[i];
    if (instruction.kind === 'merge') {
      steps.push(instruction);
      continue;
    }
    const shards: ShardTarget[] = [];
    let length = 1;
    for (let j = i; j < instructions.length; j++) {
      const next = instructions[j];
      if (next.kind === 'merge') break;
      const { shard, slot, accumulate } = next;
      shards.push({ shard, slot, accumulate, rows: rowsOf(shard) });
      if (shards.length === 1) continue;
      const rows = shards.map((s) => s.rows);
      if (!fits(rows)) break;
      if (isTried(rows)) length = shards.length;
    }
    const together = shards.slice(0, length);
    steps.push({ kind: 'compute', rows: together.reduce((sum, s) => sum + s.rows, 0), shards: together });
    i += length - 1;
  }
  return steps;
}

/** The groups that any worker of a node has in a batch of this size: rows of each shard, by group. `nodes`: how many may share the batch. */
export function groupsOf(input: InstructionInput, batchRows: number, nodes: readonly number[] = [1]): number[][] {
  const groups = new Map<string, number[]>();
  for (const range of nodes.flatMap((n) => assignShards(input.shards, n))) {
    for (const plan of workerPlans(input, batchRows, range)) {
      for (const instruction of instructionsOf(input, plan, batchRows)) {
        if (instruction.kind !== 'compute' || instruction.shards.length < 2) continue;
        const rows = instruction.shards.map((s) => s.rows);
        groups.set(rows.join(), rows);
      }
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
