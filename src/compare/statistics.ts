/**
 * Statistics of paired runs: two optimizers on the same seeds. Everything is exact or simulated with seeded numbers, so a
 * report can be computed again to the digit. A run that missed its target is +Infinity, never left out: the tests use ranks and
 * medians, which infinities do not harm.
 *
 * Sources: Wilcoxon, "Individual comparisons by ranking methods", 1945; Holm, "A simple sequentially rejective multiple test
 * procedure", 1979; Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile interval).
 */
import { PURPOSE, randomStream } from './random.ts';

/** a - b, and 0 where both are the same infinity: two runs that missed alike differ by nothing. */
export function difference(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

/** Middle value, or the mean of the two middle ones (0 between -Infinity and Infinity). NaN of nothing, and of any NaN. */
export function median(values: readonly number[]): number {
  if (values.length === 0 || values.some(Number.isNaN)) return Number.NaN;
  const sorted = ascending(values);
  const half = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[half];
  const [low, high] = [sorted[half - 1], sorted[half]];
  return low === high ? low : low === -high ? 0 : (low + high) / 2;
}

/** The value below or at which a share of the values lies (nearest rank, so that infinities stay what they are). */
export function quantile(values: readonly number[], share: number): number {
  const sorted = ascending(values);
  return sorted.length === 0
    ? Number.NaN
    : sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

/** Square root of the unbiased variance of the finite values; NaN of fewer than two. */
export function standardDeviation(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  if (finite.length < 2) return Number.NaN;
  const mean = finite.reduce((a, b) => a + b, 0) / finite.length;
  return Math.sqrt(finite.reduce((sum, v) => sum + (v - mean) * (v - mean), 0) / (finite.length - 1));
}

/**
 * Exact two-sided p of Wilcoxon's signed-rank test that the differences are symmetric about 0. Zeros are left out (Wilcoxon's
 * way), ties get mean ranks; the distribution is that of all 2^n signs, counted, not approximated. 1 where nothing differs.
 */
export function wilcoxonSignedRank(differences: readonly number[]): number {
  const nonZero = differences.filter((d) => d !== 0);
  const n = nonZero.length;
  if (n === 0) return 1;
  const ranks = doubledRanks(nonZero.map(Math.abs));
  const positive = ranks.reduce((sum, rank, i) => (nonZero[i] > 0 ? sum + rank : sum), 0);
  const chances = signedRankDistribution(ranks);
  let below = 0;
  let above = 0;
  for (const [sum, chance] of chances.entries()) {
    if (sum <= positive) below += chance;
    if (sum >= positive) above += chance;
  }
  return Math.min(1, 2 * Math.min(below, above));
}

/** Ranks from 1, twice as large so that mean ranks of ties are whole numbers. */
function doubledRanks(sizes: readonly number[]): number[] {
  const order = sizes.map((_, i) => i).sort((a, b) => (sizes[a] < sizes[b] ? -1 : sizes[a] > sizes[b] ? 1 : 0));
  const ranks = new Array<number>(sizes.length);
  for (let first = 0; first < order.length; ) {
    let end = first + 1;
    while (end < order.length && sizes[order[end]] === sizes[order[first]]) end++;
    for (let i = first; i < end; i++) ranks[order[i]] = first + 1 + end;
    first = end;
  }
  return ranks;
}

/** Chance of each sum of a random half of the ranks. */
function signedRankDistribution(ranks: readonly number[]): Float64Array {
  const total = ranks.reduce((a, b) => a + b, 0);
  const chances = new Float64Array(total + 1);
  chances[0] = 1;
  let reached = 0;
  for (const rank of ranks) {
    reached += rank;
    for (let sum = reached; sum >= 0; sum--) {
      chances[sum] = 0.5 * (chances[sum] + (sum >= rank ? chances[sum - rank] : 0));
    }
  }
  return chances;
}

/** Holm's adjusted p-values, in the order given: the chance of any false alarm among all of them stays below each. */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a] - pValues[b]);
  const adjusted = new Array<number>(pValues.length);
  let largest = 0;
  order.forEach((index, place) => {
    largest = Math.max(largest, Math.min(1, (pValues.length - place) * pValues[index]));
    adjusted[index] = largest;
  });
  return adjusted;
}

export interface BootstrapOptions {
  readonly seed: number;
  /** Default 10,000. */
  readonly resamples?: number;
  /** Default 0.95. */
  readonly level?: number;
}

/** Percentile bootstrap interval of a statistic (default the median). */
export function bootstrapInterval(
  values: readonly number[],
  { seed, resamples = 10_000, level = 0.95 }: BootstrapOptions,
  statistic: (values: readonly number[]) => number = median,
): [number, number] {
  if (values.length === 0) return [Number.NaN, Number.NaN];
  const random = randomStream(seed, PURPOSE.bootstrap);
  const drawn = Array.from({ length: resamples }, () =>
    statistic(values.map(() => values[random.below(values.length)])),
  );
  return [quantile(drawn, (1 - level) / 2), quantile(drawn, (1 + level) / 2)];
}

/** The smallest p that n pairs without ties can give, two-sided: all signs alike. */
export function smallestP(pairs: number): number {
  return Math.min(1, 2 ** (1 - pairs));
}

const SIMULATIONS = 2000;
const LARGEST_EFFECT = 10;

/**
 * The smallest true difference, in standard deviations of the paired differences, that this test with n normal pairs finds at
 * level `alpha` with the given power (default 0.8). Simulated. Infinity where n pairs can never reach alpha.
 */
export function detectableEffect(pairs: number, alpha: number, seed: number, power = 0.8): number {
  if (smallestP(pairs) > alpha) return Number.POSITIVE_INFINITY;
  const random = randomStream(seed, PURPOSE.power);
  const samples = Array.from({ length: SIMULATIONS }, () => Array.from({ length: pairs }, () => random.normal()));
  const isSignificant = significanceOf(pairs, alpha);
  const found = (effect: number) => samples.filter((s) => isSignificant(s.map((z) => z + effect))).length / SIMULATIONS;
  let [low, high] = [0, LARGEST_EFFECT];
  for (let i = 0; i < 12; i++) {
    const middle = (low + high) / 2;
    if (found(middle) >= power) high = middle;
    else low = middle;
  }
  return high;
}

/** The test for n pairs without ties, with the distribution computed once. */
function significanceOf(pairs: number, alpha: number): (differences: readonly number[]) => boolean {
  const chances = signedRankDistribution(Array.from({ length: pairs }, (_, i) => 2 * (i + 1)));
  let tail = 0;
  let critical = -1;
  for (let sum = 0; sum < chances.length; sum += 2) {
    tail += chances[sum];
    if (2 * tail > alpha) break;
    critical = sum;
  }
  const total = chances.length - 1;
  return (differences) => {
    const ranks = doubledRanks(differences.map(Math.abs));
    const positive = ranks.reduce((sum, rank, i) => (differences[i] > 0 ? sum + rank : sum), 0);
    return Math.min(positive, total - positive) <= critical;
  };
}

function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
