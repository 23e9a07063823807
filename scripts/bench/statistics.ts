/** Median and quantiles of measured times. Pure. */

/** Value below which the share `q` of the numbers lies, interpolated; NaN for none. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** What a contestant did in one round. */
export interface Slice {
  readonly stepsMs: readonly number[];
}

export interface Timing {
  /** Median over the rounds of the median step of a round. */
  readonly stepMs: number;
  /** Mean of all steps: larger than the median where some steps are much slower. */
  readonly meanMs: number;
  /** Smallest and largest median of a round. */
  readonly spread: readonly [number, number];
  readonly p10Ms: number;
  readonly p90Ms: number;
  readonly steps: number;
  /** Seconds measured, warm-up left out. */
  readonly seconds: number;
  /** Median step of each round, in order, so that rounds can be compared pairwise. */
  readonly roundsMs: readonly number[];
}

export function summarize(slices: readonly Slice[]): Timing {
  const roundsMs = slices.map((s) => median(s.stepsMs));
  const all = slices.flatMap((s) => s.stepsMs);
  const total = all.reduce((a, b) => a + b, 0);
  return {
    stepMs: median(roundsMs),
    meanMs: total / all.length,
    spread: [Math.min(...roundsMs), Math.max(...roundsMs)],
    p10Ms: quantile(all, 0.1),
    p90Ms: quantile(all, 0.9),
    steps: all.length,
    seconds: total / 1000,
    roundsMs,
  };
}

/** Order of the contestants in round `round`: forward, then backward, so that no one always follows the same neighbour. */
export function orderOfRound<T>(contestants: readonly T[], round: number): T[] {
  return round % 2 === 0 ? [...contestants] : [...contestants].reverse();
}

/** How far `a` is from `b`, as a share of `b`. */
export function relativeDifference(a: number, b: number): number {
  return Math.abs(a - b) / Math.max(Math.abs(b), Number.MIN_VALUE);
}
