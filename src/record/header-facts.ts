import { Calendar } from '../parallel/calendar.ts';
import { lastInnerStep } from '../parallel/inner-steps.ts';
import type { RunHeader } from './contract.ts';

/** What readers of a header need of the job in it, which is plain data of any version. */
export interface JobFacts {
  readonly totalSteps: number;
  readonly calendar: Calendar;
  readonly metrics: readonly string[];
}

export function jobFacts({ job }: RunHeader): JobFacts {
  const { totalSteps, batchSize, rows, metrics, localSteps } = fieldsOf(job);
  const batch = numberOf(batchSize);
  const stepsPerEpoch = batch > 0 ? Math.max(1, Math.ceil(numberOf(fieldsOf(rows).train) / batch)) : 1;
  const { every, warmup, steps: jobSteps } = fieldsOf(localSteps);
  const pace = { every: Math.max(1, numberOf(every)), warmup: numberOf(warmup) };
  const steps = numberOf(totalSteps); // with local steps, rounds
  const whole = lastInnerStep(steps, pace, { stepsPerEpoch, totalSteps: Number.POSITIVE_INFINITY });
  const ofJob = numberOf(jobSteps) || whole; // older ones do not say
  return {
    totalSteps: steps,
    calendar: new Calendar({ stepsPerEpoch, totalSteps: ofJob }, pace),
    metrics: Array.isArray(metrics) ? metrics.filter((name) => typeof name === 'string') : [],
  };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
