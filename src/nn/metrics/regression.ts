import { sub } from '../../graph/ops/binary.ts';
import { constant } from '../../graph/ops/leaf.ts';
import { reshape, slice } from '../../graph/ops/shape.ts';
import { abs } from '../../graph/ops/unary.ts';
import { sizeOf, type Tensor } from '../../graph/tensor.ts';
import type { MetricDef, WeightedValue } from '../contract.ts';
import { samePair, select } from '../select.ts';
import { countOf, type MetricOptions, metricName, ratio, sumOfSquares } from './metric.ts';

/** Mean of |prediction - target| over all elements. */
export function mae(options: MetricOptions = {}): MetricDef {
  return errorMetric(
    'mae',
    options,
    (d) => ({ value: abs(d) }),
    (mean) => mean,
  );
}

/** Mean of (prediction - target)^2 over all elements. */
export function mse(options: MetricOptions = {}): MetricDef {
  return errorMetric('mse', options, sumOfSquares, (mean) => mean);
}

/** Root of the mean of (prediction - target)^2 over all elements. */
export function rmse(options: MetricOptions = {}): MetricDef {
  return errorMetric('rmse', options, sumOfSquares, Math.sqrt);
}

function errorMetric(
  kind: string,
  options: MetricOptions,
  sumOf: (difference: Tensor) => WeightedValue,
  finish: (mean: number) => number,
): MetricDef {
  return {
    name: metricName(kind, options),
    mode: 'min',
    sums(outputs, fields) {
      const { prediction, target } = samePair(kind, select(kind, outputs, fields, options));
      const difference = sub(prediction, target);
      return { error: sumOf(difference), count: countOf(difference) };
    },
    finish: ({ error, count }) => finish(ratio(error, count)),
  };
}

/** Below this share of sum(y^2) the spread of y is rounding of the f64 sums: y is constant. */
const CONSTANT = 1e-13;

/**
 * Coefficient of determination, 1 - sum (y - p)^2 / sum (y - mean y)^2; several columns a row: the mean of the columns' values
 * (scikit-learn's `uniform_average`). A constant y gives 1 for exact predictions, else 0, as there.
 *
 * The mean of y is known only at the end, so the spread is taken as sum y^2 - (sum y)^2 / n. That cancels where |mean| is much
 * larger than the spread, but products and sums are f64 of f32 numbers: even at mean / spread = 10^4 about 8 digits remain.
 */
export function r2(options: MetricOptions = {}): MetricDef {
  return {
    name: metricName('r2', options),
    mode: 'max',
    sums(outputs, fields) {
      const pair = samePair('r2', select('r2', outputs, fields, options));
      const rows = pair.target.shape[0];
      const width = sizeOf(pair.target.shape.slice(1));
      const [y, p] = [pair.target, pair.prediction].map((x) => reshape(x, [rows, width]));
      const sums: Record<string, WeightedValue> = { rows: { value: constant(rows) } };
      for (let column = 0; column < width; column++) {
        const yColumn = slice(y, 1, column, column + 1);
        sums[`y${column}`] = { value: yColumn };
        sums[`squares${column}`] = sumOfSquares(yColumn);
        sums[`residual${column}`] = sumOfSquares(sub(yColumn, slice(p, 1, column, column + 1)));
      }
      return sums;
    },
    finish(sums) {
      let total = 0;
      let width = 0;
      for (; `y${width}` in sums; width++) {
        const squares = sums[`squares${width}`];
        const spread = squares - sums[`y${width}`] ** 2 / sums.rows;
        const residual = sums[`residual${width}`];
        if (spread > CONSTANT * squares) total += 1 - residual / spread;
        else total += residual === 0 ? 1 : 0;
      }
      return sums.rows === 0 ? Number.NaN : total / width;
    },
  };
}
