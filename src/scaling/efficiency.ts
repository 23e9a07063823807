import { median } from '../compare/statistics.ts';
import type { Measured, PointRole, Row, RowMode } from './contract.ts';

/** From measured points to the rows of a table. Pure. */
export function rowsOf(measured: readonly Measured[]): Row[] {
  const having = (...roles: PointRole[]) => measured.filter(({ point }) => roles.some((r) => point.roles.includes(r)));
  const strong = having('strong');
  const standard = strong.find(({ point }) => total(point) === 1);
  const fastest = fastestOf(having('strong', 'sweep').filter(({ point }) => total(point) === 1));
  const weak = having('weak').sort((m, n) => total(m.point) - total(n.point));
  const base = weak.find(({ point }) => total(point) === 1);
  return [
    ...(fastest ? strong.map((m) => rowOf('strong', m, fastest)) : []),
    ...(standard ? strong.map((m) => rowOf('equal-shards', m, standard)) : []),
    ...(base ? weak.map((m) => rowOf('weak', m, base)) : []),
  ];
}

/** The fastest of several points of one batch: the shortest median over the rounds. */
export function fastestOf(points: readonly Measured[]): Measured | undefined {
  return points.reduce<Measured | undefined>(
    (best, m) => (best === undefined || median(m.roundsMs) < median(best.roundsMs) ? m : best),
    undefined,
  );
}

function rowOf(mode: RowMode, m: Measured, reference: Measured): Row {
  const { point, roundsMs, shards, parametersSha256 } = m;
  const stepMs = median(roundsMs);
  const perSecond = (ms: number) => (1000 * point.batch) / ms;
  return {
    mode,
    workers: point.workers,
    nodes: point.nodes,
    batch: point.batch,
    shards,
    samplesPerSec: perSecond(stepMs),
    spread: [perSecond(Math.max(...roundsMs)), perSecond(Math.min(...roundsMs))],
    stepMs,
    efficiency: efficiency(m, reference),
    reference: { batch: reference.point.batch, shards: reference.shards },
    parametersSha256,
  };
}

/**
 * Throughput of all workers / (their number x the throughput of one): the median over the rounds of the ratio within a round, for a
 * machine that slows down slows both sides of a round.
 */
export function efficiency(m: Measured, reference: Measured): number {
  const ratios = m.roundsMs.map(
    (ms, round) =>
      m.point.batch / ms / (total(m.point) * (reference.point.batch / (reference.roundsMs[round] ?? Number.NaN))),
  );
  return median(ratios.filter(Number.isFinite));
}

function total({ workers, nodes }: Measured['point']): number {
  return workers * nodes;
}

/** Amdahl's law, step time = serial + parallel / workers, fitted by least squares (neither below 0) to strong scaling. */
export interface AmdahlFit {
  readonly serialMs: number;
  readonly parallelMs: number;
  /** Share of the one-worker step that more workers do not shorten. */
  readonly serialShare: number;
  /** More workers never give more than this. */
  readonly largestSpeedup: number;
}

export function fitAmdahl(
  points: readonly { readonly workers: number; readonly stepMs: number }[],
): AmdahlFit | undefined {
  if (new Set(points.map(({ workers }) => workers)).size < 2) return undefined;
  const n = points.length;
  const xs = points.map(({ workers }) => 1 / workers);
  const meanX = xs.reduce((a, b) => a + b, 0) / n;
  const meanY = points.reduce((sum, { stepMs }) => sum + stepMs, 0) / n;
  let xy = 0;
  let xx = 0;
  points.forEach(({ stepMs }, i) => {
    xy += (xs[i] - meanX) * (stepMs - meanY);
    xx += (xs[i] - meanX) ** 2;
  });
  let parallelMs = Math.max(0, xy / xx);
  let serialMs = meanY - parallelMs * meanX;
  if (serialMs < 0) {
    serialMs = 0;
    parallelMs = points.reduce((sum, { stepMs }, i) => sum + xs[i] * stepMs, 0) / xs.reduce((sum, x) => sum + x * x, 0);
  }
  const serialShare = serialMs / (serialMs + parallelMs);
  return {
    serialMs,
    parallelMs,
    serialShare,
    largestSpeedup: serialShare === 0 ? Number.POSITIVE_INFINITY : 1 / serialShare,
  };
}
