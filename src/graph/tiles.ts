import { opOf } from './ops/table.ts';
import type { Item } from './schedule.ts';
import { storageOf } from './storage.ts';
import type { Tensor } from './tensor.ts';

/**
 * Tiling by rows: neighbouring ops around convolutions run together, a few rows at a time, so that what one writes is still in the
 * cache when the next reads it, and what only they read needs memory for a few rows only. A row's bits do not change; gradients of
 * weights add up tile by tile, in order.
 */
export interface TiledOps {
  readonly kind: 'tiled';
  readonly nodes: readonly Tensor[];
  /** Rows of a tile. */
  readonly tile: number;
}

/**
 * The schedule with runs of ops that can be tiled as tiled ones. What stands between them and feeds none of them (sums over all
 * rows: gradients of biases) comes after them.
 *
 * @param rows of the program: axis 0 of what is tiled.
 */
export function tileSchedule(items: readonly Item[], rows: number): (Item | TiledOps)[] {
  const result: (Item | TiledOps)[] = [];
  let rest: readonly Item[] = items;
  while (rest.length > 0) {
    const run = collectRun(rest, rows);
    const tile = run && tileOf(run.nodes, rows);
    if (run === undefined || tile === undefined || run.nodes.length < 2) {
      result.push(rest[0]);
      rest = rest.slice(1);
      continue;
    }
    result.push({ kind: 'tiled', nodes: run.nodes, tile });
    rest = run.rest;
  }
  return result;
}

/** The longest run from the first item on, and everything else in order; undefined where the first cannot be tiled. */
function collectRun(items: readonly Item[], rows: number): { nodes: Tensor[]; rest: Item[] } | undefined {
  const [first] = items;
  if (first.kind !== 'op' || !isTileable(first.node, rows)) return undefined;
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
    } else if (item.kind === 'op' && isTileable(item.node, rows) && joins(item.node, made)) {
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

function isTileable(node: Tensor, rows: number): boolean {
  const { rows: tiled, adds } = opOf(node.op);
  if (tiled === undefined) return false;
  return (
    (adds || node.shape[0] === rows) && tiled.every((i) => i >= node.inputs.length || node.inputs[i].shape[0] === rows)
  );
}

/** Inputs that are read whole are there before the run, others may be made by it row by row. */
function joins(node: Tensor, made: ReadonlyMap<Tensor, 'rows' | 'sum'>): boolean {
  const tiled = opOf(node.op).rows ?? [];
  return node.inputs.every((x, i) => {
    const how = made.get(storageOf(x));
    return how === undefined || (how === 'rows' && tiled.includes(i));
  });
}

/** Rows of a tile: what suits the most demanding op; undefined where no op asks, or for all rows at once. */
function tileOf(nodes: readonly Tensor[], rows: number): number | undefined {
  const wanted = nodes.flatMap((node) => opOf(node.op).tileRows?.(node) ?? []);
  const tile = Math.min(...wanted);
  if (wanted.length === 0 || tile >= rows) return undefined;
  return Math.ceil(rows / Math.ceil(rows / tile)); // tiles of nearly the same size
}

/** Starts and lengths of the tiles; the first is the largest. */
export function tilesOf(rows: number, tile: number): { start: number; count: number }[] {
  const tiles: { start: number; count: number }[] = [];
  for (let start = 0; start < rows; start += tile) tiles.push({ start, count: Math.min(tile, rows - start) });
  return tiles;
}

/** The same node for `count` rows. */
export function sliceRows(node: Tensor, count: number): Tensor {
  const { rows = [], adds } = opOf(node.op);
  const slice = (x: Tensor): Tensor => ({ ...x, shape: [count, ...x.shape.slice(1)] });
  const inputs = node.inputs.map((x, i) => (rows.includes(i) ? slice(x) : x));
  return { ...(adds ? node : slice(node)), inputs };
}
