import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportSchema } from '../../src/compare/report.ts';
import { runCli, SMALL_JOB } from '../cli/run-cli.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-compare-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);
const readReport = async (name: string) =>
  reportSchema.parse(JSON.parse(await readFile(join(at(name), 'report.json'), 'utf8')));

describe('lockstep compare', () => {
  it('wants a job', async () => {
    const { code, stderr } = await runCli(['compare']);
    expect(stderr).toContain('expected the file of a job, or of several, got nothing');
    expect(code).toBe(1);
  });

  it('races, recommends and reports', async () => {
    const args = [
      '--optimizers',
      'sgd,adam',
      '--learning-rates',
      '0.05',
      '--seeds',
      '2',
      '--run-dir',
      at('race'),
      '--json',
      '-q',
    ];
    const { code, stdout, stderr } = await runCli(['compare', SMALL_JOB, ...args]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const { jobs } = JSON.parse(stdout);
    expect(jobs[0].recommendation.optimizer).toMatch(/^(sgd|adam)$/);
    expect((await readdir(at('race'))).sort()).toEqual(['report.html', 'report.json', 'trials.jsonl']);
    const report = await readReport('race');
    expect(report.jobs[0]).toMatchObject({ ended: 'complete', run: { steps: 12, batchSize: 24, parameters: 51 } });
    const adam = report.jobs[0].optimizers.find(({ optimizer }) => optimizer === 'adam');
    expect(adam).toMatchObject({ stateBytes: 2 * 4 * 51, measures: { seeds: 2, crashed: 0, trials: 6 } });
    expect(adam?.measures.secondsPerStep).toBeGreaterThan(0);
    const again = await runCli(['compare', SMALL_JOB, ...args]);
    expect(again.stderr).toMatch(/E_RUN_DIR.*--resume goes on with it/);
    const other = await runCli(['compare', SMALL_JOB, ...args, '--resume', '--seed', '9']);
    expect(other.stderr).toMatch(/E_RESUME: .*expected the same \w+ as it was begun with/);
  });

  it('keeps what is done at Ctrl-C, and goes on', async () => {
    const args = [
      'compare',
      SMALL_JOB,
      '--optimizers',
      'momentum',
      '--learning-rates',
      '0.05',
      '--seeds',
      '2',
      '--run-dir',
      at('stopped'),
      '--workers',
      '1',
    ];
    let sent = false;
    const stopped = await runCli(args, {
      onStderr: (text, child) => {
        if (sent || !text.includes('1 of up to')) return;
        sent = true;
        child.kill('SIGINT');
      },
    });
    expect(stopped.code).toBe(130);
    const before = (await readFile(join(at('stopped'), 'trials.jsonl'), 'utf8')).trim().split('\n');
    expect(before.length).toBeGreaterThan(1);
    expect((await readReport('stopped')).jobs[0].ended).toBe('aborted');
    const { code, stdout } = await runCli([...args, '--resume']);
    expect(code).toBe(0);
    expect(stdout).toContain('Recommendation: momentum');
    const after = (await readFile(join(at('stopped'), 'trials.jsonl'), 'utf8')).trim().split('\n');
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after).toHaveLength(1 + 4 + 2); // plan; 12 steps are one rung: one rate and three more; finals
  });

  it('goes on when a trial takes its process with it', async () => {
    const args = ['--optimizers', 'adam', '--seeds', '4', '--run-dir', at('crash'), '--workers', '1', '-q'];
    const { code, stdout } = await runCli(['compare', 'dist/test/fixtures/suicidal-job.js', ...args]);
    expect(code).toBe(0);
    expect(stdout).toContain('the process of the trial ended with SIGKILL');
    const { optimizers, recommendation } = (await readReport('crash')).jobs[0];
    expect(optimizers[0].measures.crashed).toBeGreaterThan(0);
    expect(optimizers[0].measures.crashed).toBeLessThan(6);
    expect(recommendation.optimizer).toBe('adam');
  });
});
