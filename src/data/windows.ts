import { LockstepError } from '../errors.ts';
import { arrays } from './arrays.ts';
import type { Source } from './contract.ts';
import { describeValue } from './describe.ts';

export interface WindowsOptions {
  /** Time steps that the model sees. */
  readonly length: number;
  /** Time steps after them that it forecasts. Default 1. */
  readonly horizon?: number;
  /** Time steps from one window to the next. Default 1. */
  readonly stride?: number;
  /** With several numbers a time step: which of them is forecast. Default 0. */
  readonly target?: number;
}

/** Numbers in order of time, or several numbers a time step. */
export type Series = ArrayLike<number> | readonly ArrayLike<number>[];

/**
 * Every window of a time series as a row: `x` [length, features], what the model sees, and `y` [horizon], what came then.
 * For an honest test cut the series by time, not the rows by chance, since windows overlap:
 *
 *     data: { train: windows(series.slice(0, 500), options), test: windows(series.slice(500), options) }
 *
 * @throws LockstepError E_OPTION; E_SHAPE (too short, ragged time steps); when loaded E_DATA_VALUE (not finite).
 */
export function windows(series: Series, options: WindowsOptions): Source<{ x: 'f32'; y: 'f32' }> {
  const { length, horizon = 1, stride = 1, target = 0 } = options;
  for (const [name, value] of Object.entries({ length, horizon, stride })) {
    if (!Number.isInteger(value) || value < 1) throw optionError(name, 'an integer of at least 1', value);
  }
  const features = featuresOf(series);
  if (!Number.isInteger(target) || target < 0 || target >= features) {
    throw optionError('target', `a number from 0 to ${features - 1}`, target);
  }
  const rows = Math.floor((series.length - length - horizon) / stride) + 1;
  if (rows < 1) {
    throw new LockstepError('E_SHAPE', {
      where: 'windows',
      expected: `a series of at least ${length + horizon} time steps (length ${length} + horizon ${horizon})`,
      got: `${series.length}`,
      fix: 'give a longer series, or shorten length or horizon',
    });
  }
  const at = (time: number, feature: number): number => {
    const step = series[time];
    return typeof step === 'number' ? step : step[feature];
  };
  const x = new Float32Array(rows * length * features);
  const y = new Float32Array(rows * horizon);
  for (let row = 0; row < rows; row++) {
    const start = row * stride;
    for (let t = 0; t < length; t++) {
      for (let j = 0; j < features; j++) x[(row * length + t) * features + j] = at(start + t, j);
    }
    for (let t = 0; t < horizon; t++) y[row * horizon + t] = at(start + length + t, target);
  }
  return arrays({ x: { data: x, shape: [rows, length, features] }, y: { data: y, shape: [rows, horizon] } });
}

/** Numbers a time step: the same at every time. */
function featuresOf(series: Series): number {
  const first = series[0];
  const features = typeof first === 'number' || first === undefined ? 1 : first.length;
  for (let time = 0; time < series.length; time++) {
    const step = series[time];
    const got = typeof step === 'number' ? 1 : step?.length;
    if (got === features && typeof step === typeof first && features > 0) continue;
    throw new LockstepError('E_SHAPE', {
      where: `windows: time step ${time}`,
      expected: typeof first === 'number' ? 'a number, as before' : `${features} numbers, as before`,
      got: describeValue(step),
      fix: 'give a list of numbers, or a list of lists of equal length',
    });
  }
  return features;
}

function optionError(name: string, expected: string, got: unknown): LockstepError {
  return new LockstepError('E_OPTION', {
    where: `windows: ${name}`,
    expected,
    got: describeValue(got),
    fix: 'correct the option',
  });
}
