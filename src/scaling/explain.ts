import { median } from '../compare/statistics.ts';
import { type Measured, STEP_PHASES, type StepPhase, type WorkerPhases } from './contract.ts';
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
  /** Mean over the workers that compute: of several nodes those of the nodes. */
  readonly ms: Readonly<Record<StepPhase, number>>;
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
  readonly cause: 'slower computing' | 'imbalance' | 'barriers' | 'reduction' | 'update' | 'latency' | 'transfer';
  readonly ms: number;
  readonly limit: Limit;
}

/** Losses below this share of the step are not worth a name. */
const NAMED = 0.02;

/**
 * @param single the same batch and S on one worker; absent: nothing to compare with.
 * @param latencyMs from one process to another, where there are several.
 */
export function explain(
  point: Measured,
  facts: JobFacts,
  peaks: Peaks,
  single: Measured | undefined,
  latencyMs = 0,
): Explanation {
  const { phases: perWorker } = point;
  const { workers, nodes, batch } = point.point;
  const total = workers * nodes;
  const { computing: computers, updating: updaters } = rolesOf(point);
  const ms = Object.fromEntries(STEP_PHASES.map((name) => [name, mean(computers, (w) => w.ms[name])])) as Record<StepPhase, number>; // biome-ignore format: one line
  const stepMs = median(point.roundsMs);
  const computing = mean(computers, computeMs);
  const slowest = Math.max(...computers.map(computeMs));
  const sums = facts.partialSums;
  const gigabytes = (floats: number, phaseMs: number) => (4 * floats) / updaters.length / (1e6 * phaseMs);
  const losses = single ? lossesOf(point, single, latencyMs) : [];
  return {
    workers,
    nodes,
    batch,
    shards: point.shards,
    stepMs,
    ms,
    perWorker,
    imbalance: slowest / computing - 1,
    waitShare: 1 - mean(computers, busyMs) / mean(computers, (w) => w.stepMs),
    gemmShare: facts.flops / total / (1e6 * (ms.forward + ms.backward)) / peaks.gflops,
    reduceShare: gigabytes(facts.elements * (sums > 1 ? sums + 1 : 1), mean(updaters, (w) => w.ms.reduce)) / peaks.bandwidth, // biome-ignore format: one line
    updateShare: gigabytes(3 * facts.elements + 2 * facts.slotElements, mean(updaters, (w) => w.ms.update)) / peaks.bandwidth, // biome-ignore format: one line
    losses,
    limit: limitOf(losses, stepMs),
  };
}

/** Who computes gradients, and who has the optimizer: the same workers, unless there are nodes beside a coordinator. */
function rolesOf({ point, phases }: Measured): Record<'computing' | 'updating', readonly WorkerPhases[]> {
  if (point.nodes === 1) return { computing: phases, updating: phases };
  return { computing: phases.filter(({ node }) => node > 0), updating: phases.filter(({ node }) => node === 0) };
}

function mean(workers: readonly WorkerPhases[], of: (w: WorkerPhases) => number): number {
  return workers.reduce((sum, w) => sum + of(w), 0) / workers.length;
}

/** What this step takes beyond a perfect division of the one-worker step, by cause; together it is all of that. */
function lossesOf(point: Measured, single: Measured, latencyMs: number): Loss[] {
  const [alone] = single.phases;
  const total = point.point.workers * point.point.nodes;
  if (!alone || total === 1) return [];
  const { computing, updating } = rolesOf(point);
  const compute = mean(computing, computeMs);
  const imbalance = Math.max(...computing.map(computeMs)) - compute;
  const losses: Loss[] = [
    { cause: 'slower computing', ms: compute - computeMs(alone) / total, limit: 'memory' },
    { cause: 'imbalance', ms: imbalance, limit: 'imbalance' },
    { cause: 'reduction', ms: mean(updating, ({ ms }) => ms.reduce) - alone.ms.reduce / total, limit: 'serial' },
    { cause: 'update', ms: mean(updating, ({ ms }) => ms.update) - alone.ms.update / total, limit: 'memory' },
  ];
  const all = mean(updating, (w) => w.stepMs) - alone.stepMs / total;
  const rest = all - losses.reduce((sum, { ms }) => sum + ms, 0);
  if (point.point.nodes === 1) losses.push({ cause: 'barriers', ms: rest, limit: 'latency' });
  else {
    const latency = Math.max(0, Math.min(rest, 2 * latencyMs)); // parameters down, sums up
    losses.push({ cause: 'latency', ms: latency, limit: 'latency' });
    losses.push({ cause: 'transfer', ms: rest - latency, limit: 'network' });
  }
  return losses.sort((a, b) => b.ms - a.ms);
}

/** The largest loss, if there is one worth a name; else computing itself. */
function limitOf(losses: readonly Loss[], stepMs: number): Limit {
  const [largest] = losses;
  return largest && largest.ms > NAMED * stepMs ? largest.limit : 'compute';
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

/** Who computes: "2 workers" of one process, "2 nodes x 1 worker". */
export function workersOf({ nodes, workers }: Pick<Explanation, 'nodes' | 'workers'>): string {
  if (nodes > 1) return `${nodes} nodes x ${workers} worker${workers === 1 ? '' : 's'}`;
  return workers === 1 ? 'one worker' : `${workers} workers`;
}

/** A sentence or two for people. */
export function sentence(e: Explanation): string {
  const doing = `${workersOf(e)}: ${percent((e.ms.forward + e.ms.backward) / e.stepMs)} of the step computes (matrix products at ${percent(e.gemmShare)} of a core's rate), ${percent(e.waitShare)} waits`;
  const named = e.losses.filter(({ ms }) => ms > NAMED * e.stepMs);
  if (named.length === 0) return e.losses.length === 0 ? doing : `${doing}; nothing is lost that is worth a name`;
  const causes = named.map(({ cause, ms }) => `${cause} ${percent(ms / e.stepMs)}`);
  return `${doing}; lost against a perfect division: ${causes.join(', ')}`;
}
