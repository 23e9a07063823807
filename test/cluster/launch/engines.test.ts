import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { train } from '../../../src/train/train.ts';
import { SMALL_JOB } from '../../cli/run-cli.ts';
import job from '../../fixtures/small-job.ts';
import { has, hasSlurm, Slurm } from '../../support/slurm.ts';

const JOB = resolve(SMALL_JOB);
/** As the examples call it. */
const LOCKSTEP = [process.execPath, resolve('dist/src/cli/main.js')];

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Promise<Outcome> {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    cwd,
    env: { ...env, LOCKSTEP: LOCKSTEP.join(' ') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text) => {
      said[name] += text;
    });
  }
  return new Promise((done, fail) => {
    child.once('error', fail).once('close', (code) => done({ code, ...said }));
  });
}

describe('lockstep join, started by', { timeout: 240_000 }, () => {
  let folder: string;
  let expected: string;
  let slurm: Slurm | undefined;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lockstep-engines-'));
    expected = (await train(job, { workers: 1 })).parametersSha256;
    if (hasSlurm) slurm = await Slurm.start();
  });
  afterAll(async () => {
    await slurm?.close();
    rmSync(folder, { recursive: true });
  });

  it.runIf(has('mpirun'))('mpirun: three ranks meet by a file, and end in the bytes of one worker', async () => {
    const root = {
      OMPI_ALLOW_RUN_AS_ROOT: '1',
      OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
      MPIRUN_OPTIONS: '--oversubscribe',
    };
    const command = [resolve('examples/launch/mpirun.sh'), '3', JOB, '--json'];
    const { code, stdout, stderr } = await run(command, { ...process.env, ...root }, folder);
    expect(stderr).toContain('step 1 waits: 0 nodes of at least 3'); // for all of them
    expect(stderr).toContain('openmpi: rank 0 of 3, listening at ws://127.0.0.1:');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).parametersSha256).toBe(expected);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.runIf(hasSlurm)('sbatch: two tasks meet at an address, and end in the bytes of one worker', async () => {
    const here = ['--nodes=1', '--ntasks-per-node=2', '--cpus-per-task=1', '--output=out.txt', '--wait', '--quiet'];
    const script = resolve('examples/launch/slurm.sbatch');
    const { code } = await run(['sbatch', ...here, script, JOB, '--json'], { ...slurm?.env }, folder);
    const said = readFileSync(join(folder, 'out.txt'), 'utf8');
    expect(said).toMatch(/slurm: rank 0 of 2, listening at ws:\/\/127\.0\.0\.1:2\d{4}\n/);
    const result = said.split('\n').find((line) => line.startsWith('{')) ?? said;
    expect(JSON.parse(result).parametersSha256).toBe(expected);
    expect(code).toBe(0);
  });

  it.runIf(hasSlurm)('srun: a job that is wrong is told apart from one that is worth another try', async () => {
    const command = ['srun', '-n', '2', '--overcommit', ...LOCKSTEP, 'join', JOB, '--set', 'batchsize=3'];
    const { code, stderr } = await run(command, { ...slurm?.env }, folder);
    expect(stderr).toContain('error E_OPTION: --set batchsize: expected a field of the job');
    expect(code).toBe(78);
  });
});
