import type { RunHeader } from './contract.ts';

/** What readers of a header need of the job in it, which is plain data of any version. */
export interface JobFacts {
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  readonly metrics: readonly string[];
}

export function jobFacts({ job }: RunHeader): JobFacts {
  const { totalSteps, batchSize, rows, metrics, localSteps } = fieldsOf(job);
  const batch = numberOf(batchSize) * Math.max(1, numberOf(fieldsOf(localSteps).every)); // with local steps, of a round
  return {
    totalSteps: numberOf(totalSteps),
    stepsPerEpoch: batch > 0 ? Math.max(1, Math.ceil(numberOf(fieldsOf(rows).train) / batch)) : 1,
    metrics: Array.isArray(metrics) ? metrics.filter((name) => typeof name === 'string') : [],
  };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
