import { median, standardDeviation } from '../compare/statistics.ts';
import type { WireFormat } from '../parallel/wire-format.ts';
import type { Measured, NodeStep } from './contract.ts';
import type { JobFacts } from './facts.ts';
import { busyMs, computeMs } from './phases.ts';
import { type Change, type JobCosts, type Scenario, type Simulated, simulate } from './simulate.ts';
import type { WhatIf } from './what-if.ts';

/** Exchanges of a prediction. */
const ROUNDS = 12;
/** CPU time of a byte of a frame at one end: 5.4 ns a float32 parameter and node, up and down, both ends (loopback, zero masks). */
const MS_PER_BYTE = 5.4e-6 / 16;
/** A further node is not worth it when it gives less than this share of what one node does by itself. */
export const WORTH_IT = 0.25;

/** What a job costs, from the phases of the point with the most workers. */
export function costsOf({ point, phases, shards }: Measured, timeline: readonly NodeStep[], facts: JobFacts): JobCosts {
  const { workers, batch } = point;
  const mean = (of: (w: Measured['phases'][number]) => number) =>
    phases.reduce((sum, w) => sum + of(w), 0) / phases.length;
  const slowest = Math.max(...phases.map(computeMs));
  const stepMs = mean((w) => w.stepMs);
  const additions = Math.max(1, facts.partialSums - 1);
  return {
    batch,
    shards,
    workers,
    bytes: facts.wireBytes,
    shardMs: slowest / Math.ceil(shards / workers),
    // Where nothing is added, the reduction only takes norms: that is work of the update.
    additionMs: facts.partialSums > 1 ? mean(({ ms }) => ms.reduce) / additions : mean(({ ms }) => ms.reduce),
    updateMs: mean(({ ms }) => ms.update),
    fixedMs: Math.max(0, stepMs - slowest - mean(({ ms }) => ms.reduce + ms.update)),
    msPerByte: MS_PER_BYTE,
    jitter: jitterOf(timeline),
  };
}

/** Spread of the computing time of one worker from step to step: of its logarithm, by quartiles, so that a pause counts little. */
function jitterOf(timeline: readonly NodeStep[]): number {
  const logs = timeline.filter(({ rank }) => rank === 0).map(({ start, computed }) => Math.log(computed - start));
  const middle = median(logs);
  const near = logs.filter((x) => Math.abs(x - middle) < 0.2);
  const spread = standardDeviation(near);
  return Number.isFinite(spread) ? spread : 0;
}

/** One line of a prediction. */
export interface Predicted {
  readonly nodes: number;
  readonly workers: number;
  readonly batch: number;
  readonly topology: 'star' | 'tree';
  readonly format: WireFormat;
  readonly syncEvery: number;
  readonly samplesPerSec: number;
  readonly band: readonly [number, number];
  /** Against as many times one node. */
  readonly efficiency: number;
  readonly phases: Simulated['phases'];
  readonly shardsAtEnd: readonly number[];
  readonly repeatedShards: number;
}

export interface Series {
  readonly topology: 'star' | 'tree';
  readonly format: WireFormat;
  readonly rows: readonly Predicted[];
  /** The most nodes of which each is still worth it. */
  readonly stopAt: number;
  readonly limit: keyof Simulated['phases'];
}

/** All series that the question asks for. */
export function predict(costs: JobCosts, workers: number, whatIf: WhatIf): Series[] {
  const topologies = whatIf.topology === 'both' ? (['star', 'tree'] as const) : [whatIf.topology];
  return topologies.flatMap((topology) =>
    whatIf.formats.map((format): Series => {
      const at = (nodes: number): Predicted => predictOne(costs, workers, whatIf, topology, format, nodes);
      const rows = whatIf.nodes.map(at);
      const stopAt = stopOf(at, Math.max(...whatIf.nodes));
      const { phases } = at(stopAt + 1);
      return { topology, format, rows, stopAt, limit: largest(phases) };
    }),
  );
}

function predictOne(
  costs: JobCosts,
  workers: number,
  whatIf: WhatIf,
  topology: 'star' | 'tree',
  format: WireFormat,
  nodes: number,
): Predicted {
  const { syncEvery, link, stragglers, lose, join } = whatIf;
  const changes: Change[] = [
    ...(lose ? [{ round: lose.round, lose: lose.count }] : []),
    ...(join ? [{ round: join.round, join: join.count }] : []),
  ];
  const rounds = Math.max(ROUNDS, ...changes.map(({ round }) => round + 4));
  const scenario: Omit<Scenario, 'nodes'> = { workers, link, format, syncEvery, topology, rounds };
  const grown = (n: number): JobCosts =>
    whatIf.mode === 'weak' ? { ...costs, batch: costs.batch * n, shards: costs.shards * n } : costs;
  const one = simulate({ ...grown(1), jitter: 0 }, { ...scenario, nodes: 1, rounds: 2 });
  const result = simulate(grown(nodes), {
    ...scenario,
    nodes,
    ...(stragglers ? { stragglers } : {}),
    ...(changes.length > 0 ? { changes } : {}),
  });
  return {
    nodes,
    workers,
    batch: grown(nodes).batch,
    topology,
    format,
    syncEvery,
    samplesPerSec: result.samplesPerSec,
    band: result.band,
    efficiency: result.samplesPerSec / (nodes * one.samplesPerSec),
    phases: result.phases,
    shardsAtEnd: result.shardsAtEnd,
    repeatedShards: result.repeatedShards,
  };
}

/**
 * The first place after which no further node is worth it, looked for one node at a time up to `most`; then by doubling, for beyond some tens of
 * nodes throughput moves in small steps.
 */
export function stopOf(at: (nodes: number) => Pick<Predicted, 'samplesPerSec'>, most: number): number {
  const one = at(1).samplesPerSec;
  let best = 1;
  let before = one;
  for (let nodes = 2; nodes <= most; nodes = nodes < 32 ? nodes + 1 : Math.ceil(nodes * 1.25)) {
    const { samplesPerSec } = at(nodes);
    if ((samplesPerSec - before) / (nodes - best) < WORTH_IT * one) {
      // Shards that do not divide evenly make stairs: a plateau of a few nodes may end.
      if (nodes > 2 * best && nodes > best + 4) break;
      continue;
    }
    best = nodes;
    before = samplesPerSec;
  }
  return best;
}

function largest(phases: Simulated['phases']): keyof Simulated['phases'] {
  const entries = Object.entries(phases) as [keyof Simulated['phases'], number][];
  return entries.reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0];
}

/** Between processes of one machine. */
const LOOPBACK: Scenario['link'] = { latencyMs: 0.05, bytesPerMs: 4e6 };

/** Prediction against measurement, for the points that were measured here: relative error of the throughput. */
export function predictionErrors(
  costs: JobCosts,
  measured: readonly Measured[],
  cores: number,
): { point: Measured['point']; measured: number; predicted: number; error: number }[] {
  return measured
    .filter(({ point }) => point.batch === costs.batch && point.shards === undefined)
    .map(({ point, roundsMs }) => {
      const scenario = {
        link: LOOPBACK,
        format: 'fp32',
        syncEvery: 1,
        topology: 'star',
        rounds: ROUNDS,
        sharedCores: cores,
      } as const;
      const predicted = simulate(costs, { ...scenario, nodes: point.nodes, workers: point.workers }).samplesPerSec;
      const real = (1000 * point.batch) / median(roundsMs);
      return { point, measured: real, predicted, error: predicted / real - 1 };
    });
}

/** Share of the step in which the workers of a point really work. */
export function busyShare({ phases }: Pick<Measured, 'phases'>): number {
  const stepMs = phases.reduce((sum, w) => sum + w.stepMs, 0);
  return stepMs === 0 ? Number.NaN : phases.reduce((sum, w) => sum + busyMs(w), 0) / stepMs;
}
