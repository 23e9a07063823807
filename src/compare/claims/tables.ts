/** Reading results: columns by name, medians of groups, pairs by seed. Pure. */
import { difference, median, wilcoxonSignedRank } from '../statistics.ts';
import type { Cell, Table } from './contract.ts';

type Key = Cell | readonly Cell[];

/** Values of a column in the rows whose first cells are `key`. */
export function column(table: Table, name: string, key: Key = []): Cell[] {
  const at = table.columns.indexOf(name);
  if (at < 0) throw new RangeError(`no column '${name}' among ${table.columns.join(', ')}`);
  const wanted = Array.isArray(key) ? (key as readonly Cell[]) : [key as Cell];
  return table.rows.filter((row) => wanted.every((cell, i) => row[i] === cell)).map((row) => row[at]);
}

export function numbers(table: Table, name: string, key: Key = []): number[] {
  return column(table, name, key).map((cell) => (typeof cell === 'number' ? cell : Number.NaN));
}

/** Median over the rows of a key; a NaN is a run that failed and counts as `failed`. */
export function middle(table: Table, name: string, key: Key = [], failed = Number.POSITIVE_INFINITY): number {
  return median(numbers(table, name, key).map((value) => (Number.isNaN(value) ? failed : value)));
}

/** The different first cells, in their order. */
export function keys(table: Table): Cell[] {
  return [...new Set(table.rows.map(([first]) => first))];
}

/** Median of a - b over common seeds, and p of Wilcoxon's signed-rank test. */
export function paired(
  table: Table,
  name: string,
  a: Key,
  b: Key,
  failed = Number.POSITIVE_INFINITY,
): { difference: number; p: number } {
  const bySeed = (key: Key) => {
    const seeds = numbers(table, 'seed', key);
    return new Map(numbers(table, name, key).map((value, i) => [seeds[i], Number.isNaN(value) ? failed : value]));
  };
  const others = bySeed(b);
  const differences = [...bySeed(a)].flatMap(([seed, value]) => {
    const other = others.get(seed);
    return other === undefined ? [] : [difference(value, other)];
  });
  return { difference: median(differences), p: wilcoxonSignedRank(differences) };
}

/** One row a group of equal cells before the column 'seed' (without 'lr' they stay apart), medians of the numbers after it. */
export function summary(table: Table): Table {
  const seed = table.columns.indexOf('seed');
  if (seed < 0) return table;
  const groups = new Map<string, Cell[][]>();
  for (const row of table.rows) {
    const key = JSON.stringify(row.slice(0, seed));
    groups.set(key, [...(groups.get(key) ?? []), [...row]]);
  }
  const rest = table.columns.slice(seed + 1);
  const rows = [...groups.values()].map((group): Cell[] => [
    ...group[0].slice(0, seed),
    group.length,
    ...rest.map((_, i): Cell => summaryOf(group.map((row) => row[seed + 1 + i]))),
  ]);
  return { columns: [...table.columns.slice(0, seed), 'seeds', ...rest], rows };
}

function summaryOf(cells: readonly Cell[]): Cell {
  if (cells.every((cell) => typeof cell === 'number')) {
    const finite = cells.filter((cell) => !Number.isNaN(cell));
    return finite.length < cells.length
      ? `failed in ${cells.length - finite.length} of ${cells.length}`
      : median(finite);
  }
  if (cells.every((cell) => typeof cell === 'boolean')) return `${cells.filter(Boolean).length} of ${cells.length}`;
  return new Set(cells).size === 1 ? cells[0] : '';
}
