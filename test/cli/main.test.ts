import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli, SMALL_JOB, SMALL_JOB_SOURCE } from './run-cli.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

const KEYS = [
  'stopped',
  'step',
  'trainedSteps',
  'epoch',
  'loss',
  'metrics',
  'samplesPerSec',
  'seconds',
  'workers',
  'shards',
  'gemm',
  'parametersSha256',
  'cpuSecondsPerWorker',
];

describe('lockstep train', () => {
  it('ends with the same parameters on one worker and on three, from the sources of a checkout, and stopped on the way', async () => {
    const args = ['train', SMALL_JOB, '-q', '-w', '1', '--run-dir', join(folder, 'runs', 'resumed')];
    const [sources, built, first] = await Promise.all([
      runCli(['train', SMALL_JOB_SOURCE, '-q', '-w', '1', '--json'], { sources: true }),
      runCli(['train', SMALL_JOB_SOURCE, '-w', '3', '--json']),
      runCli([...args, '--epochs', '2']),
    ]);
    expect(first).toMatchObject({ code: 0, stdout: '', stderr: '' }); // -q says nothing at all
    expect(built.stderr).toMatch(/\nnote: the model is not kept: --run-dir DIR saves it[^\n]*\nepoch 1\/4/);
    const resumed = await runCli([...args, '--json', '--resume', 'auto']);
    const [whole, ...others] = [built, sources, resumed].map(({ stdout }) => JSON.parse(stdout));
    expect(others.map(({ parametersSha256 }) => parametersSha256)).toEqual(Array(2).fill(whole.parametersSha256));
    expect(whole).toMatchObject({ step: 12, trainedSteps: 12 });
    expect(others[1]).toMatchObject({ step: 12, trainedSteps: 6 });
  });

  it('prints one line of JSON on standard output, progress on standard error, and writes the run folder', async () => {
    const runDir = join(folder, 'runs', 'a');
    const [csv, board] = [join(folder, 'csv'), join(folder, 'board')];
    const places = ['--run-dir', runDir, '--csv', csv, '--tensorboard', board];
    const { code, stdout, stderr } = await runCli(['train', SMALL_JOB, '-w', '2', '--json', ...places]);
    expect(stderr).toContain('epoch 4/4');
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const summary = JSON.parse(stdout);
    expect(Object.keys(summary)).toEqual(KEYS);
    expect(summary).toMatchObject({ step: 12, epoch: 4, workers: 2, shards: 2 });
    expect(summary.parametersSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(summary.cpuSecondsPerWorker).toHaveLength(2);
    expect(summary.metrics['val.accuracy']).toBeGreaterThan(0.9);

    const records = readFileSync(join(runDir, 'metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(records.map((r) => r.kind).filter((kind, i, all) => kind !== all[i - 1])).toEqual([
      'header',
      ...Array.from({ length: 4 }, () => ['step', 'evaluation']).flat(),
      'event',
    ]);
    expect(records.at(-1)).toMatchObject({ event: 'end', step: 12, data: { stopped: 'epochs' } });
    expect(records.filter((r) => r.kind === 'step').map((r) => r.step)).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    expect(records[0]).toMatchObject({ workers: 2, shards: 2, parameters: 51, seed: 1 });

    const [, ...rows] = readFileSync(join(csv, 'steps.csv'), 'utf8').trimEnd().split('\n');
    const losses = records.filter((r) => r.kind === 'step').map((r) => String(r.loss));
    expect(rows.map((row) => row.split(',')[2])).toEqual(losses);
    expect(readdirSync(board)).toHaveLength(1);
  });

  it('takes options over the job, and --set over options', async () => {
    const args = ['--steps', '5', '--shards', '4', '--batch-size', '16', '--seed', '9', '--epochs', '1', '-w', '1'];
    const { code, stdout, stderr } = await runCli([
      ...['train', SMALL_JOB, '-q', '--json', ...args],
      ...['--set', 'steps=3', '--set', 'optimizer.lr=0.001'],
    ]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ step: 3, epoch: 1, workers: 1, shards: 4 });
  });
});

describe('a job that does not load', () => {
  it('is one line, and the stack only on demand', async () => {
    const file = write('stack.ts', 'function deep() {\n  throw new Error("here");\n}\ndeep();\n');
    const [plain, verbose, debug] = await Promise.all([
      runCli(['train', file]),
      runCli(['train', file, '--verbose']),
      runCli(['train', file], { env: { LOCKSTEP_DEBUG: '1' } }),
    ]);
    expect(plain.stderr).toMatch(/^error E_JOB_LOAD: .*stack\.ts:2(:\d+)?: [^\n]*got here; [^\n]*\n$/);
    expect({ code: plain.code, stdout: plain.stdout }).toEqual({ code: 1, stdout: '' });
    for (const { stderr } of [verbose, debug]) expect(stderr).toMatch(/at deep \(.*stack\.ts:2:\d+/);
  });

  it('does not hang when it waits for ever', async () => {
    const { code, stderr } = await runCli(['train', write('waits.mjs', 'await new Promise(() => {});\n')]);
    expect(stderr).toMatch(/^error E_JOB_LOAD: .*a promise that never settles[^\n]*\n$/);
    expect(code).toBe(1);
  });
});

it('a job that is not valid keeps the code of its error', async () => {
  const { code, stderr } = await runCli(['train', SMALL_JOB, '--set', 'epochs=-1']);
  expect(stderr).toMatch(/^error E_JOB: job\.epochs: expected .*, got -1; .*\n$/);
  expect(code).toBe(1);
});

describe('signals', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends a run after its step, with %i and no result but the steps done', async (name, expected) => {
    let sent = false;
    const { code, stdout, stderr } = await runCli(['train', SMALL_JOB, '--json', '-w', '2', '--epochs', '1000000'], {
      onStderr: (text, child) => {
        if (sent || !text.includes('\nepoch 1/')) return;
        sent = true;
        child.kill(name);
        // npm and shells pass the same key press on a second time: that must not kill.
        child.kill(name);
      },
    });
    expect(stderr).toContain('stopping after the step in progress');
    expect(stderr).not.toContain('error');
    expect(code).toBe(expected);
    const { step } = JSON.parse(stdout);
    expect(step).toBeGreaterThan(0);
    expect(step).toBeLessThan(3_000_000);
  });

  it('kill at the second time', async () => {
    const file = write(
      'never.mjs',
      "process.stderr.write('here\\n');\nawait new Promise(() => setInterval(() => {}, 1000));\n",
    );
    let timer: NodeJS.Timeout | undefined;
    const { signal, stderr } = await runCli(['train', file], {
      onStderr: (text, child) => {
        if (text.includes('here')) timer ??= setInterval(() => child.kill('SIGINT'), 100);
      },
    });
    clearInterval(timer);
    expect(stderr).toContain('once more kills');
    expect(signal).toBe('SIGINT');
  });
});

describe('lockstep summary', () => {
  it('prints layers, parameters, memory and the plan', async () => {
    const { code, stdout, stderr } = await runCli(['summary', SMALL_JOB, '-w', '2']);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^dense {2,}dense {2,}\[batch, 8\] +24$/m);
    expect(stdout).toMatch(/^parameters: 51 /m);
    expect(stdout).toMatch(/^ {2}optimizer slots +\d/m);
    expect(stdout).toMatch(/^rows: train 72, validation 24, test 0$/m);
    expect(stdout).toMatch(/^batch: 24 rows in 2 shards on 2 workers$/m);
    expect(stdout).toMatch(/^activations: \d+(\.\d+)? (B|KiB) for a shard of 12 rows, forward and backward$/m);
    expect(stdout).toMatch(/^steps: 12, 3 an epoch$/m);
    // GEMMs of 24 rows, 2 FLOP a multiply-add: forward and weight gradient of both layers, input gradient of the second.
    expect(stdout).toContain(`FLOP a step: ${((24 * 2 * (2 * (2 * 8 + 8 * 3) + 8 * 3)) / 1000).toFixed(1)} K`);
  });
});

describe('lockstep env', () => {
  it('says what there is, for people and as JSON', async () => {
    const [plain, json] = await Promise.all([runCli(['env']), runCli(['env', '--json'])]);
    const environment = JSON.parse(json.stdout);
    expect(environment).toMatchObject({ node: process.versions.node, packages: { zod: expect.any(String) } });
    expect(['blas', 'wasm']).toContain(environment.gemm);
    expect(environment.gemm === 'blas').toBe(environment.blas !== null);
    expect(plain.stdout).toMatch(new RegExp(`^node +${process.versions.node.replaceAll('.', '\\.')} `, 'm'));
    expect(plain.stdout).toMatch(/^gemm +(blas|wasm)$/m);
    for (const name of [
      'lockstep',
      'platform',
      'cpu',
      'cores',
      'memory',
      'simd',
      'blas',
      'packages',
      'optional',
      'variables',
    ]) {
      expect(plain.stdout).toMatch(new RegExp(`^${name} +\\S`, 'm'));
    }
  });

  it('follows LOCKSTEP_GEMM, and refuses a value that it does not know', async () => {
    const [wasm, unknown] = await Promise.all([
      runCli(['env', '--json'], {
        env: { LOCKSTEP_GEMM: 'wasm', OPENBLAS_CORETYPE: 'HASWELL', OPENBLAS_NUM_THREADS: undefined },
      }),
      runCli(['env'], { env: { LOCKSTEP_GEMM: 'fast' } }),
    ]);
    const { gemm, variables } = JSON.parse(wasm.stdout);
    expect(gemm).toBe('wasm');
    // As the user set them: not what choosing a BLAS adds.
    expect(variables).toMatchObject({ LOCKSTEP_GEMM: 'wasm', OPENBLAS_CORETYPE: 'HASWELL' });
    expect(variables).not.toHaveProperty('OPENBLAS_NUM_THREADS');
    expect(unknown.stderr).toMatch(/^error E_OPTION: .*LOCKSTEP_GEMM.*\n$/);
    expect(unknown.code).toBe(1);
  });
});

it('a command line that is not understood is one line and exit code 2; help is none', async () => {
  const [unknown, help] = await Promise.all([runCli(['trian', 'x.ts']), runCli(['--help'])]);
  expect(unknown).toMatchObject({ code: 2, signal: null, stdout: '' });
  expect(unknown.stderr).toMatch(
    /^error E_OPTION: command: expected one of train, [^\n]*, got "trian"; did you mean "train"\?\n$/,
  );
  expect(help.stdout).toMatch(/^Usage: lockstep/);
  expect({ code: help.code, stderr: help.stderr }).toEqual({ code: 0, stderr: '' });
});

it('a run folder that cannot be used is refused before anything is trained, and nothing is left behind', async () => {
  const file = write('a-file', 'x');
  const before = readdirSync(folder);
  const { code, stderr } = await runCli(['train', SMALL_JOB, '-q', '--run-dir', join(file, 'runs')]);
  expect(stderr).toMatch(/^error E_RUN_DIR: run folder .*\n$/);
  expect(code).toBe(1);
  expect(readdirSync(folder)).toEqual(before);
});

it('standard output on a full disk is an error of its own', { skip: !existsSync('/dev/full') }, async () => {
  const { code, stderr } = await runCli(['env', '--json'], { stdout: '/dev/full' });
  expect(stderr).toMatch(/^error E_OUTPUT: standard output: expected .*, got ENOSPC[^\n]*; make room, [^\n]*\n$/);
  expect(code).toBe(1);
});
