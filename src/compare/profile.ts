/**
 * Performance profiles (Dolan & Moré, 2002) and the score that AlgoPerf makes of them (Dahl et al., "Benchmarking Neural Network
 * Training Algorithms", arXiv:2306.07179, section 4.6): how often an optimizer is within a factor tau of the fastest.
 */

/** AlgoPerf's: beyond four times the fastest nothing counts. */
export const TAU_MAX = 4;

export interface Profile {
  readonly optimizer: string;
  /** Time to target divided by the fastest one's, a workload each; Infinity where the target was missed. */
  readonly ratios: readonly number[];
  /** rho(tau) as a staircase: from `tau` on, this share of the workloads is within tau. Begins at tau 1. */
  readonly steps: readonly { readonly tau: number; readonly share: number }[];
  /** Mean of rho over tau in [1, TAU_MAX]: 1 = the fastest everywhere, 0 = never within the factor TAU_MAX. */
  readonly score: number;
}

/** @param times by optimizer: time to target on each workload, in one order; Infinity where it was missed. */
export function performanceProfiles(times: ReadonlyMap<string, readonly number[]>): Profile[] {
  const rows = [...times.values()];
  const workloads = rows[0]?.length ?? 0;
  const fastest = Array.from({ length: workloads }, (_, w) => Math.min(...rows.map((row) => row[w])));
  return [...times].map(([optimizer, row]) => {
    const ratios = row.map((time, w) => ratio(time, fastest[w]));
    return { optimizer, ratios, steps: staircase(ratios), score: score(ratios) };
  });
}

function ratio(time: number, fastest: number): number {
  if (!Number.isFinite(time)) return Number.POSITIVE_INFINITY;
  return fastest === 0 ? (time === 0 ? 1 : Number.POSITIVE_INFINITY) : time / fastest;
}

function staircase(ratios: readonly number[]): Profile['steps'] {
  const taus = [...new Set([1, ...ratios.filter((r) => r <= TAU_MAX)])].sort((a, b) => a - b);
  return taus.map((tau) => ({ tau, share: ratios.filter((r) => r <= tau).length / ratios.length }));
}

/** The integral of the staircase: each workload counts from its ratio on. */
function score(ratios: readonly number[]): number {
  const sum = ratios.reduce((total, r) => total + Math.max(0, TAU_MAX - r), 0);
  return sum / (TAU_MAX - 1) / ratios.length;
}
