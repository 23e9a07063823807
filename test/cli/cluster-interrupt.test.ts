import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runCli, SMALL_JOB } from './run-cli.ts';

// A scheduler that preempts a run sends SIGTERM, and starts it again at once where it sees 143.

const folder = mkdtempSync(join(tmpdir(), 'lockstep-preempted-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Sends SIGTERM, once, when standard error says so. */
function terminateAt(text: string): Parameters<typeof runCli>[1] {
  let sent = false;
  return {
    onStderr(heard, child) {
      if (sent || !heard.includes(text)) return;
      sent = true;
      child.kill('SIGTERM');
    },
  };
}

test('launch ends its nodes, saves, and goes on when it is started again', async () => {
  const args = ['launch', SMALL_JOB, '-H', 'localhost:1', '--run-dir', join(folder, 'run'), '--json'];
  const { code, stdout, stderr } = await runCli([...args, '--epochs', '1000000'], terminateAt('\nepoch 1/'));
  expect(code).toBe(143);
  const { stopped, step } = JSON.parse(stdout);
  expect(stopped).toBe('aborted');
  expect(stderr).toContain(`saved step ${step}; to go on: lockstep launch`);
  const again = await runCli([...args, '--epochs', '1000000', '--steps', String(step + 2), '--resume', 'auto']);
  expect(again.code).toBe(0);
  expect(JSON.parse(again.stdout)).toMatchObject({ step: step + 2, trainedSteps: 2 });
});

test('a coordinator for which no node has come, too; a loss that there is not yet is none in JSON', async () => {
  const args = ['--batch-size', '8', '--set', 'seed=3', '--no-local-socket'];
  const command = ['coordinator', SMALL_JOB, ...args, '--port', '0', '--json'];
  const { code, stdout, stderr } = await runCli(command, terminateAt('listening'));
  expect(code).toBe(143);
  // What nodes are to be started with: else they compute another job, and are refused.
  expect(stderr).toMatch(new RegExp(`lockstep node ws://127\\.0\\.0\\.1:\\d+ \\S+ ${args.join(' ')}`));
  expect(JSON.parse(stdout)).toMatchObject({ stopped: 'aborted', step: 0, loss: null });
});

test('a node that finds no coordinator, too; it says for how long it tries', async () => {
  const { code, stderr } = await runCli(['node', 'ws://127.0.0.1:1', SMALL_JOB, '-w', '1'], terminateAt('not connected'));
  expect(code).toBe(143);
  expect(stderr).toMatch(/not connected: .*; again in 0\.25 s; gives up in 10:00 \(--reconnect-ms\), Ctrl-C ends it/);
}); // biome-ignore format: a row
