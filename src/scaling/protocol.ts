import type { Block } from '../graph/layout.ts';
import type { ShardRange } from '../membership/assignment.ts';
import { planPartials, planReduction, planRoots, type TreeNode } from '../parallel/gradient-tree.ts';
import { codecOf, encodedBytes, WIRE_FORMATS, type WireFormat } from '../parallel/wire-format.ts';

/** Bytes of a partial sum, and of the parameters or their update, in each format: as the cluster sends them. */
export function wireBytes(blocks: readonly Block[], elements: number): Record<WireFormat, number> {
  const bytes = (format: WireFormat): number => {
    const codec = codecOf(format);
    return codec ? encodedBytes(blocks, codec) : 4 * elements;
  };
  return Object.fromEntries(WIRE_FORMATS.map((format) => [format, bytes(format)])) as Record<WireFormat, number>;
}

const nothing = (): boolean => false;

/** The partial sums in which a node's run of shards ends: the largest nodes of the gradient tree that it can finish by itself. */
export function rootsOf(range: ShardRange, shards: number): readonly TreeNode[] {
  if (range.count === 0) return [];
  const { partials } = planPartials(range, shards, range.count, nothing, true);
  return planRoots(partials, shards, range, nothing);
}

/** Additions that are left to whoever collects these sums, which cover all shards. */
export function additionsOf(sums: readonly TreeNode[], shards: number): number {
  return planReduction(sums, shards).additions.reduce((count, { operands }) => count + operands.length - 1, 0);
}

/** Sums that are left when one node adds what it can of those of neighbours, which cover a run of shards. */
export function mergedSums(sums: readonly TreeNode[], shards: number, range: ShardRange): readonly TreeNode[] {
  return planRoots(sums, shards, range, nothing);
}
