/** The metrics by name. */
import { closest, LockstepError } from '../errors.ts';
import type { LossDef, MetricDef } from './contract.ts';
import { accuracy, f1, precision, recall, topK } from './metrics/classification.ts';
import type { MetricOptions } from './metrics/metric.ts';
import { mae, mse, r2, rmse } from './metrics/regression.ts';
import { optionError, show } from './options.ts';

export { accuracy, f1, precision, recall, topK } from './metrics/classification.ts';
export type { MetricOptions } from './metrics/metric.ts';
export { mae, mse, r2, rmse } from './metrics/regression.ts';

const BY_NAME: Readonly<Record<string, (options: MetricOptions) => MetricDef>> = {
  accuracy, precision, recall, f1, mae, mse, rmse, r2,
}; // biome-ignore format: a table

/** 'top5' and the like. */
const TOP_K = /^top(\d+)$/;

/**
 * The metrics of a job: names become definitions that compare what the loss compares; without any, those that fit the loss. Throws
 * E_OPTION for unknown, unusable and repeated names.
 */
export function resolveMetrics(metrics: readonly (string | MetricDef)[] | undefined, loss: LossDef): MetricDef[] {
  const { output, target, mask } = loss;
  const named = metrics ?? loss.defaultMetrics ?? [];
  const resolved = named.map((metric) =>
    typeof metric === 'string' ? byName(metric, { output, target }, mask) : metric,
  );
  const names = new Set<string>();
  for (const metric of resolved) {
    checkMetric(metric);
    if (names.has(metric.name) || metric.name === 'loss') {
      const fix = `name it differently: accuracy({ name: '...' })`;
      throw optionError('metrics', 'names that differ, and from loss', `two of the name '${metric.name}'`, fix);
    }
    names.add(metric.name);
  }
  return resolved;
}

function byName(name: string, options: MetricOptions, mask: string | undefined): MetricDef {
  const k = TOP_K.exec(name)?.[1];
  if (k !== undefined) return topK(Number(k), { ...options, mask });
  if (name === 'accuracy') return accuracy({ ...options, mask });
  if (Object.hasOwn(BY_NAME, name)) return BY_NAME[name](options);
  const known = [...Object.keys(BY_NAME), 'top5'];
  const guess = closest(name, known);
  throw new LockstepError('E_OPTION', {
    where: 'metrics',
    expected: `one of ${known.join(', ')} (any number after top)`,
    got: `'${name}'`,
    fix: guess === undefined ? 'use one of those names or a metric definition' : `did you mean '${guess}'?`,
  });
}

function checkMetric(metric: MetricDef): void {
  const { name, mode, sums, finish } = metric;
  const usable = typeof sums === 'function' && typeof finish === 'function' && (mode === 'min' || mode === 'max');
  if (typeof name !== 'string' || !/^[\w-]+$/.test(name) || !usable) {
    throw optionError(
      'metrics',
      "a name, or { name, mode: 'min' or 'max', sums, finish } with a name of letters, digits, _ and -",
      show(metric),
      'name one of the standard metrics, or complete the definition',
    );
  }
}
