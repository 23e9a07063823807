import { median } from '../compare/statistics.ts';
import { PHASES, type PhaseName } from '../parallel/timeline.ts';
import type { Measured, WorkerPhases } from './contract.ts';
import type { JobFacts } from './facts.ts';
import { busyMs, computeMs } from './phases.ts';

/** What one core can do on this machine, of the same run. */
export interface Peaks {
  readonly gflops: number;
  /** GB/s. */
  readonly bandwidth: number;
}

export type Limit = 'compute' | 'memory' | 'imbalance' | 'latency' | 'serial' | 'network';

/** Where the time of a point's step goes, and what keeps it from scaling. */
export interface Explanation {
  readonly workers: number;
  readonly nodes: number;
  readonly batch: number;
  readonly shards: number;
  readonly stepMs: number;
  /** Mean over the workers. */
  readonly ms: Readonly<Record<PhaseName, number>>;
  readonly perWorker: readonly WorkerPhases[];
  /** Slowest worker before the first barrier against the mean, less 1. */
  readonly imbalance: number;
  readonly waitShare: number;
  /** Of the GEMM rate of a core, while computing. */
  readonly gemmShare: number;
  /** Of the memory bandwidth of a core, in reduction and update. */
  readonly reduceShare: number;
  readonly updateShare: number;
  /** Against a perfect division of the one-worker step: milliseconds of this step that each cause adds. */
  readonly losses: readonly Loss[];
  readonly limit: Limit;
}

export interface Loss {
  readonly cause: 'slower computing' | 'imbalance' | 'barriers' | 'reduction' | 'update' | 'network';
  readonly ms: number;
  readonly limit: Limit;
}

/** Losses below this share of the step are not worth a name. */
const NAMED = 0.02;

/** @param single the same batch and S on one worker; absent: nothing to compare with. */
export function explain(point: Measured, facts: JobFacts, peaks: Peaks, single: Measured | undefined): Explanation {
  const { phases: perWorker } = point;
  const { workers, nodes, batch } = point.point;
  const total = workers * nodes;
  const mean = (of: (w: WorkerPhases) => number) => perWorker.reduce((sum, w) => sum + of(w), 0) / perWorker.length;
  const ms = Object.fromEntries(PHASES.map((name) => [name, mean((w) => w.ms[name])])) as Record<PhaseName, number>;
  const stepMs = median(point.roundsMs);
  const computing = mean(computeMs);
  const slowest = Math.max(...perWorker.map(computeMs));
  const sums = facts.partialSums;
  const gigabytes = (floats: number, phaseMs: number) => (4 * floats) / total / (1e6 * phaseMs);
  const losses = single ? lossesOf(point, single, slowest, computing, total) : [];
  return {
    workers,
    nodes,
    batch,
    shards: point.shards,
    stepMs,
    ms,
    perWorker,
    imbalance: slowest / computing - 1,
    waitShare: 1 - mean(busyMs) / mean((w) => w.stepMs),
    gemmShare: facts.flops / total / (1e6 * (ms.forward + ms.backward)) / peaks.gflops,
    reduceShare: gigabytes(facts.elements * (sums > 1 ? sums + 1 : 1), ms.reduce) / peaks.bandwidth,
    updateShare: gigabytes(3 * facts.elements + 2 * facts.slotElements, ms.update) / peaks.bandwidth,
    losses,
    limit: limitOf(losses, stepMs),
  };
}

function lossesOf(point: Measured, single: Measured, slowest: number, computing: number, total: number): Loss[] {
  const [alone] = single.phases;
  if (!alone || total === 1) return [];
  if (point.point.nodes > 1) return [networkLoss(point, computeMs(alone) / total)];
  const mean = (of: (w: WorkerPhases) => number) =>
    point.phases.reduce((sum, w) => sum + of(w), 0) / point.phases.length;
  const waits = mean(({ ms }) => ms.waitGradients + ms.waitNorms + ms.waitParameters);
  const imbalance = slowest - computing;
  const losses: Loss[] = [
    { cause: 'slower computing', ms: computing - computeMs(alone) / total, limit: 'memory' },
    { cause: 'imbalance', ms: imbalance, limit: 'imbalance' },
    { cause: 'barriers', ms: waits - imbalance, limit: 'latency' },
    { cause: 'reduction', ms: mean(({ ms }) => ms.reduce) - alone.ms.reduce / total, limit: 'serial' },
    { cause: 'update', ms: mean(({ ms }) => ms.update) - alone.ms.update / total, limit: 'memory' },
  ];
  return losses.sort((a, b) => b.ms - a.ms);
}

/** On several nodes the coordinator's workers wait while shards are computed elsewhere: what that takes beyond computing is the way. */
function networkLoss({ phases }: Measured, idealMs: number): Loss {
  const waited = phases.reduce((sum, { ms }) => sum + ms.waitGradients, 0) / phases.length;
  return { cause: 'network', ms: waited - idealMs, limit: 'network' };
}

/** The largest loss, if there is one worth a name; else computing itself. */
function limitOf(losses: readonly Loss[], stepMs: number): Limit {
  const [largest] = losses;
  return largest && largest.ms > NAMED * stepMs ? largest.limit : 'compute';
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

/** A sentence or two for people. */
export function sentence(e: Explanation): string {
  const doing = `${e.workers * e.nodes === 1 ? 'one worker' : `${e.workers * e.nodes} workers`}: ${percent((e.ms.forward + e.ms.backward) / e.stepMs)} of the step computes (matrix products at ${percent(e.gemmShare)} of a core's rate), ${percent(e.waitShare)} waits`;
  const named = e.losses.filter(({ ms }) => ms > NAMED * e.stepMs);
  if (named.length === 0) return e.losses.length === 0 ? doing : `${doing}; nothing is lost that is worth a name`;
  const causes = named.map(({ cause, ms }) => `${cause} ${percent(ms / e.stepMs)}`);
  return `${doing}; lost against a perfect division: ${causes.join(', ')}`;
}
