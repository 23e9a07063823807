import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Job } from 'lockstep';
import { type CoordinatorOptions, runCoordinator } from 'lockstep/cluster';
import { afterAll, afterEach, expect, test } from 'vitest';
import { FaultyProxy } from '../../cluster/faults/proxy.ts';
import job from '../fixtures/cluster-job.ts';
import {
  type ClusterProcess,
  endProcesses,
  livingProcesses,
  ofType,
  startNode,
  startProcess,
} from '../support/cluster.ts';

// What nodes keep from round to round (residuals, optimizers of local steps) is in the checkpoints of their coordinator.

const folder = mkdtempSync(join(tmpdir(), 'lockstep-kept-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(endProcesses);

/** A shard for each node, ragged batches, and a clip that remembers. */
const changes = { shards: 2, batchSize: 120, steps: 30, clip: { globalNorm: 'auto' }, evaluate: undefined } as const;
const changed = { ...job, ...changes } as unknown as Job;
const EVERY = 4;

const nodesOf = (url: string, count = 2) =>
  ['one', 'two'].slice(0, count).map((name) => startNode(changed, { url, name }));

/** As it is when nobody is killed. */
async function undisturbed(options: CoordinatorOptions): Promise<string> {
  const nodes: ReturnType<typeof startNode>[] = [];
  const run = { port: 0, workers: 1, minNodes: 2, ...options };
  const onListening = ({ url }: { url: string }) => void nodes.push(...nodesOf(url));
  const { parametersSha256, nodeStatesLost } = await runCoordinator(changed, { ...run, onListening });
  await Promise.all(nodes);
  expect(nodeStatesLost).toBe(0);
  return parametersSha256;
}

const portOf = async ({ heard }: ClusterProcess) => Number(new URL(String((await heard.first(({ kind }) => kind === 'listening')).url)).port); // biome-ignore format: a row

/** Coordinators on a run folder, each killed when so many messages of a kind have come, until one is left alone. */
async function killed(name: string, options: CoordinatorOptions, kills: readonly (readonly [string, number])[]) {
  const start = () => startProcess('coordinator', { workers: 1, port: 0, runDir: join(folder, name), resume: 'auto', checkpoint: { everySteps: EVERY }, job: changes, ...options });
  const proxy = await FaultyProxy.start({ target: { port: 1 } });
  const nodes = nodesOf(proxy.url);
  for (const [type, times] of kills) {
    const coordinator = start();
    let left = times;
    const passed = proxy.passing('up', (message) => ofType(type)(message) && --left === 0);
    proxy.lead(await portOf(coordinator));
    await passed;
    coordinator.child.kill('SIGKILL');
    await coordinator.exited;
  }
  const last = start();
  proxy.lead(await portOf(last));
  const result = await last.heard.first(({ kind }) => kind === 'result' || kind === 'error');
  await Promise.all(nodes);
  await last.exited;
  await proxy.close();
  expect(livingProcesses()).toBe(0);
  return result;
} // biome-ignore format: a story

test.each([
  ['int8', { wire: 'int8' }, [['done', 25], ['kept', 3]]],
  ['int4', { wire: 'int4' }, [['done', 29]]],
  ['topk', { wire: 'topk' }, [['done', 21]]],
  ['local steps and int4', { wire: 'int4', syncEvery: 3 }, [['done', 11]]],
  ['their warm-up, and after it', { wire: 'int4', syncEvery: 3, syncWarmup: 13 }, [['done', 15], ['done', 25]]],
] as const)('%s: a coordinator that is killed goes on with what its nodes had kept, to the byte', async (name, options, kills) => {
  const result = await killed(name, { ...options, minNodes: 2 }, kills);
  expect(result).toMatchObject({ kind: 'result', parametersSha256: await undisturbed(options), nodeStatesLost: 0 });
}, 120_000); // biome-ignore format: a table

test('what a node had kept that does not come back is counted and noted, and begins from nothing', async () => {
  const runDir = join(folder, 'lost');
  const options = { wire: 'int8', port: 0, workers: 1, runDir } as const;
  const nodes: ReturnType<typeof startNode>[] = [];
  const begun = await runCoordinator({ ...changed, steps: 8 } as Job, {
    ...options,
    minNodes: 2,
    onListening: ({ url }) => void nodes.push(...nodesOf(url)),
  });
  expect(begun).toMatchObject({ step: 8, nodeStatesLost: 0 });
  await Promise.all(nodes);
  const again: ReturnType<typeof startNode>[] = [];
  const notes: string[] = [];
  const result = await runCoordinator(changed, {
    ...options,
    resume: 'auto',
    deadlines: { startMs: 1 }, // nobody else will come
    onListening: ({ url }) => void again.push(...nodesOf(url, 1)),
    onProgress: (event) => event.kind === 'note' && notes.push(event.text),
  });
  await Promise.all(again);
  expect(result).toMatchObject({ step: 30, nodeStatesLost: 1 });
  const note = 'what a node kept from round to round is lost, and begins from nothing (1 so far): fewer nodes have come than step 8 had';
  expect(notes).toContain(note);
  const events = readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  expect(events.find(({ text }) => text === note)).toMatchObject({ kind: 'event', data: { nodeStatesLost: 1 } });
  expect(events.findLast(({ event }) => event === 'end').data).toMatchObject({ nodeStatesLost: 1 });
}, 60_000); // biome-ignore format: a story
