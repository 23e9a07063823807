/**
 * Sparse gradients. A table that is only looked up has the gradient zero but for the rows that the batch names. Such a table (`sparse`
 * in the tensor table) has no place in the gradients region: for each lookup the program writes a list of row ids and rows.
 */
import { topologicalOrder } from './autodiff.ts';
import type { Tensor } from './tensor.ts';
import { sizeOf } from './tensor.ts';

/** A lookup whose ids belong to rows of the batch, and the gradient of what it found. */
export interface Lookup {
  readonly ids: Tensor;
  /** ids.shape, then the width of the table. */
  readonly gradient: Tensor;
}

/** The lookups that a gradient of a table comes from; undefined if it comes from anything else too. */
export function lookupsOf(gradient: Tensor, rows: number): readonly Lookup[] | undefined {
  if (gradient.op === 'add') {
    const parts = gradient.inputs.map((x) => lookupsOf(x, rows));
    return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
  }
  if (gradient.op !== 'scatterAdd') return undefined;
  const [up, ids] = gradient.inputs;
  const ofRows = sizeOf(ids.shape) % rows === 0 && topologicalOrder([ids]).some((node) => node.op === 'input');
  return ofRows ? [{ ids, gradient: up }] : undefined;
}

/** Lists of a table for each shard: as many as lookups, rounded up to a power of two, so that they are leaves of one tree. */
export function listsOf(lookups: number): number {
  let lists = 1;
  while (lists < lookups) lists *= 2;
  return lists;
}
