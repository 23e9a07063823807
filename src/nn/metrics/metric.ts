import { constant } from '../../graph/ops/leaf.ts';
import { sizeOf, type Tensor } from '../../graph/tensor.ts';
import type { WeightedValue } from '../contract.ts';
import { checkOptions, optionError, show } from '../options.ts';
import type { Selection } from '../select.ts';

export interface MetricOptions extends Selection {
  /** Name in records and in `monitor`. Default: the metric's own. */
  readonly name?: string;
}

export interface ClassMetricOptions extends MetricOptions {
  /** Field with a weight for each label, 0 for padding. Default: all count. */
  readonly mask?: string | undefined;
}

/** Checks the options of a metric and gives its name. Throws E_OPTION. */
export function metricName(kind: string, options: MetricOptions, known: readonly string[] = []): string {
  checkOptions(kind, options, ['name', 'output', 'target', ...known]);
  const { name = kind } = options;
  // Dots separate splits (val.accuracy) and sums from metric names.
  if (typeof name === 'string' && /^[\w-]+$/.test(name)) return name;
  throw optionError(`${kind}: name`, 'a name of letters, digits, _ and -', show(name));
}

/** How many elements a sum ran over: a number of the program, so no memory is read for it. */
export function countOf(x: Tensor): WeightedValue {
  const count = sizeOf(x.shape);
  const low = count % 2 ** 24; // two f32 that are exact and whose f64 sum is the count
  return { value: constant([count - low, low]) };
}

/** Sum of x^2; the product is taken in f64, so nothing is lost to f32. */
export function sumOfSquares(x: Tensor): WeightedValue {
  return { value: x, weight: x };
}

/** a / b, and NaN where there was nothing to count. */
export function ratio(a: number, b: number): number {
  return b === 0 ? Number.NaN : a / b;
}
