import { opOf } from './ops/table.ts';
import type { Item } from './schedule.ts';
import { storageOf } from './storage.ts';
import type { Tensor } from './tensor.ts';

/**
 * Blocking by rows: neighbouring ops around convolutions run together, a few rows at a time, so that what one writes is still in the
 * cache when the next reads it, and what only they read needs memory for a few rows only. A row's bits do not change; gradients of
 * weights add up block by block, in order.
 */
export interface Group {
  readonly kind: 'group';
  readonly nodes: readonly Tensor[];
  /** Rows of a block. */
  readonly block: number;
}

/**
 * The schedule with runs of ops that can be blocked as groups. What stands between them and feeds none of them (sums over all
 * rows: gradients of biases) comes after the group.
 *
 * @param rows of the program: axis 0 of what is blocked.
 */
export function groupRows(items: readonly Item[], rows: number): (Item | Group)[] {
  const result: (Item | Group)[] = [];
  let rest: readonly Item[] = items;
  while (rest.length > 0) {
    const run = collectRun(rest, rows);
    const block = run && blockOf(run.nodes, rows);
    if (run === undefined || block === undefined || run.nodes.length < 2) {
      result.push(rest[0]);
      rest = rest.slice(1);
      continue;
    }
    result.push({ kind: 'group', nodes: run.nodes, block });
    rest = run.rest;
  }
  return result;
}

/** The longest run from the first item on, and everything else in order; undefined where the first cannot be blocked. */
function collectRun(items: readonly Item[], rows: number): { nodes: Tensor[]; rest: Item[] } | undefined {
  const [first] = items;
  if (first.kind !== 'op' || !isBlockable(first.node, rows)) return undefined;
  const nodes: Tensor[] = [];
  const made = new Map<Tensor, 'rows' | 'sum'>();
  const deferred: Item[] = [];
  const late = new Set<Tensor>();
  let at = 0;
  for (; at < items.length; at++) {
    const item = items[at];
    const reads = readsOf(item).map(storageOf);
    if (item.kind === 'op' && isIdle(item.node)) {
      deferred.push(item);
    } else if (reads.some((x) => late.has(x))) {
      break; // it needs what waits for the end of the run
    } else if (item.kind === 'op' && isBlockable(item.node, rows) && joins(item.node, made)) {
      nodes.push(item.node);
      made.set(item.node, opOf(item.node.op).adds ? 'sum' : 'rows');
    } else {
      deferred.push(item);
      if (item.kind === 'op') late.add(item.node);
    }
  }
  return { nodes, rest: [...deferred, ...items.slice(at)] };
}

/** Leaves and aliases: nothing is computed. */
function isIdle(node: Tensor): boolean {
  const def = opOf(node.op);
  return def.alias === true || def.lower === undefined;
}

export function readsOf(item: Item): readonly Tensor[] {
  switch (item.kind) {
    case 'op':
      return item.node.inputs;
    case 'copy':
      return [item.source];
    case 'rows':
      return [item.ids, item.gradient];
    case 'sum':
      return item.weight === undefined ? [item.value] : [item.value, item.weight];
  }
}

function isBlockable(node: Tensor, rows: number): boolean {
  const { rows: blocked, adds } = opOf(node.op);
  if (blocked === undefined) return false;
  return (
    (adds || node.shape[0] === rows) &&
    blocked.every((i) => i >= node.inputs.length || node.inputs[i].shape[0] === rows)
  );
}

/** Inputs that are read whole are there before the run, others may be made by it row by row. */
function joins(node: Tensor, made: ReadonlyMap<Tensor, 'rows' | 'sum'>): boolean {
  const blocked = opOf(node.op).rows ?? [];
  return node.inputs.every((x, i) => {
    const how = made.get(storageOf(x));
    return how === undefined || (how === 'rows' && blocked.includes(i));
  });
}

/** Rows of a block: what suits the most demanding op; undefined where no op asks, or for all rows at once. */
function blockOf(nodes: readonly Tensor[], rows: number): number | undefined {
  const wanted = nodes.flatMap((node) => opOf(node.op).blockRows?.(node) ?? []);
  const block = Math.min(...wanted);
  if (wanted.length === 0 || block >= rows) return undefined;
  return Math.ceil(rows / Math.ceil(rows / block)); // blocks of nearly the same size
}

/** Starts and lengths of the blocks; the first is the largest. */
export function blocksOf(rows: number, block: number): { start: number; count: number }[] {
  const blocks: { start: number; count: number }[] = [];
  for (let start = 0; start < rows; start += block) blocks.push({ start, count: Math.min(block, rows - start) });
  return blocks;
}

/** The same node for `count` rows. */
export function sliceRows(node: Tensor, count: number): Tensor {
  const { rows = [], adds } = opOf(node.op);
  const slice = (x: Tensor): Tensor => ({ ...x, shape: [count, ...x.shape.slice(1)] });
  const inputs = node.inputs.map((x, i) => (rows.includes(i) ? slice(x) : x));
  return { ...(adds ? node : slice(node)), inputs };
}
