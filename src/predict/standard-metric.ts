import type { LossDef, MetricDef } from '../nn/contract.ts';
import { resolveMetrics } from '../nn/metrics.ts';

/** A metric by its standard name, for its formula and direction; not bound to outputs or targets. Throws E_OPTION for other names. */
export function standardMetric(name: string): MetricDef {
  return resolveMetrics([name], NO_LOSS)[0];
}

const NO_LOSS: LossDef = () => {
  throw new TypeError('standardMetric: there is no loss');
};
