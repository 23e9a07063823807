import { LockstepError } from '../errors.ts';
import { fitNumbers, means } from './fit.ts';
import type { RawTable } from './raw.ts';
import { type ColumnType, TableColumn } from './table-column.ts';
import type { TableSource } from './table-options.ts';
import { type Part, parseBoolean, partWidth, type Transform } from './transforms.ts';

/** Integers with more different training values than this are numbers to predict, not classes. */
const MAX_INTEGER_CLASSES = 20;

/** The training rows of one column. */
interface Fitted {
  readonly column: TableColumn;
  readonly type: ColumnType;
  readonly rows: Int32Array;
}

/** Fits the columns of a table on rows `ids` (all, if absent): features in file order to `x`, the target to `y`. */
export function fitTable(source: TableSource, raw: RawTable, ids: Int32Array | undefined): Transform[] {
  const rows = ids ?? Int32Array.from({ length: raw.size }, (_, i) => i);
  const transforms: Transform[] = [{ kind: 'missing', values: source.missingValues }];
  if (source.ignore.length > 0) transforms.push({ kind: 'ignored', columns: source.ignore });
  const parts: Part[] = [];
  let width = 0;
  for (const column of raw.columns.values()) {
    if (column.kind !== 'cells' || !(column instanceof TableColumn))
      throw new TypeError('fitTable: another kind of table');
    const fitted: Fitted = { column, type: column.typeIn(rows), rows };
    if (column.name === source.target) {
      parts.push(fitTarget(source, fitted, raw));
      continue;
    }
    if (source.missing === 'mean')
      transforms.push({ kind: 'impute', column: column.name, value: typical(fitted, raw) });
    const part = fitFeature(source, fitted, width, raw);
    width += partWidth(part);
    parts.push(part);
  }
  if (width === 0) {
    throw new LockstepError('E_OPTION', {
      where: `${source.kind} ${source.path}`,
      expected: 'at least one column beside the target',
      got: 'none (all are ignored)',
      fix: 'ignore fewer columns',
    });
  }
  // `x` comes first, whatever the position of the target in the file.
  return [...transforms, ...parts.sort((a, b) => Number(a.field === 'y') - Number(b.field === 'y'))];
}

function fitFeature(source: TableSource, { column, type, rows }: Fitted, at: number, raw: RawTable): Part {
  const base = { field: 'x', column: column.name, at };
  if (type === 'boolean') return { kind: 'boolean', ...base };
  if (type === 'number') {
    const value = numbersOf(column, rows, raw);
    let seen = 0;
    for (let i = 0; i < rows.length && seen === 0; i++) if (!Number.isNaN(value(i))) seen++;
    if (seen === 0) throw noValues(column.name, raw, rows);
    return fitNumbers(source.normalize, { ...base, shape: [] }, rows.length, 1, value);
  }
  const values = [...textsOf(column, rows).keys()].sort(byCodeUnit);
  if (values.length === 0) throw noValues(column.name, raw, rows);
  return { kind: 'oneHot', ...base, values, unknown: source.unknown };
}

/** The numbers of a column by place among `rows`: parsed once, or each time where they are too many for memory. */
function numbersOf(column: TableColumn, rows: Int32Array, raw: RawTable): (i: number) => number {
  if (raw.spill) return (i) => column.numberAt(rows[i]);
  const values = Float64Array.from(rows, (row) => column.numberAt(row));
  return (i) => values[i];
}

/** What stands in for a missing value: the mean, or the most frequent value (the first in order, of several). */
function typical({ column, type, rows }: Fitted, raw: RawTable): string | number | boolean {
  if (type === 'number') return means(rows.length, 1, (i) => column.numberAt(rows[i]))[0];
  const counts = [...textsOf(column, rows)].sort(([a, n], [b, m]) => m - n || byCodeUnit(a, b));
  if (counts.length === 0) throw noValues(column.name, raw, rows);
  const [[text]] = counts;
  return type === 'boolean' ? parseBoolean(text) === true : text;
}

function fitTarget(source: TableSource, { column, type, rows }: Fitted, raw: RawTable): Part {
  const base = { field: 'y', column: column.name };
  const distinct = new Set<string | number | boolean>();
  for (const row of rows) {
    const value = targetValue(column, type, row);
    if (value !== undefined) distinct.add(value);
    if (distinct.size > Math.max(MAX_INTEGER_CLASSES, source.maxCategories)) break; // numbers, or too many classes
  }
  if (distinct.size === 0) throw noValues(column.name, raw, rows);
  const values = [...distinct];
  const task = source.task ?? (type !== 'number' || isFewIntegers(values) ? 'classification' : 'regression');
  if (task === 'regression' && type !== 'number') {
    throw new LockstepError('E_OPTION', {
      where: `${source.kind} ${source.path}: option task`,
      expected: `numbers in the target "${column.name}"`,
      got: `a ${type} column`,
      fix: "choose task: 'classification', or another target",
    });
  }
  if (task === 'regression') return { kind: 'tensor', ...base, dtype: 'f32', shape: [] };
  if (values.length > source.maxCategories) {
    throw new LockstepError('E_OPTION', {
      where: `${source.kind} ${source.path}: target "${column.name}"`,
      expected: `at most ${source.maxCategories} classes`,
      got: 'more',
      fix: "choose task: 'regression', or raise maxCategories",
    });
  }
  const sorted = values.sort((a, b) =>
    typeof a === 'number' && typeof b === 'number' ? a - b : byCodeUnit(String(a), String(b)),
  );
  return { kind: 'labels', ...base, type, values: sorted };
}

/** Whether numbers to predict are taken as classes. */
export function isFewIntegers(distinct: readonly unknown[]): boolean {
  return distinct.length <= MAX_INTEGER_CLASSES && distinct.every((v) => Number.isInteger(v));
}

function targetValue(column: TableColumn, type: ColumnType, row: number): string | number | boolean | undefined {
  if (type === 'number') {
    const x = column.numberAt(row);
    return Number.isNaN(x) ? undefined : x;
  }
  const cell = column.at(row);
  return type === 'boolean' && typeof cell === 'string' ? parseBoolean(cell) : cell;
}

/** The different texts in the given rows with their counts. */
function textsOf(column: TableColumn, rows: Int32Array): Map<string, number> {
  const counts = new Map<string, number>();
  for (const row of rows) {
    const cell = column.at(row);
    if (cell !== undefined) counts.set(String(cell), (counts.get(String(cell)) ?? 0) + 1);
  }
  return counts;
}

/** The same order on every machine, whatever its locale. */
function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function noValues(name: string, raw: RawTable, rows: Int32Array): LockstepError {
  return new LockstepError('E_DATA_VALUE', {
    where: raw.place(rows[0], name),
    expected: 'a value in at least one training row',
    got: 'none in any',
    fix: `leave the column out: ignore: ['${name}']`,
  });
}
