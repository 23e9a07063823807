import type { Column, LoadedData, Table } from '../../data/contract.ts';

/** What a check reads from the rows of a table. Pure. */

/** Value `i` of a column as the model sees it. */
export function valueAt({ data, scale, shift }: Column, i: number): number {
  return data instanceof Uint8Array ? data[i] * scale + shift : data[i];
}

export function widthOf({ shape }: Column): number {
  return shape.reduce((a, b) => a * b, 1);
}

export function targetOf(data: LoadedData, loss: { readonly target?: string }): Column | undefined {
  if (data.train.kind !== 'table') return undefined;
  return data.train.columns.find((c) => c.name === (loss.target ?? 'y'));
}

/** Mean and standard deviation of an element of a field. */
export interface Moments {
  readonly element: number;
  readonly mean: number;
  readonly std: number;
}

/** Rows that are looked at, spread over the table. */
const SAMPLED = 1000;

/** Moments of each element of a field, from up to a thousand of its rows. */
export function momentsOf(column: Column, size: number): Moments[] {
  const width = widthOf(column);
  const rows = Math.min(size, SAMPLED);
  const at = (i: number) => Math.floor((i * size) / rows) * width;
  return Array.from({ length: width }, (_, element) => {
    let sum = 0;
    for (let i = 0; i < rows; i++) sum += valueAt(column, at(i) + element);
    const mean = sum / rows;
    let squares = 0;
    for (let i = 0; i < rows; i++) squares += (valueAt(column, at(i) + element) - mean) ** 2;
    return { element, mean, std: Math.sqrt(squares / rows) };
  });
}

/** Far from what layers are initialised for: numbers around 0 with a spread of about 1. */
const FAR = 30;

/** The element of a field that is farthest from normal, if one is far. */
export function farthest(moments: readonly Moments[]): Moments | undefined {
  const size = ({ mean, std }: Moments) => Math.abs(mean) + std;
  const [most] = moments.toSorted((a, b) => size(b) - size(a));
  return most !== undefined && size(most) > FAR ? most : undefined;
}

/** Whether a column has one value only. */
export function isConstant(column: Column, size: number): boolean {
  const width = widthOf(column);
  const end = Math.min(size * width, column.data.length);
  for (let i = width; i < end; i++) if (column.data[i] !== column.data[i % width]) return false;
  return true;
}

/** What can be had of a loss on these rows: by the best constant answer, and by any function of the inputs. */
export interface LossBounds {
  readonly constant: number;
  readonly floor: number;
}

/**
 * Bounds of the standard losses (mean cross-entropy of labels, mean squared error). Rows with the same inputs and different targets
 * cannot all be answered right: that is the floor. Undefined for other losses and targets of more than one number.
 */
export function lossBounds(table: Table, target: Column, lossName: string | undefined): LossBounds | undefined {
  if (widthOf(target) !== 1 || table.sparse) return undefined; // sparse inputs are not compared
  const cost = COSTS[lossName ?? ''];
  if (!cost) return undefined;
  const groups = new Map<string, number[]>();
  const inputs = table.columns.filter((c) => c !== target);
  for (let row = 0; row < table.size; row++) {
    const key = inputs.map((c) => c.data.subarray(row * widthOf(c), (row + 1) * widthOf(c)).join()).join(';');
    groups.set(key, [...(groups.get(key) ?? []), valueAt(target, row)]);
  }
  const all = [...groups.values()];
  const floor = all.reduce((sum, values) => sum + values.length * cost(values), 0) / table.size;
  return { constant: cost(all.flat()), floor };
}

const COSTS: Readonly<Record<string, (values: readonly number[]) => number>> = {
  crossEntropy: entropy,
  binaryCrossEntropy: entropy,
  meanSquaredError: variance,
};

function entropy(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  let sum = 0;
  for (const count of counts.values()) sum -= (count / values.length) * Math.log(count / values.length);
  return sum;
}

function variance(values: readonly number[]): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}
