import type { Objective } from './contract.ts';
import { ALPHA, type Finals } from './finals.ts';
import type { Measures, Sensitivity } from './measures.ts';
import { formatSeconds, formatValue } from './text.ts';

/** What the advice is made from, for one optimizer. */
export interface Contender {
  readonly optimizer: string;
  readonly lr: number;
  readonly measures: Measures;
  readonly sensitivity?: Sensitivity | undefined;
  readonly onBorder: boolean;
  readonly stateBytes: number;
}

export interface Recommendation {
  /**
   * 'clear': better than every other finalist, significantly. 'leads': best median, but some others cannot be told apart.
   * 'only': one finalist. 'none': nothing can be recommended.
   */
  readonly verdict: 'clear' | 'leads' | 'only' | 'none';
  readonly optimizer?: string;
  readonly lr?: number;
  /** In plain words, most important first. */
  readonly reasons: readonly string[];
}

/**
 * One recommendation from what was measured, or the reason why there is none. `contenders`: the finalists; `given.standing`: what is known
 * without finals. Pure.
 */
export function recommend(
  contenders: readonly Contender[],
  finals: Finals,
  objective: Objective,
  given: { readonly target: boolean; readonly finished: boolean; readonly standing: readonly string[] },
): Recommendation {
  const leader = contenders.find(({ optimizer }) => optimizer === finals.order[0]);
  if (!leader) {
    const why = given.finished
      ? 'Every optimizer failed on this job at every learning rate tried: see the failures below.'
      : 'The race ended before any finalist was known: give it more time (--budget) and --resume.';
    return { verdict: 'none', reasons: given.finished ? [why] : [why, ...given.standing] };
  }
  const { measures } = leader;
  if (measures.seeds === 0) {
    return {
      verdict: 'none',
      reasons: ['The race ended before the finals: give it more time (--budget) and --resume.', ...given.standing],
    };
  }
  if (given.target && !Number.isFinite(measures.toTarget.seconds)) {
    return { verdict: 'none', reasons: noneReached(contenders, objective) };
  }
  if (!Number.isFinite(measures.value)) {
    return {
      verdict: 'none',
      reasons: ['More than half of the runs of every finalist failed: see the failures below.'],
    };
  }
  const rivals = finals.comparisons.filter(({ a, b }) => a === leader.optimizer || b === leader.optimizer);
  const tied = rivals.filter(({ adjusted }) => adjusted >= ALPHA);
  const verdict = rivals.length === 0 ? 'only' : tied.length === 0 ? 'clear' : 'leads';
  const tiedNames = tied.map(({ a, b }) => (a === leader.optimizer ? b : a));
  return {
    verdict,
    optimizer: leader.optimizer,
    lr: leader.lr,
    reasons: [
      result(leader, objective, given.target),
      ...evidence(verdict, tiedNames, finals, given.finished),
      ...alternatives(leader, contenders, tiedNames),
      ...qualities(leader),
    ],
  };
}

function noneReached(contenders: readonly Contender[], { metric, target }: Objective): string[] {
  const best = contenders.map(({ optimizer, measures }) => `${optimizer} ended at ${formatValue(measures.value)}`);
  return [
    `No optimizer reached ${metric} ${target} in more than half of its runs (${best.join(', ')}).`,
    'Train longer (--steps), lower the target, or change the model: the choice of optimizer does not reach it.',
  ];
}

function result({ optimizer, lr, measures }: Contender, { metric, target }: Objective, targetGiven: boolean): string {
  const { seeds, value, missed, toTarget } = measures;
  const runs = seeds === 1 ? 'on one fresh seed' : `in the median of ${seeds} fresh seeds`;
  if (!targetGiven)
    return `${optimizer} with lr ${lr} ends at ${metric} ${formatValue(value)} ${runs}; no other finalist ends better.`;
  const misses = missed === 0 ? '' : `; ${missed} of ${seeds} runs missed it`;
  return `${optimizer} with lr ${lr} reaches ${metric} ${target} first: after ${toTarget.steps} steps, ${formatSeconds(toTarget.seconds)} of training, ${runs}${misses}.`;
}

function evidence(
  verdict: Recommendation['verdict'],
  tied: readonly string[],
  finals: Finals,
  finished: boolean,
): string[] {
  const { detectable, comparisons } = finals;
  if (verdict === 'only') return ['It is the only finalist, so nothing speaks against it and nothing was compared.'];
  const smallest =
    detectable.effect === Number.POSITIVE_INFINITY
      ? `${detectable.pairs} seeds cannot show any difference among ${detectable.comparisons} comparisons (smallest possible p ${detectable.smallestP.toPrecision(2)}); ${finished ? 'use more seeds (--seeds) or fewer optimizers' : 'the race was cut short: --resume goes on with it'}.`
      : Number.isFinite(detectable.difference)
        ? `${detectable.pairs} seeds can show differences from about ${formatValue(detectable.difference)} on.`
        : '';
  if (verdict === 'clear') {
    const p = Math.max(
      ...comparisons.filter(({ a, b }) => a === finals.order[0] || b === finals.order[0]).map((c) => c.adjusted),
    );
    return [
      `It beats every other finalist (largest Holm-corrected p ${p.toPrecision(2)}, paired by seed). ${smallest}`.trim(),
    ];
  }
  return [
    `No significant difference from ${list(tied)}: these are as good a choice by this evidence. ${smallest}`.trim(),
  ];
}

/** Where another that is as good by the evidence has something to offer. */
function alternatives(leader: Contender, contenders: readonly Contender[], tied: readonly string[]): string[] {
  return contenders
    .filter(({ optimizer }) => tied.includes(optimizer))
    .flatMap((other) => {
      const merits = [
        other.stateBytes < leader.stateBytes && 'needs less memory for its state',
        other.measures.secondsPerStep < 0.9 * leader.measures.secondsPerStep && 'has cheaper steps',
        (other.sensitivity?.decades ?? 0) > (leader.sensitivity?.decades ?? 0) + 0.25 &&
          'forgives more in the learning rate',
      ].filter((merit) => merit !== false);
      return merits.length === 0 ? [] : [`Of these, ${other.optimizer} ${list(merits)}.`];
    });
}

function qualities({ sensitivity, onBorder, measures }: Contender): string[] {
  const lines: string[] = [];
  if (sensitivity) {
    const atLeast = sensitivity.open ? 'at least ' : '';
    lines.push(
      `Its learning rate may lie anywhere in ${atLeast}${sensitivity.decades.toFixed(1)} decades (${formatValue(sensitivity.low)} to ${formatValue(sensitivity.high)}) within 5 % of the best, after ${sensitivity.step} steps.`,
    );
  }
  if (onBorder) lines.push('Its best rate lies on the border of what was tried: a rate beyond may be better still.');
  if (measures.divergenceRate > 0) {
    lines.push(`${Math.round(100 * measures.divergenceRate)} % of its ${measures.trials} trials diverged.`);
  }
  return lines;
}

function list(names: readonly string[]): string {
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`;
}
