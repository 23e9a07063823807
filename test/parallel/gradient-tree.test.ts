import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assignShards, type ShardRange } from '../../src/membership/assignment.ts';
import { splitPoint } from '../../src/membership/tree-sums.ts';
import {
  planPartials,
  planReduction,
  planRoots,
  type ReductionPlan,
  slotsNeeded,
  type TreeNode,
  treeSum,
} from '../../src/parallel/gradient-tree.ts';
import { mostRoots } from '../../src/parallel/step-plan.ts';

/** The definition, written down once more: add the two halves of every node, an empty half adds nothing. */
function oracle(values: (string | undefined)[]): string | undefined {
  if (values.length === 1) return values[0];
  let split = 1;
  while (split * 2 < values.length) split *= 2;
  const left = oracle(values.slice(0, split));
  const right = oracle(values.slice(split));
  return left === undefined || right === undefined ? (left ?? right) : `(${left}+${right})`;
}

type Symbols = TreeNode & { readonly value: string };

/** Runs the plans of the workers that have the shards of `range`, on symbols instead of numbers: they show the order of every addition. */
function partialSums(
  range: ShardRange,
  shards: number,
  workers: number,
  capacity: number,
  isEmpty: (shard: number) => boolean,
  accumulate: boolean,
): Symbols[] {
  return assignShards(range.count, workers).flatMap((part) => {
    const mine = { first: range.first + part.first, count: part.count };
    const plan = planPartials(mine, shards, capacity, isEmpty, accumulate);
    const slots: string[] = [];
    for (const i of plan.instructions) {
      if (i.kind === 'compute') {
        expect(i.slot).toBeLessThan(capacity);
        slots[i.slot] = i.accumulate ? `(${slots[i.slot]}+g${i.shard})` : `g${i.shard}`;
      } else slots[i.into] = `(${slots[i.into]}+${slots[i.from]})`;
    }
    return plan.partials.map((p) => ({ ...p, value: slots[p.slot] }));
  });
}

/** What the additions of a plan make of sources. */
function runReduction(plan: ReductionPlan, sources: readonly Symbols[]): string | undefined {
  const temporaries: string[] = [];
  let root = plan.single === undefined ? undefined : sources[plan.single].value;
  for (const { operands, out } of plan.additions) {
    const v = operands.map((o) => (o >= 0 ? sources[o].value : temporaries[-1 - o]));
    const sum = v.length === 2 ? `(${v[0]}+${v[1]})` : `((${v[0]}+${v[1]})+(${v[2]}+${v[3]}))`;
    if (out === 'root') root = sum;
    else {
      expect(-1 - out).toBeLessThan(plan.temporaries);
      temporaries[-1 - out] = sum;
    }
  }
  return root;
}

describe('gradient tree', () => {
  test('splits at the largest power of two below n', () => {
    expect([2, 3, 4, 5, 8, 9, 12, 16].map(splitPoint)).toEqual([1, 2, 2, 4, 4, 8, 8, 8]);
  });

  test('any workers, slots and empty shards add in the order of the tree', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 12 }),
        fc.infiniteStream(fc.boolean()),
        fc.boolean(),
        fc.boolean(),
        (shards, workers, extra, coins, ragged, accumulate) => {
          const empty = new Set<number>();
          if (ragged) for (let s = 0; s < shards; s++) if (coins.next().value) empty.add(s);
          const most = Math.max(...assignShards(shards, workers).map((r) => r.count));
          const symbols = Array.from({ length: shards }, (_, s) => (empty.has(s) ? undefined : `g${s}`));
          const all = { first: 0, count: shards };
          const isEmpty = (s: number) => empty.has(s);
          const partials = partialSums(all, shards, workers, slotsNeeded(most) + extra, isEmpty, accumulate);
          expect(runReduction(planReduction(partials, shards), partials)).toBe(oracle(symbols));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('any nodes with any runs of shards, each with workers of its own, add in the order of the tree', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.record({ cut: fc.nat(40), workers: fc.integer({ min: 1, max: 5 }) }), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.infiniteStream(fc.boolean()),
        fc.boolean(),
        fc.boolean(),
        (shards, nodes, coins, ragged, accumulate) => {
          const empty = new Set<number>();
          if (ragged) for (let s = 0; s < shards; s++) if (coins.next().value) empty.add(s);
          const isEmpty = (s: number) => empty.has(s);
          const cuts = [0, ...nodes.slice(1).map(({ cut }) => Math.min(cut, shards)), shards].sort((a, b) => a - b);
          const uploads = nodes.flatMap(({ workers }, i) => {
            const range = { first: cuts[i], count: cuts[i + 1] - cuts[i] };
            const most = Math.max(...assignShards(range.count, workers).map((r) => r.count));
            const partials = partialSums(range, shards, workers, slotsNeeded(most) + 1, isEmpty, accumulate);
            const roots = planRoots(partials, shards, range, isEmpty);
            expect(roots.length).toBeLessThanOrEqual(mostRoots(shards));
            return roots.map((root): Symbols => {
              const value = runReduction(root, partials);
              const symbols = Array.from({ length: root.count }, (_, i) => root.first + i);
              expect(value).toBe(oracle(symbols.map((s) => (empty.has(s) ? undefined : `g${s}`))));
              return { first: root.first, count: root.count, value: value ?? '' };
            });
          });
          const all = Array.from({ length: shards }, (_, s) => (empty.has(s) ? undefined : `g${s}`));
          expect(runReduction(planReduction(uploads, shards), uploads)).toBe(oracle(all));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('side sums follow the same tree', () => {
    const values = Float64Array.from({ length: 12 }, (_, i) => 0.1 * 3 ** i);
    const all = new Uint8Array(12).fill(1);
    const v = [...values];
    const eight = v[0] + v[1] + (v[2] + v[3]) + (v[4] + v[5] + (v[6] + v[7]));
    expect(treeSum(values, 1, 0, 0, 12, all)).toBe(eight + (v[8] + v[9] + (v[10] + v[11])));
    const some = Uint8Array.from(all, (_, i) => (i === 3 ? 0 : 1));
    expect(treeSum(values, 1, 0, 0, 4, some)).toBe(v[0] + v[1] + v[2]);
  });
});
