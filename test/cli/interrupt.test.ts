import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { newRunDir } from '../../src/cli/train.ts';
import { runCli, SMALL_JOB } from './run-cli.ts';

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

test('a run folder of its own has the name of the job and the time', () => {
  expect(newRunDir('/jobs/train.ts', new Date('2026-01-31T23:59:58.123Z'))).toBe(join('runs', 'train-20260131-235958'));
});
