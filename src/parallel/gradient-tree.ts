import type { ShardRange } from '../membership/assignment.ts';
import { splitPoint } from '../membership/tree-sums.ts';

/**
 * The gradient tree: the fixed binary tree over the shards in which gradients are added. Pure plans, no memory.
 *
 * A node covers shards [first, first + count); it splits at the largest power of two below its count. Floating-point
 * addition is not associative, so it is this tree, and not the number of workers, that fixes the bits of a sum. Any set of
 * nodes that covers the shards once (each worker's partial sums) can be finished to the root in the same order.
 *
 * Shards of a ragged batch may be empty; they add nothing: a node with an empty half *is* its other half.
 */
export type TreeNode = ShardRange;

/** A node whose sum lies in one of the worker's slots. */
export interface PartialSum extends TreeNode {
  readonly slot: number;
}

export type PartialInstruction =
  /** `accumulate`: the slot holds the left sibling of this shard, to which its gradient is added. */
  | { readonly kind: 'compute'; readonly shard: number; readonly slot: number; readonly accumulate: boolean }
  /** slot `into` += slot `from`. */
  | { readonly kind: 'merge'; readonly into: number; readonly from: number };

export interface PartialPlan {
  readonly instructions: readonly PartialInstruction[];
  /** What is left to be reduced, by first shard. */
  readonly partials: readonly PartialSum[];
}

/** One addition of the reduction; operands are sources (0 and up) or temporaries (-1 and down), out likewise or 'root'. */
export interface Addition {
  /** Two operands: a + b. Four: (a + b) + (c + d). */
  readonly operands: readonly number[];
  readonly out: number | 'root';
}

export interface ReductionPlan {
  readonly additions: readonly Addition[];
  /** When one source already is the root, nothing is added: its index. */
  readonly single?: number;
  readonly temporaries: number;
}

type IsEmpty = (shard: number) => boolean;

function children(node: TreeNode): [TreeNode, TreeNode] {
  const left = splitPoint(node.count);
  return [
    { first: node.first, count: left },
    { first: node.first + left, count: node.count - left },
  ];
}

/** Fewest slots with which a worker can sum `count` shards: a binary counter's digits, and one to compute into. */
export function slotsNeeded(count: number): number {
  return count <= 1 ? 1 : 2 + 2 * Math.floor(Math.log2(count));
}

/**
 * How a worker computes the shards of `range` into at most `capacity` slots. Sums stay apart while there is room (adding
 * them all in the reduction reads memory once); when slots run out, siblings are merged as in a binary counter.
 *
 * With `accumulate` a shard whose left sibling was summed just before is added to it as it is computed: no second slot, no
 * pass over memory for the addition.
 */
export function planPartials(
  range: ShardRange,
  shards: number,
  capacity: number,
  isEmpty: IsEmpty,
  accumulate: boolean,
): PartialPlan {
  const root: TreeNode = { first: 0, count: shards };
  const free = Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
  const instructions: PartialInstruction[] = [];
  const held: PartialSum[] = [];
  for (let shard = range.first; shard < range.first + range.count; shard++) {
    if (isEmpty(shard)) continue;
    const leaf = widen({ first: shard, count: 1 }, root, isEmpty);
    const before = held[held.length - 1];
    const parent = accumulate && before ? parentOf(leaf, root) : undefined;
    if (parent && sameNode(parentOf(before, root), parent)) {
      instructions.push({ kind: 'compute', shard, slot: before.slot, accumulate: true });
      held[held.length - 1] = { ...widen(parent, root, isEmpty), slot: before.slot };
      continue;
    }
    if (free.length === 0) free.push(mergeSiblings(held, root, isEmpty, instructions));
    const slot = free.pop() as number;
    instructions.push({ kind: 'compute', shard, slot, accumulate: false });
    held.push({ ...leaf, slot });
  }
  return { instructions, partials: held };
}

/** Merges the first two held nodes that are siblings; gives the slot that became free. */
function mergeSiblings(
  held: PartialSum[],
  root: TreeNode,
  isEmpty: IsEmpty,
  instructions: PartialInstruction[],
): number {
  for (let i = 0; i + 1 < held.length; i++) {
    const parent = parentOf(held[i], root);
    if (!parent || !sameNode(parentOf(held[i + 1], root), parent)) continue;
    const [into, from] = [held[i].slot, held[i + 1].slot];
    instructions.push({ kind: 'merge', into, from });
    held.splice(i, 2, { ...widen(parent, root, isEmpty), slot: into });
    return from;
  }
  throw new RangeError('gradient tree: more partial sums than slots');
}

/** The largest node that has the same sum because everything else in it is empty. */
function widen(node: TreeNode, root: TreeNode, isEmpty: IsEmpty): TreeNode {
  let wide = node;
  for (let parent = parentOf(wide, root); parent; parent = parentOf(wide, root)) {
    for (let s = parent.first; s < parent.first + parent.count; s++) {
      if ((s < wide.first || s >= wide.first + wide.count) && !isEmpty(s)) return wide;
    }
    wide = parent;
  }
  return wide;
}

function parentOf(node: TreeNode, root: TreeNode): TreeNode | undefined {
  let parent: TreeNode | undefined;
  let at = root;
  while (!sameNode(at, node)) {
    const [left, right] = children(at);
    parent = at;
    at = node.first < right.first ? left : right;
  }
  return parent;
}

function sameNode(a: TreeNode | undefined, b: TreeNode): boolean {
  return a !== undefined && a.first === b.first && a.count === b.count;
}

/** The additions that finish `sources` (disjoint nodes by first shard, which cover all non-empty shards) to the root, in tree order. */
export function planReduction(sources: readonly TreeNode[], shards: number): ReductionPlan {
  const sum = sumOf({ first: 0, count: shards }, sources, 0, sources.length);
  return sum === undefined ? { additions: [], temporaries: 0 } : planSum(sum);
}

/** The sum of a whole node of the tree, to be made from sources. */
export interface Root extends TreeNode, ReductionPlan {}

/**
 * The same for sources that cover only the non-empty shards of `range`: the largest nodes of the tree that they finish. What is
 * missing to the root is somebody else's.
 */
export function planRoots(
  sources: readonly TreeNode[],
  shards: number,
  range: ShardRange,
  isEmpty: IsEmpty,
): readonly Root[] {
  const end = range.first + range.count;
  const isForeign = (shard: number): boolean => !isEmpty(shard) && (shard < range.first || shard >= end);
  const roots: Root[] = [];
  const visit = (node: TreeNode, from: number, to: number): void => {
    if (from === to) return;
    if (!some(node, isForeign)) {
      const sum = sumOf(node, sources, from, to);
      if (sum !== undefined) roots.push({ ...node, ...planSum(sum) });
      return;
    }
    const [first, second] = children(node);
    const middle = firstFrom(sources, second.first, from, to);
    visit(first, from, middle);
    visit(second, middle, to);
  };
  visit({ first: 0, count: shards }, 0, sources.length);
  return roots;
}

function some({ first, count }: TreeNode, holds: (shard: number) => boolean): boolean {
  for (let shard = first; shard < first + count; shard++) if (holds(shard)) return true;
  return false;
}

/** A sum still to be made: a source, or an addition of two sums. */
type Sum = number | readonly [Sum, Sum];

/** Of sources [from, to), which are those that begin inside of the node. */
function sumOf(node: TreeNode, sources: readonly TreeNode[], from: number, to: number): Sum | undefined {
  if (from === to) return undefined;
  if (sameNode(sources[from], node)) return from;
  if (node.count === 1) return undefined;
  const [first, second] = children(node);
  const middle = firstFrom(sources, second.first, from, to);
  const [left, right] = [sumOf(first, sources, from, middle), sumOf(second, sources, middle, to)];
  if (left === undefined || right === undefined) return left ?? right;
  return [left, right];
}

function firstFrom(sources: readonly TreeNode[], shard: number, from: number, to: number): number {
  let at = from;
  while (at < to && sources[at].first < shard) at++;
  return at;
}

function planSum(sum: Sum): ReductionPlan {
  if (typeof sum === 'number') return { additions: [], single: sum, temporaries: 0 };
  const additions: Addition[] = [];
  let temporaries = 0;
  const emit = ([left, right]: readonly [Sum, Sum], out: number | 'root', depth: number): void => {
    const leaves: Sum[] = typeof left !== 'number' && typeof right !== 'number' ? [...left, ...right] : [left, right];
    let used = depth;
    const operands = leaves.map((leaf) => {
      if (typeof leaf === 'number') return leaf;
      const temporary = -1 - used;
      used += 1;
      temporaries = Math.max(temporaries, used);
      emit(leaf, temporary, used);
      return temporary;
    });
    additions.push({ operands, out });
  };
  emit(sum, 'root', 0);
  return { additions, temporaries };
}

/** Adds per-shard numbers in tree order: `values[shard * stride + offset]`; empty shards are skipped. f64, few shards. */
export function treeSum(
  values: Float64Array,
  stride: number,
  offset: number,
  first: number,
  count: number,
  nonEmpty: Uint8Array,
): number {
  if (count === 1) return nonEmpty[first] ? values[first * stride + offset] : 0;
  const left = splitPoint(count);
  return (
    treeSum(values, stride, offset, first, left, nonEmpty) +
    treeSum(values, stride, offset, first + left, count - left, nonEmpty)
  );
}
