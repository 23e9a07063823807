import type { Block } from '../graph/layout.ts';
import type { TensorEntry } from '../graph/program.ts';
import type { BoundOptimizer } from '../optim/groups.ts';

export interface IndexedBlock extends Block {
  readonly index: number;
}

/** What one call of an optimizer's update gets: a block of a tensor, or a whole tensor. */
export interface Piece {
  /** Index in the tensor table. */
  readonly tensor: number;
  readonly group: number;
  /** Element offset in the flat vectors. */
  readonly offset: number;
  readonly length: number;
  /** The blocks it consists of. */
  readonly blocks: readonly number[];
  /** Its place among all pieces of the node, by which partial sums are added: index of the block, or of the tensor. */
  readonly row: number;
}

interface Tables {
  readonly tensors: readonly TensorEntry[];
  readonly blocks: readonly Block[];
  readonly workers: number;
}

/** Contiguous blocks for each rank, balanced by floats. */
export function ownedBlocks({ blocks, workers }: Pick<Tables, 'blocks' | 'workers'>, rank: number): IndexedBlock[] {
  const total = blocks.reduce((sum, b) => sum + b.length, 0);
  const owned: IndexedBlock[] = [];
  let before = 0;
  blocks.forEach((block, index) => {
    const middle = before + block.length / 2;
    if (Math.min(workers - 1, Math.floor((middle * workers) / total)) === rank) owned.push({ ...block, index });
    before += block.length;
  });
  return owned;
}

/** The pieces that the worker `rank` updates. Every block of a tensor that is not frozen is in one piece of one worker. */
export function ownedPieces(optimizer: BoundOptimizer, tables: Tables, rank: number): Piece[] {
  const { def, groups, groupOf } = optimizer;
  const { tensors, blocks, workers } = tables;
  const trained = (tensor: number): boolean => !groups[groupOf[tensor]].frozen;
  if (def.unit !== 'tensor') {
    return ownedBlocks(tables, rank)
      .filter(({ tensor }) => trained(tensor))
      .map(({ tensor, offset, length, index }) => ({
        tensor, group: groupOf[tensor], offset, length, blocks: [index], row: index,
      })); // biome-ignore format: one line reads better
  }
  const costs = tensors.map((entry, i) =>
    trained(i) ? (def.cost?.(entry, groups[groupOf[i]].options) ?? entry.size) : 0,
  );
  return ownedTensors(costs, workers, rank)
    .filter(trained)
    .map((tensor) => ({
      tensor,
      group: groupOf[tensor],
      offset: tensors[tensor].offset,
      length: tensors[tensor].size,
      blocks: blocks.flatMap((block, index) => (block.tensor === tensor ? [index] : [])),
      row: tensor,
    }));
}

/** Whole tensors for each rank: the dearest first, each to the worker that has least so far. */
export function ownedTensors(costs: readonly number[], workers: number, rank: number): number[] {
  const loads = new Array<number>(workers).fill(0);
  const owned: number[] = [];
  const order = costs.map((_, i) => i).sort((a, b) => costs[b] - costs[a] || a - b);
  for (const tensor of order) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] += costs[tensor];
    if (least === rank) owned.push(tensor);
  }
  return owned.sort((a, b) => a - b);
}

/** Rows of each group in the table of partial sums, in the order in which they are added. */
export function rowsOfGroups(optimizer: BoundOptimizer, { tensors, blocks }: Omit<Tables, 'workers'>): Int32Array[] {
  const { def, groups, groupOf } = optimizer;
  const tensorOf = def.unit === 'tensor' ? tensors.map((_, i) => i) : blocks.map(({ tensor }) => tensor);
  return groups.map(({ frozen }, g) =>
    Int32Array.from(tensorOf.flatMap((tensor, row) => (!frozen && groupOf[tensor] === g ? [row] : []))),
  );
}
