import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { newRunDir } from '../../src/cli/train.ts';
import { type CliResult, runCli, SMALL_JOB } from './run-cli.ts';

test('an interrupted run is saved, says how to go on, and goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-interrupt-'));
  const runDir = join(folder, 'run');
  try {
    let sent = false;
    const { code, stderr } = await runCli(['train', SMALL_JOB, '-w', '2', '--epochs', '1000000', '--run-dir', runDir], {
      onStderr: (text, child) => {
        if (sent || !text.includes('\nepoch 1/')) return;
        sent = true;
        child.kill('SIGINT');
      },
    });
    expect(code).toBe(130);
    const [, step, command] = /saved step (\d+); to go on: lockstep (.*)\n/.exec(stderr) ?? [];
    expect(readdirSync(folder)).toEqual(['run']);
    expect(readdirSync(runDir).sort()).toEqual(['checkpoints', 'metrics.jsonl']); // and no lock
    const steps = Number(step) + 2;
    const again = await runCli([...command.split(' '), '--epochs', '1000000', '--steps', String(steps), '--json']);
    expect(again.stderr).toContain(`resumed after step ${step}`);
    expect(JSON.parse(again.stdout).step).toBe(steps);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a run that is killed goes on from its last checkpoint, and ends in the same bytes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-kill-'));
  const args = ['train', SMALL_JOB, '--epochs', '120', '--set', 'checkpoint.everySteps=7', '--json'];
  const shaOf = ({ stdout }: CliResult): string => JSON.parse(stdout).parametersSha256;
  try {
    const whole = shaOf(await runCli([...args, '-w', '1', '--run-dir', join(folder, 'whole')]));
    const runDir = join(folder, 'killed');
    const again = [...args, '--run-dir', runDir, '--resume', 'auto'];
    for (const [workers, epoch] of [
      ['2', 4],
      ['3', 40],
    ]) {
      const killed = await runCli([...again, '-w', String(workers)], {
        onStderr: (text, child) => text.includes(`\nepoch ${epoch}/`) && child.kill('SIGKILL'),
      });
      expect(killed.signal).toBe('SIGKILL');
    }
    const ended = await runCli([...again, '-w', '2']);
    expect(ended.stderr).toMatch(/resumed after step \d{2}/);
    expect(shaOf(ended)).toBe(whole);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('SIGTERM ends a run with its own code; without a run folder it says that nothing is left', async () => {
  const { code, stderr } = await runCli(['train', SMALL_JOB, '-w', '1', '--epochs', '1000000'], {
    onStderr: (text, child) => text.includes('\nepoch 1/') && child.kill('SIGTERM'),
  });
  expect(code).toBe(143);
  expect(stderr).toMatch(/\ninterrupted: trained .*\nnothing was saved: there is no run folder \(--run-dir\)\n$/);
});

test('a run folder of its own has the name of the job and the time', () => {
  expect(newRunDir('/jobs/train.ts', new Date('2026-01-31T23:59:58.123Z'))).toBe(join('runs', 'train-20260131-235958'));
});
