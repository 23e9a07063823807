import type { Objective, TrialResult } from './contract.ts';
import { worstIfNaN } from './measures.ts';
import { finalValue, pointAtTarget } from './ranking.ts';
import {
  bootstrapInterval,
  detectableEffect,
  difference,
  holm,
  median,
  smallestP,
  standardDeviation,
  wilcoxonSignedRank,
} from './statistics.ts';

/** Differences below this chance of coming about by luck are called significant. */
export const ALPHA = 0.05;
const POWER = 0.8;

/** What the finals are decided by. */
export interface Decision {
  /** 'seconds to val.accuracy >= 0.97', or 'final val.accuracy'. */
  readonly name: string;
  readonly mode: 'min' | 'max';
  /** Of one run; infinite where it failed or missed. */
  of(run: TrialResult): number;
}

/** Time to the target where the user gave one, else the final value. */
export function decisionOf(objective: Objective): Decision {
  const { metric, mode, target } = objective;
  if (target === undefined) {
    return { name: `final ${metric}`, mode, of: (run) => worstIfNaN(finalValue(run, metric), mode) };
  }
  return {
    name: `seconds to ${metric} ${mode === 'max' ? '>=' : '<='} ${target}`,
    mode: 'min',
    of: (run) => pointAtTarget(run, objective)?.seconds ?? Number.POSITIVE_INFINITY,
  };
}

/** Two finalists on the same seeds. */
export interface Comparison {
  readonly a: string;
  readonly b: string;
  readonly pairs: number;
  /** Median of a - b over the seeds. */
  readonly effect: number;
  /** 95 % bootstrap interval of it. */
  readonly interval: readonly [number, number];
  /** Wilcoxon signed-rank, two-sided, exact. */
  readonly p: number;
  /** Holm-corrected over all pairs of finalists. */
  readonly adjusted: number;
}

/** What so many seeds can show at all. */
export interface Detectable {
  readonly pairs: number;
  readonly comparisons: number;
  /** Smallest adjusted p that can come out. */
  readonly smallestP: number;
  /** Smallest difference found with 80 % power, in standard deviations of the paired differences; Infinity: none. */
  readonly effect: number;
  /** The same in units of the decision, with the median spread of the pairs seen here; NaN where there is none. */
  readonly difference: number;
}

export interface Finals {
  readonly decision: string;
  readonly mode: 'min' | 'max';
  /** Best median first, by validation loss among equals. */
  readonly order: readonly string[];
  readonly comparisons: readonly Comparison[];
  readonly detectable: Detectable;
}

/** Compares every pair of finalists on the seeds that both have run. */
export function compareFinals(
  finals: ReadonlyMap<string, readonly TrialResult[]>,
  objective: Objective,
  seed: number,
): Finals {
  const decision = decisionOf(objective);
  const values = new Map(
    [...finals].map(([name, runs]) => [name, new Map(runs.map((run) => [run.trial.seed, decision.of(run)]))]),
  );
  const sign = decision.mode === 'max' ? -1 : 1;
  const middle = (name: string) => sign * median([...(values.get(name)?.values() ?? [])]);
  const loss = (name: string) =>
    median((finals.get(name) ?? []).map((run) => worstIfNaN(finalValue(run, 'val.loss'), 'min')));
  const order = [...finals.keys()].sort((a, b) => ascending(middle(a), middle(b)) || ascending(loss(a), loss(b)));
  const raw = order.flatMap((a, i) =>
    order.slice(i + 1).map((b) => {
      const differences = [...(values.get(a) ?? [])].flatMap(([at, value]) => {
        const other = values.get(b)?.get(at);
        return other === undefined ? [] : [difference(value, other)];
      });
      return { a, b, differences };
    }),
  );
  const pValues = raw.map(({ differences }) => wilcoxonSignedRank(differences));
  const adjusted = holm(pValues);
  const comparisons = raw.map(({ a, b, differences }, i): Comparison => {
    const interval = bootstrapInterval(differences, { seed });
    const pairs = differences.length;
    return { a, b, pairs, effect: median(differences), interval, p: pValues[i], adjusted: adjusted[i] };
  });
  return {
    decision: decision.name,
    mode: decision.mode,
    order,
    comparisons,
    detectable: detectableOf(
      raw.map(({ differences }) => differences),
      seed,
    ),
  };
}

function detectableOf(pairs: readonly (readonly number[])[], seed: number): Detectable {
  const comparisons = Math.max(1, pairs.length);
  const count = pairs.length === 0 ? 0 : Math.min(...pairs.map((d) => d.length));
  const effect = count === 0 ? Number.POSITIVE_INFINITY : detectableEffect(count, ALPHA / comparisons, seed, POWER);
  const spread = median(pairs.map(standardDeviation).filter(Number.isFinite));
  return {
    pairs: count,
    comparisons,
    smallestP: Math.min(1, comparisons * smallestP(count)),
    effect,
    difference: effect * spread,
  };
}

function ascending(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
