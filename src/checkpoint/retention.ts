/** Which checkpoints a run keeps. Without `keepLast` and `keepBest`: all. */
export interface RetentionPolicy {
  /** The newest n. */
  readonly keepLast?: number;
  /** The n best by a metric of the evaluation before the save. */
  readonly keepBest?: KeepBest;
}

export interface KeepBest {
  /** 'val.loss', 'val.accuracy' ... */
  readonly monitor: string;
  readonly mode: 'min' | 'max';
  readonly count: number;
}

/** A checkpoint as the policy sees it. `metric` is the value of the monitored metric, if it was measured. */
export interface RetentionCandidate {
  readonly step: number;
  readonly metric?: number;
}

export type RetentionDecision =
  | { readonly keep: number; readonly reasons: readonly ('latest' | 'last' | 'best')[] }
  | { readonly delete: number };

/**
 * What to do with each checkpoint, by step ascending. Pure. The one of step `latest`, saved just now, is always kept: resume
 * needs it. Later ones are damaged ones that the run passed over when it went on from an older one; a policy gives them up. Of
 * equally good ones the earlier counts as better, as in early stopping; NaN is never good.
 */
export function retain(
  existing: readonly RetentionCandidate[],
  latest: number,
  policy: RetentionPolicy,
): RetentionDecision[] {
  const { keepLast, keepBest } = policy;
  const steps = [...existing].sort((a, b) => a.step - b.step);
  const ofRun = steps.filter(({ step }) => step <= latest);
  const last = new Set(keepLast === undefined ? [] : ofRun.slice(Math.max(0, ofRun.length - keepLast)));
  const best = new Set(keepBest ? rankBest(ofRun, keepBest.mode).slice(0, keepBest.count) : []);
  const all = keepLast === undefined && keepBest === undefined;
  return steps.map((candidate): RetentionDecision => {
    const reasons = [
      ...(candidate.step === latest ? (['latest'] as const) : []),
      ...(all || last.has(candidate) ? (['last'] as const) : []),
      ...(best.has(candidate) ? (['best'] as const) : []),
    ];
    return reasons.length > 0 ? { keep: candidate.step, reasons } : { delete: candidate.step };
  });
}

/** Those with a metric, best first. */
export function rankBest<T extends RetentionCandidate>(candidates: readonly T[], mode: 'min' | 'max'): T[] {
  const sign = mode === 'max' ? -1 : 1;
  const value = ({ metric = Number.NaN }: T): number => sign * metric;
  return candidates
    .filter((candidate) => !Number.isNaN(value(candidate)))
    .sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : a.step - b.step));
}
