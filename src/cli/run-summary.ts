import { runOwner } from '../checkpoint/lock.ts';
import type { EvaluationRecord, EventRecord, RunHeader } from '../record/contract.ts';
import { jobFacts } from '../record/header-facts.ts';
import { MetricsFile } from '../record/metrics-file.ts';

/** A run folder in a line. */
export interface RunSummary {
  readonly folder: string;
  readonly state: 'running' | 'paused' | 'ended' | 'failed' | 'interrupted' | 'unreadable';
  /** Why it ended: 'epochs', 'early-stopping' ... */
  readonly stopped?: string;
  readonly step: number;
  readonly totalSteps: number;
  /** Best value of the first metric of the validation rows. */
  readonly best?: { readonly metric: string; readonly value: number; readonly step: number };
  /** From the first start to the last record of what ran since; without pauses between runs. */
  readonly seconds: number;
  readonly startedAt?: string;
  readonly damagedLines: number;
}

/** Reads a run folder through. @throws E_RUN_DIR where it has no records. */
export async function summarizeRun(folder: string): Promise<RunSummary> {
  let header: RunHeader | undefined;
  let [step, stepSeconds, evaluationSeconds] = [0, 0, 0];
  let stepMsAt = -1;
  let last: EventRecord | undefined;
  let best: RunSummary['best'];
  let ended = 0;
  const file = await MetricsFile.open(folder, {
    header(next) {
      header = next;
      last = undefined;
      stepMsAt = -1;
      if (next.resumedAfter === undefined) best = undefined;
    },
    step(numbers, names) {
      if (stepMsAt < 0) stepMsAt = names.indexOf('timings.stepMs');
      step = numbers[0];
      stepSeconds += numbers[stepMsAt] / 1000;
    },
    record(record) {
      if (record.kind === 'event') {
        last = record.event === 'note' ? last : record;
        const seconds = record.data?.seconds;
        if ((record.event === 'end' || record.event === 'failed') && typeof seconds === 'number') {
          ended += seconds;
          [stepSeconds, evaluationSeconds] = [0, 0];
        }
        return;
      }
      evaluationSeconds += record.seconds;
      best = better(best, record, header);
    },
  });
  try {
    await file.readMore();
    const over = last?.event === 'end' ? 'ended' : last?.event === 'failed' ? 'failed' : undefined;
    const alive = last?.event === 'pause' ? 'paused' : 'running';
    const stopped = last?.event === 'end' ? last.data?.stopped : undefined;
    return {
      folder,
      state: over ?? (runOwner(folder) ? alive : 'interrupted'),
      ...(typeof stopped === 'string' && { stopped }),
      step,
      totalSteps: header ? jobFacts(header).totalSteps : 0,
      ...(best && { best }),
      seconds: ended + stepSeconds + evaluationSeconds,
      ...(header && { startedAt: header.startedAt }),
      damagedLines: file.damaged,
    };
  } finally {
    await file.close();
  }
}

/** The first metric counts, or the loss where there is none. */
function better(
  best: RunSummary['best'],
  { split, step, metrics }: EvaluationRecord,
  header: RunHeader | undefined,
): RunSummary['best'] {
  if (split !== 'val') return best;
  const [first] = header ? jobFacts(header).metrics : [];
  const metric = first !== undefined && `val.${first}` in metrics ? `val.${first}` : 'val.loss';
  const value = Number(metrics[metric]);
  if (!Number.isFinite(value)) return best;
  const improves = !best || (isLowerBetter(metric, header) ? value < best.value : value > best.value);
  return improves ? { metric, value, step } : best;
}

function isLowerBetter(metric: string, header: RunHeader | undefined): boolean {
  return (header?.lowerIsBetter ?? ['loss']).includes(metric.replace(/^val\./, ''));
}
