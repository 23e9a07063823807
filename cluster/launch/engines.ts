import { LockstepError } from '../../src/errors.ts';
import { DEFAULT_PORT } from '../options.ts';
import { isLoopback } from '../security.ts';
import { parseNodelist } from './nodelist.ts';

/** Variables of a process, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

export const ENGINES = ['torchrun', 'openmpi', 'pmi', 'slurm', 'kubernetes'] as const;
export type EngineName = (typeof ENGINES)[number];

/** How the ranks find rank 0: at an address that all of them know, or by a file that rank 0 writes. */
export type Meeting =
  | { readonly kind: 'address'; readonly host: string; readonly port: number }
  /** `id` tells runs apart that share a folder. */
  | { readonly kind: 'file'; readonly id: string };

/** Which process of a distributed run this one is. */
export interface Place {
  readonly engine: EngineName;
  readonly rank: number;
  readonly size: number;
  readonly meeting: Meeting;
  /** All ranks run on this machine: loopback is enough. */
  readonly oneHost: boolean;
  /** Ranks that share this machine, as far as the engine says. */
  readonly ranksHere: number;
  /** The variables that say so, for messages. */
  readonly says: string;
}

/** Far above any cluster; larger ones are mistakes. */
const MOST_RANKS = 1_000_000;

/**
 * Reads an engine's variables: undefined where they are not there.
 *
 * @throws E_PLACE where some are there, but not all that are needed, or one has no meaning.
 */
export type EngineReader = (env: Environment) => Place | undefined;

export const READERS: Record<EngineName, EngineReader> = {
  torchrun: readTorchrun,
  openmpi: readOpenMpi,
  pmi: readPmi,
  slurm: readSlurm,
  kubernetes: readKubernetes,
};

/** torchrun, Kubeflow's PyTorchJob, or set by hand. */
function readTorchrun(env: Environment): Place | undefined {
  if (env.RANK === undefined) return undefined;
  const { rank, size, says } = ranks(env, 'RANK', 'WORLD_SIZE');
  const host = needed(env, 'MASTER_ADDR', 'RANK', 'the address of rank 0');
  const port = portOf(env);
  if (port === undefined) throw missing('MASTER_PORT', 'RANK', 'a port that is free on rank 0');
  const oneHost = size === 1 || isLoopback(host) || env.LOCAL_WORLD_SIZE === String(size);
  const ranksHere = count(env.LOCAL_WORLD_SIZE) ?? (oneHost ? size : 1);
  return { engine: 'torchrun', rank, size, meeting: { kind: 'address', host, port }, oneHost, ranksHere, says };
}

/** mpirun of Open MPI: it tells no address, but it starts all ranks in one folder. */
function readOpenMpi(env: Environment): Place | undefined {
  if (env.OMPI_COMM_WORLD_RANK === undefined) return undefined;
  const { rank, size, says } = ranks(env, 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE');
  // The number of the job comes again some day; with the address of mpirun itself it does not.
  const job = env.PMIX_NAMESPACE ?? env.OMPI_MCA_ess_base_jobid ?? '';
  const meeting = meetingOf(env) ?? { kind: 'file', id: `${job} ${env.OMPI_MCA_orte_hnp_uri ?? ''}` };
  const ranksHere = count(env.OMPI_COMM_WORLD_LOCAL_SIZE) ?? 1;
  return { engine: 'openmpi', rank, size, meeting, oneHost: ranksHere === size, ranksHere, says };
}

/** MPICH, Intel MPI and others that start by Hydra. */
function readPmi(env: Environment): Place | undefined {
  if (env.PMI_RANK === undefined) return undefined;
  const { rank, size, says } = ranks(env, 'PMI_RANK', 'PMI_SIZE');
  const meeting = meetingOf(env) ?? { kind: 'file', id: env.PMI_JOBID ?? env.PMI_ID ?? '' };
  const ranksHere = count(env.MPI_LOCALNRANKS) ?? 1;
  return { engine: 'pmi', rank, size, meeting, oneHost: ranksHere === size, ranksHere, says };
}

/**
 * A task of srun. Rank 0 runs on the first host of the step; SLURM_LAUNCH_NODE_IPADDR would be wrong: it is where srun was
 * called, which may be a login node.
 */
function readSlurm(env: Environment): Place | undefined {
  if (env.SLURM_PROCID === undefined) return undefined;
  const list = needed(env, 'SLURM_STEP_NODELIST', 'SLURM_PROCID', 'the hosts of a step', 'start it with srun');
  const { rank, size, says } = ranks(env, 'SLURM_PROCID', 'SLURM_NTASKS');
  const hosts = parseNodelist(list);
  const meeting = meetingOf(env, slurmPort(env)) ?? { kind: 'address', host: hosts[0], port: slurmPort(env) };
  const here = env.SLURMD_NODENAME;
  if (rank === 0 && here !== undefined && here !== hosts[0] && env.MASTER_ADDR === undefined) {
    throw new LockstepError('E_PLACE', {
      where: 'SLURM_STEP_NODELIST',
      expected: `rank 0 on its first host, ${hosts[0]}`,
      got: here,
      fix: 'use the default distribution of tasks, or set MASTER_ADDR to the host of rank 0',
    });
  }
  const oneHost = hosts.length === 1;
  return { engine: 'slurm', rank, size, meeting, oneHost, ranksHere: oneHost ? size : 1, says };
}

/** Below the ports that systems give away by themselves; another one for each step, so that jobs may share a host. */
function slurmPort(env: Environment): number {
  const number = (text = '0') => (/^\d{1,12}$/.test(text) ? Number(text) : 0);
  return portOf(env) ?? 20_000 + ((number(env.SLURM_JOB_ID) * 31 + number(env.SLURM_STEP_ID)) % 10_000);
}

/**
 * A pod of an Indexed Job, or of a JobSet where the manifest passes its annotations on as JOBSET_*. Kubernetes tells a pod its
 * index only: the manifest says WORLD_SIZE. Pods are found by the names that Kubernetes gives them: <job>-0.<job>, with a
 * headless service of the job's name; in a JobSet <set>-<replicated job>-0-0.<set>.
 */
function readKubernetes(env: Environment): Place | undefined {
  if (env.JOB_COMPLETION_INDEX === undefined) return undefined;
  const index = whole(env, 'JOB_COMPLETION_INDEX', 0, MOST_RANKS);
  needed(env, 'WORLD_SIZE', 'JOB_COMPLETION_INDEX', 'the number of pods', 'set it to spec.completions in the manifest');
  const size = whole(env, 'WORLD_SIZE', 1, MOST_RANKS);
  const replicas = env.JOBSET_REPLICAS === undefined ? 1 : whole(env, 'JOBSET_REPLICAS', 1, MOST_RANKS);
  const job = env.JOBSET_JOB_INDEX === undefined ? 0 : whole(env, 'JOBSET_JOB_INDEX', 0, replicas - 1);
  if (size % replicas !== 0) throw wrong('WORLD_SIZE', `a multiple of JOBSET_REPLICAS=${replicas}`, String(size));
  const perJob = size / replicas;
  if (index >= perJob) throw wrong('JOB_COMPLETION_INDEX', `0 to ${perJob - 1}`, String(index));
  const port = portOf(env) ?? DEFAULT_PORT;
  const meeting = meetingOf(env, port) ?? { kind: 'address', host: podOfRank0(env, job, index), port };
  const says = `JOB_COMPLETION_INDEX=${index}${replicas > 1 ? `, JOBSET_JOB_INDEX=${job}` : ''}, WORLD_SIZE=${size}`;
  return { engine: 'kubernetes', rank: job * perJob + index, size, meeting, oneHost: size === 1, ranksHere: 1, says };
}

function podOfRank0(env: Environment, job: number, index: number): string {
  const coordinator = env.JOBSET_COORDINATOR;
  if (coordinator) return coordinator;
  const { HOSTNAME: pod = '', JOBSET_NAME: set } = env;
  const ending = set === undefined ? `-${index}` : `-${job}-${index}`;
  if (pod.length <= ending.length || !pod.endsWith(ending)) {
    const fix = 'set MASTER_ADDR to the name of the first pod, such as train-0.train';
    throw wrong('HOSTNAME', `the name of a pod that ends in ${ending}`, pod === '' ? 'nothing' : pod, fix);
  }
  const stem = pod.slice(0, -ending.length);
  return set === undefined ? `${stem}-0.${stem}` : `${stem}-0-0.${set}`;
}

/** MASTER_ADDR says where rank 0 is, whatever the engine. */
function meetingOf(env: Environment, port = portOf(env) ?? DEFAULT_PORT): Meeting | undefined {
  return env.MASTER_ADDR ? { kind: 'address', host: env.MASTER_ADDR, port } : undefined;
}

function portOf(env: Environment): number | undefined {
  return env.MASTER_PORT === undefined ? undefined : whole(env, 'MASTER_PORT', 1, 65_535);
}

function ranks(env: Environment, rankName: string, sizeName: string): Pick<Place, 'rank' | 'size' | 'says'> {
  needed(env, sizeName, rankName, 'the number of processes');
  const size = whole(env, sizeName, 1, MOST_RANKS);
  const rank = whole(env, rankName, 0, size - 1);
  return { rank, size, says: `${rankName}=${rank}, ${sizeName}=${size}` };
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined;
}

function whole(env: Environment, name: string, least: number, most: number): number {
  const text = env[name] ?? '';
  if (/^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
  throw wrong(name, `a whole number from ${least} to ${most}`, JSON.stringify(text));
}

function needed(env: Environment, name: string, beside: string, what: string, fix?: string): string {
  const value = env[name];
  if (value) return value;
  throw missing(name, beside, what, fix);
}

function missing(name: string, beside: string, what: string, fix = `set ${name} in every process`): LockstepError {
  return new LockstepError('E_PLACE', {
    where: 'environment',
    expected: `${name} beside ${beside}: ${what}`,
    got: 'none',
    fix,
  });
}

function wrong(name: string, expected: string, got: string, fix = 'correct the variable'): LockstepError {
  return new LockstepError('E_PLACE', { where: `environment variable ${name}`, expected, got, fix });
}
