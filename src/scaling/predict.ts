import { median, standardDeviation } from '../compare/statistics.ts';
import { assignShards } from '../membership/assignment.ts';
import type { WireFormat } from '../parallel/wire-format.ts';
import type { Measured, NodeStep } from './contract.ts';
import type { JobFacts } from './facts.ts';
import { computeMs } from './phases.ts';
import { rootsOf } from './protocol.ts';
import type { Change, Exchanged, JobCosts, Link, Scenario, Simulated, Together, WireCosts } from './scenario.ts';
import { simulate } from './simulate.ts';
import type { WhatIf } from './what-if.ts';

/** Exchanges of a prediction. */
const ROUNDS = 12;
/** A further node is not worth it when it gives less than this share of what one node does by itself. */
export const WORTH_IT = 0.25;

/**
 * What a job costs, from the phases of points of one batch and S on one machine: what a worker computes by itself, how it slows down beside
 * others, and the reduction and the update on the most workers.
 */
export function costsOf(
  points: readonly Measured[],
  timeline: readonly NodeStep[],
  facts: JobFacts,
  wire: WireCosts,
  codec: JobCosts['codec'],
): JobCosts {
  const ordered = [...points].sort((a, b) => a.point.workers - b.point.workers);
  const [{ point, shards }] = ordered;
  const slowest = ({ phases }: Measured) => Math.max(...phases.map(computeMs));
  const ofShard = ordered.map((m): readonly [number, number] => {
    const { workers } = m.point;
    return [workers, slowest(m) / Math.ceil(m.shards / workers)];
  });
  const [[, shardMs]] = ofShard;
  const [{ ms: phase }] = ordered[0].phases;
  const backward = phase.backward / (phase.gather + phase.forward + phase.backward);
  return {
    batch: point.batch,
    shards,
    bytes: facts.wireBytes,
    shardMs,
    slowdown: slowdownOf(ofShard.map(([n, ms]) => [n, Math.max(1, ms / shardMs)])),
    together: ordered.map((m): Together => {
      const mean = (of: (w: Measured['phases'][number]) => number) => m.phases.reduce((sum, w) => sum + of(w), 0) / m.phases.length; // biome-ignore format: one line
      const [reduceMs, updateMs] = [mean(({ ms }) => ms.reduce), mean(({ ms }) => ms.update)];
      const additions = Math.max(1, sumsOf(m.point.workers, shards) - 1); // where nothing is added, norms are taken all the same
      const fixedMs = Math.max(0, mean((w) => w.stepMs) - slowest(m) - reduceMs - updateMs);
      return { workers: m.point.workers, additionMs: reduceMs / additions, updateMs, fixedMs };
    }),
    wire,
    codec,
    jitter: jitterOf(timeline),
    early: {
      ...facts.early,
      finals: facts.early.finals.map((part) => ({ ...part, share: 1 - backward * (1 - part.share) })),
    },
  };
}

/** Partial sums in which so many workers of one process end. */
function sumsOf(workers: number, shards: number): number {
  return assignShards(shards, workers).reduce((sum, range) => sum + rootsOf(range, shards).length, 0);
}

/** From some numbers of workers to all up to the largest: straight lines between. The least of them counts as one. */
export function slowdownOf(known: readonly (readonly [workers: number, factor: number])[]): number[] {
  const [[first], ...rest] = known;
  const factors: number[] = Array.from({ length: first }, () => 1);
  let [n, factor] = [first, 1];
  for (const [next, its] of rest) {
    for (let k = n + 1; k <= next; k++) factors.push(factor + ((k - n) / (next - n)) * (its - factor));
    [n, factor] = [next, its];
  }
  return factors;
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
  /** What takes most of the time then, or that no shards are left to be given. */
  readonly limit: keyof Simulated['phases'] | 'shards';
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
      const given = whatIf.mode === 'strong' && stopAt * workers >= costs.shards;
      return { topology, format, rows, stopAt, limit: given ? 'shards' : largest(phases) };
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

/** Between processes of one machine there is no card: it takes the time of their main threads. */
export const LOOPBACK: Link = { latencyMs: 0, bytesPerMs: Number.POSITIVE_INFINITY };

const EXACT: Exchanged = { format: 'fp32', syncEvery: 1 };

/**
 * Prediction against measurement, for the points that were measured here, processes of one machine: relative error of the throughput. Nodes
 * alone are seen through `link`.
 */
export function predictionErrors(
  costs: JobCosts,
  measured: readonly Measured[],
  cores: number,
  link: Link = LOOPBACK,
  exchanged: Exchanged = EXACT,
): { point: Measured['point']; measured: number; predicted: number; error: number }[] {
  return measured
    .filter(({ point }) => point.batch === costs.batch && point.shards === undefined)
    .map(({ point, roundsMs }) => {
      const scenario = { link, ...(point.nodes === 1 ? EXACT : exchanged), topology: 'star', rounds: 4 * ROUNDS, sharedCores: cores } as const; // biome-ignore format: one line
      const predicted = simulate(costs, { ...scenario, nodes: point.nodes, workers: point.workers }).samplesPerSec;
      const real = (1000 * point.batch) / median(roundsMs);
      return { point, measured: real, predicted, error: predicted / real - 1 };
    });
}
