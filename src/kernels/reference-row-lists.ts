import type { ReferenceHeap } from './reference.ts';
import type { KernelTable } from './table.ts';
import { ROW_LIST_STRIDE } from './table.ts';

/** Lists of rows by maps: the oracle of assembly/row-lists.ts. */
export function rowListKernels({ real, int }: ReferenceHeap): Pick<KernelTable, 'listRows' | 'mergeRowLists'> {
  const rowAt = (address: number, width: number): number[] =>
    Array.from(real.subarray(address >> 2, (address >> 2) + width));
  const add = (a: readonly number[], b: readonly number[]): number[] => a.map((x, j) => x + b[j]);
  const round = real instanceof Float32Array ? Math.fround : (x: number) => x;

  /** Sum of the leaves in [first, first + count) that there are, split at the largest power of two below the count. */
  const treeSum = (leaves: ReadonlyMap<number, number[]>, first: number, count: number): number[] | undefined => {
    if (count === 1) return leaves.get(first);
    let left = 1;
    while (2 * left < count) left *= 2;
    const a = treeSum(leaves, first, left);
    const b = treeSum(leaves, first + left, count - left);
    return a && b ? add(a, b).map(round) : (a ?? b);
  };

  return {
    listRows(list, indices, dy, count, width, tableRows) {
      const sums = new Map<number, number[]>();
      for (let i = 0; i < count; i++) {
        const id = Math.min(Math.max(int[(indices >> 2) + i], 0), tableRows - 1);
        const row = rowAt(dy + 4 * i * width, width);
        const before = sums.get(id);
        sums.set(id, before ? add(before, row).map(round) : row);
      }
      const [, ids, rows] = int.subarray(list >> 2, (list >> 2) + 3);
      [...sums.keys()]
        .sort((a, b) => a - b)
        .forEach((id, i) => {
          int[(ids >> 2) + i] = id;
          real.set(sums.get(id) ?? [], (rows >> 2) + i * width);
        });
      int[list >> 2] = sums.size;
    },
    mergeRowLists(lists, stride, shards, perShard, first, end, buckets, places, ids, rows, width) {
      const all = Array.from({ length: shards * perShard }, (_, i) => {
        const header = lists + Math.floor(i / perShard) * stride + (i % perShard) * ROW_LIST_STRIDE;
        const [count, idsAt, rowsAt] = int.subarray(header >> 2, (header >> 2) + 3);
        return Array.from({ length: count }, (_, k) => ({
          id: int[(idsAt >> 2) + k],
          row: rowAt(rowsAt + 4 * k * width, width),
        }));
      });
      const sample = all.find((list) => list.length > 0) ?? [];
      const startOf = (b: number): number => {
        if (b === 0) return 0;
        return b === buckets ? Number.POSITIVE_INFINITY : (sample[Math.floor((b * sample.length) / buckets)]?.id ?? 0);
      };
      for (let b = first; b < end; b++) {
        const [low, high] = [startOf(b), startOf(b + 1)];
        const start = all.reduce((sum, list) => sum + list.filter(({ id }) => id < low).length, 0);
        const found = all.flatMap((list) => list.map(({ id }) => id)).filter((id) => id >= low && id < high);
        const distinct = [...new Set(found)].sort((x, y) => x - y);
        distinct.forEach((id, k) => {
          const leaves = new Map<number, number[]>();
          all.forEach((list, i) => {
            const entry = list.find((e) => e.id === id);
            if (entry) leaves.set(i, entry.row);
          });
          int[(ids >> 2) + start + k] = id;
          real.set(treeSum(leaves, 0, all.length) ?? [], (rows >> 2) + (start + k) * width);
        });
        int[(places >> 2) + 2 * b] = start;
        int[(places >> 2) + 2 * b + 1] = distinct.length;
      }
    },
  };
}
