import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Job, train } from 'lockstep';
import { runCoordinator } from 'lockstep/cluster';
import { afterAll, afterEach, expect, test } from 'vitest';
import { FaultyProxy } from '../../cluster/faults/proxy.ts';
import { encodeRecord } from '../../cluster/fence.ts';
import { FENCE_FILE, openFenceLog, readFenceLog } from '../../cluster/fence-log.ts';
import { makeToken } from '../../cluster/security.ts';
import job from '../fixtures/cluster-job.ts';
import { endProcesses, livingProcesses, ofType, startNode, startProcess } from '../support/cluster.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-faults-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(endProcesses);

const token = makeToken();
const plain = job as unknown as Job;

test('a coordinator that is killed in any phase is started again: the nodes come by themselves, and the bytes are the same', async () => {
  const undisturbed = await train(plain, { workers: 1 });
  const runDir = join(folder, 'killed');
  const checkpoint = { everySteps: 3 };
  const options = { token, port: 0, workers: 1, minNodes: 2, runDir, resume: 'auto', checkpoint, evaluate: undefined };
  const proxy = await FaultyProxy.start({ target: { port: 1 } });
  const nodes = ['one', 'two'].map((name) => startNode(plain, { url: proxy.url, token, name }));
  // Each coordinator lives until a message of its kind has come so many times, so that some steps are done in between.
  const phases: ['up' | 'down', string, number][] = [
    ['up', 'hello', 2],
    ['down', 'welcome', 2],
    ['down', 'parameters', 16],
    ['down', 'compute', 15],
    ['up', 'sums', 17],
    ['up', 'done', 14],
  ];
  let lives = 0;
  // Every third of them, unless in the long version.
  const soak = process.env.LOCKSTEP_SOAK_ROUNDS !== undefined;
  for (const [direction, type, times] of phases.filter((_, i) => soak || i % 3 === 1)) {
    const coordinator = startProcess('coordinator', options);
    const { url } = await coordinator.heard.first(({ kind }) => kind === 'listening');
    let left = times;
    const passed = proxy.passing(direction, (message) => ofType(type)(message) && --left === 0);
    proxy.lead(Number(new URL(String(url)).port));
    await passed;
    coordinator.child.kill('SIGKILL');
    expect((await coordinator.exited).signal).toBe('SIGKILL');
    lives += 1;
    expect(readFenceLog(runDir).fence).toBe(lives);
  }
  const last = startProcess('coordinator', options);
  const { url } = await last.heard.first(({ kind }) => kind === 'listening');
  proxy.lead(Number(new URL(String(url)).port));
  const result = await last.heard.first(({ kind }) => kind === 'result' || kind === 'error');
  expect(result).toMatchObject({ parametersSha256: undisturbed.parametersSha256, step: 80 });
  expect(result.metrics).toEqual(undisturbed.metrics);
  const losses = new Map((result.losses as [number, number][]).map(([step, loss]) => [step, loss]));
  expect(losses.size).toBeGreaterThan(10);
  for (const { step, loss } of undisturbed.history) expect(losses.get(step) ?? loss).toBe(loss);
  expect((await Promise.all(nodes)).map(({ failed }) => failed)).toEqual([false, false]);
  expect((await last.exited).code).toBe(0);
  expect(last.errors()).toBe('');
  await proxy.close();
  expect(livingProcesses()).toBe(0);
  // What the coordinators wrote tells every step, and the same of those that it tells again.
  const told = new Map<number, Set<number>>();
  for (const line of readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').split('\n')) {
    const { step, loss, gradNorm } = readLine(line);
    if (gradNorm !== undefined) told.set(step, (told.get(step) ?? new Set()).add(loss));
  }
  expect([...told.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, i) => i + 1));
  expect([...told.values()].filter(({ size }) => size > 1)).toEqual([]);
}, 240_000);

test.skipIf(process.platform !== 'linux')(
  'nodes that come by the local socket find the next coordinator there',
  async () => {
    const short = { ...plain, steps: 20 } as Job;
    const undisturbed = await train(short, { workers: 1 });
    const options = {
      token,
      workers: 1,
      minNodes: 2,
      runDir: join(folder, 'local'),
      resume: 'auto',
      job: { steps: 20 },
    };
    const checkpoint = { everySteps: 3 };
    const first = startProcess('coordinator', { ...options, checkpoint, port: 0 });
    const url = String((await first.heard.first(({ kind }) => kind === 'listening')).url);
    const port = Number(new URL(url).port);
    const sockets = () => readFileSync('/proc/net/unix', 'latin1').split(`@lockstep-${port}-`).length - 1;
    expect(sockets()).toBe(1);
    const nodes = ['one', 'two'].map((name) => startNode(short, { url, token, name }));
    await first.heard.first(({ kind }) => kind === 'joined');
    await first.heard.first(
      ({ kind }) => kind === 'joined',
      first.heard.events.findIndex(({ kind }) => kind === 'joined') + 1,
    );
    expect(sockets()).toBe(3); // each that was accepted has the name, too
    first.child.kill('SIGKILL');
    await first.exited;
    const next = startProcess('coordinator', { ...options, checkpoint, port });
    expect(await next.heard.first(({ kind }) => kind === 'result' || kind === 'error')).toMatchObject({
      parametersSha256: undisturbed.parametersSha256,
      step: 20,
    });
    expect((await Promise.all(nodes)).map(({ failed }) => failed)).toEqual([false, false]);
    await next.exited;
    expect([livingProcesses(), sockets()]).toEqual([0, 0]);
  },
  60_000,
);

/** A line that was torn by a kill says nothing. */
function readLine(line: string): { step: number; loss: number; gradNorm?: number } {
  try {
    return JSON.parse(line);
  } catch {
    return { step: 0, loss: 0 };
  }
}

test('a coordinator that does not run for longer than a step may take gives nobody up: the nodes waited for it', async () => {
  const stepMs = 1500;
  const coordinator = startProcess('coordinator', { token, port: 0, workers: 1, deadlines: { stepMs }, job: { steps: 20 } });
  const { url } = await coordinator.heard.first(({ kind }) => kind === 'listening');
  const proxy = await FaultyProxy.start({ target: { port: Number(new URL(String(url)).port) } });
  let steps = 0;
  const computing = proxy.passing('down', (message) => ofType('compute')(message) && ++steps === 10);
  const node = startNode({ ...plain, steps: 20 } as Job, { url: proxy.url, token, name: 'one' });
  await computing;
  proxy.hold('up'); // the answer is not there when it wakes
  coordinator.child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 2 * stepMs)); // it is this time that must not count
  coordinator.child.kill('SIGCONT');
  proxy.heal();
  expect(await coordinator.heard.first(({ kind }) => kind === 'result' || kind === 'error')).toMatchObject({ kind: 'result', step: 20 });
  expect(coordinator.heard.events.filter(({ kind }) => kind === 'left')).toEqual([]);
  expect((await node).failed).toBe(false);
  await coordinator.exited;
  await proxy.close();
}, 60_000); // biome-ignore format: a story

test('a stop that was asked for holds over a coordinator that is killed before it has saved', async () => {
  const runDir = join(folder, 'stopped');
  mkdirSync(runDir);
  const log = openFenceLog(runDir);
  log.lower(6);
  log.close(); // killed here
  let url = '';
  const running = runCoordinator(plain, {
    token,
    port: 0,
    workers: 1,
    runDir,
    onListening: (address) => {
      url = address.url;
      void startNode(plain, { url, token });
    },
  });
  const { step } = await running;
  expect(step).toBe(6);
}, 60_000);

test('a second coordinator on a run folder is refused while the first lives', async () => {
  const runDir = join(folder, 'twice');
  const first = startProcess('coordinator', { token, port: 0, workers: 1, runDir });
  await first.heard.first(({ kind }) => kind === 'listening');
  await expect(runCoordinator(plain, { token, port: 0, workers: 1, runDir })).rejects.toMatchObject({ code: 'E_RUN_DIR' });
  first.child.kill('SIGKILL');
  await first.exited;
}, 60_000); // biome-ignore format: a story

test('a disk that is full for the log of a coordinator is said before a node is heard', async () => {
  const runDir = join(folder, 'full');
  mkdirSync(runDir);
  const limit = 64 * 1024;
  // No file may grow beyond the limit, and the log is nearly there.
  const lines: Uint8Array[] = [];
  let bytes = 0;
  for (let fence = 1; ; fence++) {
    const line = encodeRecord({ kind: 'start', fence, at: '2026-01-31T23:59:59.000Z' });
    if (bytes + line.length > limit) break;
    lines.push(line);
    bytes += line.length;
  }
  writeFileSync(join(runDir, FENCE_FILE), Buffer.concat(lines));
  const full = startProcess('coordinator', { token, port: 0, workers: 1, runDir }, { shell: `ulimit -f ${limit / 512}; ` });
  const error = await full.heard.first(({ kind }) => kind === 'error' || kind === 'listening');
  expect(error).toMatchObject({ kind: 'error', code: 'E_RUN_DIR', message: expect.stringMatching(/fence\.log.*make room/) });
  expect((await full.exited).code).toBe(1);
  expect(readFileSync(join(runDir, FENCE_FILE))).toEqual(Buffer.concat(lines)); // no half record
  expect(openFenceLog(runDir).fence).toBe(lines.length + 1); // there is room again
}, 60_000); // biome-ignore format: a story
