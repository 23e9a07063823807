import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CliResult, runCli, SMALL_JOB } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-runs-'));
const a = join(folder, 'a');
afterAll(() => rmSync(folder, { recursive: true }));

/** One run, watched in every way; its port is taken by somebody. */
let trained: CliResult;
let taken = 0;
beforeAll(async () => {
  const somebody = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => somebody.once('listening', resolve));
  taken = (somebody.address() as AddressInfo).port;
  trained = await runCli(['train', SMALL_JOB, '-w', '2', '--run-dir', a, '--dashboard', String(taken), '--json', '-q']);
  somebody.close();
});

test('--dashboard prints a link, and which port it took where that one is in use; nothing else changes', () => {
  expect(trained.code).toBe(0);
  const [note, link, ...rest] = trained.stderr.trimEnd().split('\n');
  const [, port] = /^note: port (\d+) is in use, the dashboard took (\d+)$/.exec(note)?.slice(1) ?? [];
  expect(Number(port)).toBeGreaterThan(taken);
  expect(link).toMatch(new RegExp(`^dashboard: http://127\\.0\\.0\\.1:${port}/\\?token=[\\w-]{22}$`));
  expect(rest).toEqual([]);
  expect(JSON.parse(trained.stdout)).toMatchObject({ stopped: 'epochs', step: 12 });
});

test('runs lists state, steps, best metric and duration, with damaged lines counted; watch gives the last word', async () => {
  const text = readFileSync(join(a, 'metrics.jsonl'), 'utf8');
  const lines = text.trimEnd().split('\n');
  for (const [name, kept] of [
    ['killed', lines.slice(0, 9)],
    ['damaged', [...lines.slice(0, 4), lines[4].slice(0, 50), ...lines.slice(5)]],
  ] as const) {
    const path = join(folder, name);
    mkdirSync(path);
    writeFileSync(join(path, 'metrics.jsonl'), `${kept.join('\n')}\n`);
  }
  mkdirSync(join(folder, 'odd', 'metrics.jsonl'), { recursive: true });
  mkdirSync(join(folder, 'long-'.repeat(20)));
  writeFileSync(join(folder, 'long-'.repeat(20), 'metrics.jsonl'), '');
  const [json, table, watched] = await Promise.all([
    runCli(['runs', folder, '--json']),
    runCli(['runs', folder]),
    runCli(['watch', a]),
  ]);
  const { metrics, seconds } = JSON.parse(trained.stdout);
  const runs = Object.fromEntries(
    JSON.parse(json.stdout).map((run: { folder: string }) => [run.folder.slice(folder.length + 1), run]),
  );
  expect(runs.a).toMatchObject({
    state: 'ended',
    stopped: 'epochs',
    step: 12,
    totalSteps: 12,
    damagedLines: 0,
    seconds,
  });
  expect(runs.a.best.value).toBeGreaterThanOrEqual(metrics['val.accuracy']);
  expect(runs.killed).toMatchObject({ state: 'interrupted' });
  expect(runs.damaged).toMatchObject({ state: 'ended', damagedLines: 1, step: 12 });
  expect(runs.odd).toMatchObject({ state: 'unreadable' });
  expect(runs.a.best.metric).toBe('val.accuracy');
  expect(table.stdout).toMatch(/(long-){20}\n {9}/); // a line of its own
  expect(table.stdout.split('\n')[0]).toMatch(/^run +state +steps +best +duration +started$/);
  expect(table.stdout).toContain('ended, 1 damaged line');
  expect(watched.code).toBe(0);
  expect(watched.stdout).toMatch(/^ended after step 12: epochs, [\d.]+ m?s\n$/);
});

test('a folder that has no run is named, and what to do', async () => {
  const [dashboard, watch, none, runs, file] = await Promise.all([
    runCli(['dashboard', join(folder, 'nowhere'), '--port', '0']),
    runCli(['watch', join(folder, 'nowhere')]),
    runCli(['dashboard']),
    runCli(['runs', join(folder, 'nowhere')]),
    runCli(['runs', join(a, 'metrics.jsonl')]),
  ]);
  for (const { code, stderr } of [dashboard, watch, runs, file]) {
    expect(code).toBe(1);
    expect(stderr).toMatch(/error E_RUN_DIR: (run )?folder .*(nowhere|metrics\.jsonl): expected/);
  }
  expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('E_OPTION') });
});

test('watch follows a run that goes on, and leaves with it', async () => {
  const runDir = join(folder, 'live');
  let watching: Promise<CliResult> | undefined;
  let stopped = false;
  const running = await runCli(['train', SMALL_JOB, '-w', '1', '--epochs', '1000000', '--run-dir', runDir], {
    onStderr: (text, child) => {
      if (watching || !text.includes('\nepoch 1/')) return;
      watching = runCli(['watch', runDir], {
        onStderr: (seen) => {
          if (stopped || !seen.includes('\nepoch ')) return;
          stopped = child.kill('SIGINT'); // once: a second one kills
        },
      });
    },
  });
  expect(running.code).toBe(130);
  const watched = await watching;
  expect(watched?.stderr).toContain('1 worker, 2 shards');
  expect(watched?.stderr).toMatch(/\nepoch \d+\/1000000 {2}step [\d,]+ {2}loss /);
  expect(watched?.stdout).toMatch(/^ended after step \d+: aborted/);
});
