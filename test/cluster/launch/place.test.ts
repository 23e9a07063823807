import { describe, expect, it } from 'vitest';
import type { EngineName, Environment } from '../../../cluster/launch/engines.ts';
import { findPlace } from '../../../cluster/launch/place.ts';

const TORCHRUN = { RANK: '1', WORLD_SIZE: '4', MASTER_ADDR: 'host0', MASTER_PORT: '1234' };
/** As srun of Slurm 22.05 sets them; SLURM_LAUNCH_NODE_IPADDR is the login node. */
const SLURM = {
  SLURM_PROCID: '2',
  SLURM_NTASKS: '4',
  SLURM_STEP_NUM_TASKS: '4',
  SLURM_JOB_ID: '17',
  SLURM_STEP_ID: '0',
  SLURM_JOB_NODELIST: 'login,gpu[07-10]',
  SLURM_STEP_NODELIST: 'gpu[07-10]',
  SLURM_LAUNCH_NODE_IPADDR: '10.0.0.99',
  SLURMD_NODENAME: 'gpu09',
};
const OPEN_MPI = {
  OMPI_COMM_WORLD_RANK: '0',
  OMPI_COMM_WORLD_SIZE: '3',
  OMPI_COMM_WORLD_LOCAL_RANK: '0',
  OMPI_COMM_WORLD_LOCAL_SIZE: '3',
  PMIX_NAMESPACE: '1866268673',
  OMPI_MCA_orte_hnp_uri: '1866268672.0;tcp://192.0.2.2:37945',
};
const INDEXED_JOB = { JOB_COMPLETION_INDEX: '2', WORLD_SIZE: '3', HOSTNAME: 'train-2' };
const JOB_SET = {
  JOB_COMPLETION_INDEX: '1',
  WORLD_SIZE: '4',
  HOSTNAME: 'mnist-node-1-1',
  JOBSET_NAME: 'mnist',
  JOBSET_JOB_INDEX: '1',
  JOBSET_REPLICAS: '2',
};

const at = (host: string, port: number) => ({ kind: 'address', host, port });

describe('the place of a process', () => {
  it.each<[string, Environment, EngineName, number, number, object, boolean]>([
    ['torchrun style', TORCHRUN, 'torchrun', 1, 4, at('host0', 1234), false],
    [
      'torchrun style on one machine',
      { ...TORCHRUN, MASTER_ADDR: '127.0.0.1' },
      'torchrun',
      1,
      4,
      at('127.0.0.1', 1234),
      true,
    ],
    ['torchrun with one machine', { ...TORCHRUN, LOCAL_WORLD_SIZE: '4' }, 'torchrun', 1, 4, at('host0', 1234), true],
    ['Slurm', SLURM, 'slurm', 2, 4, at('gpu07', 20_000 + 17 * 31), false],
    ['Slurm on one host', { ...SLURM, SLURM_STEP_NODELIST: 'gpu09' }, 'slurm', 2, 4, at('gpu09', 20_527), true],
    [
      'Slurm with an address',
      { ...SLURM, MASTER_ADDR: 'gpu07-ib', MASTER_PORT: '3000' },
      'slurm',
      2,
      4,
      at('gpu07-ib', 3000),
      false,
    ],
    ['Slurm with a size beside it', { ...SLURM, WORLD_SIZE: '4' }, 'slurm', 2, 4, at('gpu07', 20_527), false],
    ['another step has another port', { ...SLURM, SLURM_STEP_ID: '1' }, 'slurm', 2, 4, at('gpu07', 20_528), false],
    [
      'Open MPI',
      OPEN_MPI,
      'openmpi',
      0,
      3,
      { kind: 'file', id: '1866268673 1866268672.0;tcp://192.0.2.2:37945' },
      true,
    ],
    [
      'Open MPI on two hosts',
      { ...OPEN_MPI, OMPI_COMM_WORLD_LOCAL_SIZE: '2', MASTER_ADDR: 'h' },
      'openmpi',
      0,
      3,
      at('h', 29_400),
      false,
    ],
    ['PMI', { PMI_RANK: '3', PMI_SIZE: '8', PMI_JOBID: 'kvs_1' }, 'pmi', 3, 8, { kind: 'file', id: 'kvs_1' }, false],
    ['an Indexed Job', INDEXED_JOB, 'kubernetes', 2, 3, at('train-0.train', 29_400), false],
    [
      'an Indexed Job with an address',
      { ...INDEXED_JOB, MASTER_ADDR: 'x' },
      'kubernetes',
      2,
      3,
      at('x', 29_400),
      false,
    ],
    ['a JobSet of two jobs', JOB_SET, 'kubernetes', 3, 4, at('mnist-node-0-0.mnist', 29_400), false],
    [
      'a JobSet with a coordinator',
      { ...JOB_SET, JOBSET_COORDINATOR: 'c.d' },
      'kubernetes',
      3,
      4,
      at('c.d', 29_400),
      false,
    ],
    // Engines in engines.
    ['srun --mpi=pmi2', { ...SLURM, PMI_RANK: '2', PMI_SIZE: '4' }, 'slurm', 2, 4, at('gpu07', 20_527), false],
    [
      'Hydra in a Slurm job, whose proxies are tasks',
      { ...SLURM, SLURM_NTASKS: '2', SLURM_PROCID: '1', PMI_RANK: '5', PMI_SIZE: '8' },
      'pmi',
      5,
      8,
      { kind: 'file', id: '' },
      false,
    ],
    [
      'mpirun in a Slurm job, whose daemons are tasks',
      { ...OPEN_MPI, ...SLURM, OMPI_COMM_WORLD_RANK: '1' },
      'openmpi',
      1,
      3,
      { kind: 'file', id: '1866268673 1866268672.0;tcp://192.0.2.2:37945' },
      true,
    ],
    [
      'mpirun in a batch script',
      { ...OPEN_MPI, SLURM_PROCID: '0', SLURM_NTASKS: '9' },
      'openmpi',
      0,
      3,
      { kind: 'file', id: '1866268673 1866268672.0;tcp://192.0.2.2:37945' },
      true,
    ],
    ['RANK set from Slurm', { ...SLURM, ...TORCHRUN, RANK: '2' }, 'torchrun', 2, 4, at('host0', 1234), false],
    [
      'torchrun in a Slurm job, a task on each host',
      { ...SLURM, ...TORCHRUN, RANK: '9', WORLD_SIZE: '16', TORCHELASTIC_RUN_ID: 'none' },
      'torchrun',
      9,
      16,
      at('host0', 1234),
      false,
    ],
  ])('%s', (_, env, engine, rank, size, meeting, oneHost) => {
    expect(findPlace(env)).toMatchObject({ engine, rank, size, meeting, oneHost });
  });

  it.each<[string, Environment, string]>([
    ['nothing', { WORLD_SIZE: '4', MASTER_ADDR: 'x' }, 'got none of them; start it with srun'],
    ['no size', { RANK: '0', MASTER_ADDR: 'x', MASTER_PORT: '1' }, 'expected WORLD_SIZE beside RANK'],
    ['no address', { RANK: '0', WORLD_SIZE: '1', MASTER_PORT: '1' }, 'expected MASTER_ADDR beside RANK'],
    ['no port', { RANK: '0', WORLD_SIZE: '1', MASTER_ADDR: 'x' }, 'expected MASTER_PORT beside RANK'],
    [
      'a rank beyond the size',
      { ...TORCHRUN, RANK: '4' },
      'variable RANK: expected a whole number from 0 to 3, got "4"',
    ],
    ['a rank that is no number', { ...TORCHRUN, RANK: '1e0' }, 'got "1e0"'],
    [
      'an impossible port',
      { ...TORCHRUN, MASTER_PORT: '70000' },
      'variable MASTER_PORT: expected a whole number from 1 to 65535',
    ],
    [
      'a batch script',
      { SLURM_PROCID: '0', SLURM_NTASKS: '4' },
      'expected SLURM_STEP_NODELIST beside SLURM_PROCID: the hosts of a step, got none; start it with srun',
    ],
    ['a broken node list', { ...SLURM, SLURM_STEP_NODELIST: 'gpu[' }, 'node list "gpu["'],
    ['rank 0 elsewhere', { ...SLURM, SLURM_PROCID: '0' }, 'expected rank 0 on its first host, gpu07, got gpu09'],
    ['no number of pods', { JOB_COMPLETION_INDEX: '0', HOSTNAME: 'a-0' }, 'set it to spec.completions in the manifest'],
    [
      'a pod with another name',
      { ...INDEXED_JOB, HOSTNAME: 'train' },
      'expected the name of a pod that ends in -2, got train',
    ],
    [
      'pods that do not divide',
      { ...JOB_SET, WORLD_SIZE: '5' },
      'WORLD_SIZE: expected a multiple of JOBSET_REPLICAS=2, got 5',
    ],
    [
      'an index beyond the job',
      { ...JOB_SET, JOB_COMPLETION_INDEX: '2' },
      'JOB_COMPLETION_INDEX: expected 0 to 1, got 2',
    ],
    // Contradictions.
    [
      'RANK left over',
      { ...SLURM, ...TORCHRUN, RANK: '0' },
      'expected one rank and size for this process (RANK=0, WORLD_SIZE=4), got also SLURM_PROCID=2, SLURM_NTASKS=4; unset',
    ],
    ['WORLD_SIZE left over', { ...SLURM, WORLD_SIZE: '8' }, 'got also WORLD_SIZE=8'],
    ['RANK alone left over', { ...SLURM, RANK: '0' }, 'got also RANK=0'],
    ['PMI against Slurm', { ...SLURM, PMI_RANK: '1', PMI_SIZE: '4' }, 'got also PMI_RANK=1, PMI_SIZE=4'],
    ['two starters', { ...OPEN_MPI, PMI_RANK: '1', PMI_SIZE: '4' }, 'got also PMI_RANK=1'],
    ['a pod in a Slurm step', { ...INDEXED_JOB, ...SLURM, WORLD_SIZE: '3' }, 'got also JOB_COMPLETION_INDEX=2'],
  ])('%s is refused', (_, env, message) => {
    expect(() => findPlace(env)).toThrow(message);
    expect(() => findPlace(env)).toThrow(expect.objectContaining({ code: 'E_PLACE' }));
  });

  it('may be chosen where engines contradict each other', () => {
    const both = { ...SLURM, ...TORCHRUN, RANK: '0' };
    expect(findPlace(both, 'slurm')).toMatchObject({ engine: 'slurm', rank: 2 });
    expect(findPlace(both, 'torchrun')).toMatchObject({ engine: 'torchrun', rank: 0 });
    expect(() => findPlace(both, 'pmi')).toThrow('--engine pmi: expected the variables of pmi, got none of them');
  });

  it('never comes of the node where srun was called', () => {
    expect(JSON.stringify(findPlace(SLURM))).not.toContain(SLURM.SLURM_LAUNCH_NODE_IPADDR);
  });
});
