/** Who runs against whom: pure, from the options and the workloads. */
import type { Workload } from '../../src/scaling/workloads.ts';

export type PeerName = 'torch' | 'tfjs' | 'jax-js';
export const PEERS: readonly PeerName[] = ['torch', 'tfjs', 'jax-js'];
export type GemmName = 'blas' | 'wasm';

interface Common {
  /** 'train()', '1 process', 'DDP, 2 processes', '1 process, 2 threads'. */
  readonly way: string;
  /** Cores it may use. */
  readonly workers: number;
  /** Rows of a step, all workers together. */
  readonly batch: number;
}

export interface OwnContestant extends Common {
  readonly peer: 'lockstep';
  readonly gemm: GemmName;
  /** Fixed slices of the batch; undefined for the default. */
  readonly shards?: number;
  /** A coordinator and so many node processes with a worker each, over loopback; undefined: one process. */
  readonly nodes?: number;
}

export interface PeerContestant extends Common {
  readonly peer: PeerName;
  readonly processes: number;
  /** Of each process. */
  readonly threads: number;
}

export type Contestant = OwnContestant | PeerContestant;

/** Contestants whose rounds are interleaved, so that they can be compared. */
export interface Group {
  readonly workload: Workload;
  readonly title: string;
  readonly contestants: readonly Contestant[];
}

export interface PlanOptions {
  readonly workloads: readonly Workload[];
  readonly workers: readonly number[];
  readonly peers: readonly PeerName[];
  readonly gemms: readonly GemmName[];
  /** Overrides the workload's rows a worker. */
  readonly batch?: number;
  readonly shards?: number;
  readonly scaling: boolean;
  /** Also a coordinator with a node for each worker. */
  readonly cluster?: boolean;
  /** Only what the table of scaling is made of: weak and strong scaling, node processes, PyTorch beside all of them. */
  readonly onlyScaling?: boolean;
}

export function planGroups(options: PlanOptions): Group[] {
  if (options.onlyScaling) return options.workloads.map((workload) => scalingEverything(workload, options));
  return options.workloads.flatMap((workload) => [
    mainGroup(workload, options),
    ...(options.cluster ? [clusterGroup(workload, options)] : []),
    ...(options.scaling && options.workers.length > 1
      ? workload.scalingBatches.map((batch) => scalingGroup(workload, batch, options))
      : []),
  ]);
}

/** Every number of workers with the workload's batch a worker, and the peers on as many cores. */
function mainGroup(workload: Workload, options: PlanOptions): Group {
  const { workers, peers, gemms, shards } = options;
  const batch = options.batch ?? workload.batch;
  const [gemm, ...others] = gemms;
  const most = Math.max(...workers);
  const contestants: Contestant[] = workers.map((n) => lockstep(n, batch * n, gemm, shards));
  // What the default S costs: S = workers is the fewest that keeps everybody busy.
  if (most > 1 && shards === undefined) contestants.push(lockstep(most, batch * most, gemm, most));
  for (const other of others) contestants.push(...workers.map((n) => lockstep(n, batch * n, other, shards)));
  for (const peer of peers) {
    if (peer === 'torch') contestants.push(...workers.flatMap((n) => torch(n, batch * n)));
    else contestants.push(outside(peer, '1 process', 1, batch, 1, 1));
  }
  return { workload, title: `${workload.name}, batch ${batch} a worker`, contestants };
}

/** As many node processes as workers, beside one process with as many workers, and PyTorch's processes. */
function clusterGroup(workload: Workload, { workers, peers, gemms, batch = workload.batch }: PlanOptions): Group {
  const [gemm] = gemms;
  const n = Math.max(...workers);
  const local = lockstep(n, batch * n, gemm);
  const contestants: Contestant[] = [local, { ...local, way: `coordinator and ${n} nodes`, nodes: n }];
  if (peers.includes('torch')) contestants.push(...torch(n, batch * n));
  return { workload, title: `${workload.name}, ${n} node processes over loopback`, contestants };
}

/**
 * Weak scaling, strong scaling, node processes, and PyTorch with the same batches, all in the same rounds: what a ratio is made of has met
 * the same machine.
 */
function scalingEverything(workload: Workload, options: PlanOptions): Group {
  const { workers, peers, gemms } = options;
  const [gemm] = gemms;
  const most = Math.max(...workers);
  const weak = options.batch ?? workload.weakBatch ?? workload.batch;
  const torches = (batch: (n: number) => number) =>
    peers.includes('torch') ? workers.flatMap((n) => torch(n, batch(n))) : [];
  const nodes: OwnContestant = { ...lockstep(most, weak * most, gemm), way: `coordinator and ${most} nodes`, nodes: most }; // biome-ignore format: one line
  const contestants: Contestant[] = [
    ...workers.map((n) => lockstep(n, weak * n, gemm)),
    ...(options.cluster && most > 1 ? [nodes] : []),
    ...torches((n) => weak * n),
    ...workload.scalingBatches.flatMap((batch) => [
      ...workers.map((n) => lockstep(n, batch, gemm)),
      ...[1, 2, 4].map((s) => lockstep(1, batch, gemm, s)),
      ...torches(() => batch),
    ]),
  ];
  const once = new Map(contestants.map((contestant) => [JSON.stringify(contestant), contestant]));
  const strong = workload.scalingBatches.map((batch) => `, global batch ${batch}`).join('');
  return { workload, title: `${workload.name}, batch ${weak} a worker${strong}`, contestants: [...once.values()] };
}

/** One global batch on 1 and on all workers, and the S that is fastest on one. */
function scalingGroup(workload: Workload, batch: number, { workers, gemms }: PlanOptions): Group {
  const [gemm] = gemms;
  const most = Math.max(...workers);
  const sweep = [1, 2, 4].map((s) => lockstep(1, batch, gemm, s));
  const contestants = [...workers.map((n) => lockstep(n, batch, gemm)), ...sweep, lockstep(most, batch, gemm, most)];
  return { workload, title: `${workload.name}, global batch ${batch} on any number of workers`, contestants };
}

function lockstep(workers: number, batch: number, gemm: GemmName, shards?: number): OwnContestant {
  return { peer: 'lockstep', way: 'train()', workers, batch, gemm, ...(shards === undefined ? {} : { shards }) };
}

/** PyTorch's ways to use n cores: one process a core, or one process with n threads. */
function torch(cores: number, batch: number): PeerContestant[] {
  if (cores === 1) return [outside('torch', '1 process', 1, batch, 1, 1)];
  return [
    outside('torch', `DDP, ${cores} processes`, cores, batch, cores, 1),
    outside('torch', `1 process, ${cores} threads`, cores, batch, 1, cores),
  ];
}

function outside(
  peer: PeerName,
  way: string,
  workers: number,
  batch: number,
  processes: number,
  threads: number,
): PeerContestant {
  return { peer, way, workers, batch, processes, threads };
}

/** A short name for messages. */
export function labelOf(contestant: Contestant): string {
  const { peer, way, workers, batch } = contestant;
  if (peer !== 'lockstep') return `${peer} (${way})`;
  const { gemm, shards, nodes } = contestant;
  if (nodes !== undefined) return `lockstep ${gemm}, ${way}, batch ${batch}`;
  return `lockstep ${gemm}, ${workers} worker${workers === 1 ? '' : 's'}, batch ${batch}, S ${shards ?? 'default'}`;
}
