import type { Program, TensorEntry } from '../graph/program.ts';
import { listsOf } from '../graph/row-lists.ts';
import { mergeScratchBytes, ROW_LIST_STRIDE } from '../kernels/table.ts';

/**
 * The memory of sparse gradients. Each lookup of each shard has a list of rows of its own; the reduction merges them all into one
 * list for each table. So it is the batch that decides how much memory that takes, and not the tables.
 */

/** Ranges of ids in which the rows of a table are merged, measured and updated; each belongs to one worker and has an epoch word. */
export const ROW_BUCKETS = 64;

/** A table with sparse gradients; plain data. */
export interface RowTable {
  /** Index in the tensor table. */
  readonly tensor: number;
  readonly width: number;
  /** Lists of a shard, a power of two, and the first of them among the lists of all tables. */
  readonly lists: number;
  readonly firstList: number;
  /** Most rows that the list of each lookup may have. */
  readonly capacities: readonly number[];
}

export interface RowRegions {
  /** Headers [shards, lists of all tables], ROW_LIST_STRIDE bytes apart. */
  readonly headers: number;
  /** Where the list of each header lies; 0 where there is none (`lists` rounded up). */
  readonly lists: readonly { readonly ids: number; readonly rows: number }[];
  /** The merged rows of each table: ids, rows, i32 [ROW_BUCKETS, 2] (start and count), f64 norms [ROW_BUCKETS]. */
  readonly tables: readonly {
    readonly ids: number;
    readonly rows: number;
    readonly places: number;
    readonly norms: number;
  }[];
}

/** The sparse tables of a model, from its training programs for single shards. */
export function rowTables(programs: readonly Program[], tensors: readonly TensorEntry[]): RowTable[] {
  const tables: RowTable[] = [];
  let firstList = 0;
  tensors.forEach(({ sparse, shape }, tensor) => {
    if (!sparse) return;
    const lookups = programs.map((program) => program.rowLists.filter((list) => list.tensor === tensor));
    const capacities = lookups[0].map((_, i) => Math.min(shape[0], Math.max(...lookups.map((lists) => lists[i].ids))));
    const lists = listsOf(capacities.length);
    tables.push({ tensor, width: lookups[0][0].width, lists, firstList, capacities });
    firstList += lists;
  });
  return tables;
}

/** Bytes between the headers of two shards. */
export function rowListStride(tables: readonly RowTable[]): number {
  return ROW_LIST_STRIDE * tables.reduce((sum, { lists }) => sum + lists, 0);
}

/** Takes room for everything with `take`, which gives 64-byte aligned addresses. */
export function placeRows(tables: readonly RowTable[], shards: number, take: (bytes: number) => number): RowRegions {
  const headers = take(shards * rowListStride(tables));
  const lists = Array.from({ length: shards }, () =>
    tables.flatMap(({ lists, capacities, width }) =>
      Array.from({ length: lists }, (_, i) => {
        const capacity = capacities[i] ?? 0;
        return capacity === 0 ? { ids: 0, rows: 0 } : { ids: take(4 * capacity), rows: take(4 * capacity * width) };
      }),
    ),
  ).flat();
  const merged = tables.map(({ capacities, width }) => {
    const rows = shards * capacities.reduce((a, b) => a + b, 0);
    return {
      ids: take(4 * rows),
      rows: take(4 * rows * width),
      places: take(8 * ROW_BUCKETS),
      norms: take(8 * ROW_BUCKETS),
    };
  });
  return { headers, lists, tables: merged };
}

/** Bytes that a worker needs to merge. */
export function rowScratchBytes(tables: readonly RowTable[], shards: number): number {
  return tables.reduce((most, { lists, width }) => Math.max(most, mergeScratchBytes(shards * lists, width)), 0);
}

/** Says in the headers where the lists lie; all are empty. */
export function writeRowHeaders({ headers, lists }: RowRegions, buffer: ArrayBufferLike): void {
  const words = new Int32Array(buffer);
  lists.forEach(({ ids, rows }, i) => {
    words.set([0, ids, rows], (headers + i * ROW_LIST_STRIDE) / 4);
  });
}

/** Epoch words of a node: one for each block, then ROW_BUCKETS for each sparse table. */
export function epochWords(blocks: readonly unknown[], tables: readonly RowTable[]): number {
  return blocks.length + ROW_BUCKETS * tables.length;
}

/** A list of looked-up rows of one shard, as it lies in memory. */
export interface RowList {
  /** Index of its table among the sparse ones. */
  readonly table: number;
  /** Address of its header: how many rows it has, where their ids lie, and where the rows. */
  readonly header: number;
  readonly width: number;
  /** Most rows. */
  readonly capacity: number;
}

/** The lists of a shard that rows are written to, in the order of their headers. */
export function rowListsOf(tables: readonly RowTable[], { headers }: RowRegions, shard: number): RowList[] {
  const start = headers + shard * rowListStride(tables);
  return tables.flatMap(({ width, firstList, capacities }, table) =>
    capacities.map((capacity, i) => ({ table, header: start + ROW_LIST_STRIDE * (firstList + i), width, capacity })),
  );
}
