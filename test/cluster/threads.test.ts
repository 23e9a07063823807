import { channel } from 'node:diagnostics_channel';
import type { Worker } from 'node:worker_threads';
import { adam, crossEntropy, defineJob, dense, type Job, sequential, train } from 'lockstep';
import { type NodeEvent, type NodeSummary, runCoordinator, runNode } from 'lockstep/cluster';
import { arrays } from 'lockstep/data';
import { expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';

const [COORDINATORS, STEPS] = [2, 60];

const job = defineJob({
  data: { train: arrays(blobs(640, 20, 4)) },
  model: sequential(dense(40, 'relu'), dense(4)),
  loss: crossEntropy(),
  optimizer: adam(),
  batchSize: 128,
  shards: 8,
  steps: STEPS,
}) as unknown as Job;

/** Threads in the order in which they are started: the coordinator's, which are there before anybody can dial, then those of nodes. */
function threadsOf(): { readonly all: readonly Worker[]; end(): void } {
  const all: Worker[] = [];
  const started = channel('worker_threads');
  const add = (message: unknown) => all.push((message as { worker: Worker }).worker);
  started.subscribe(add);
  return { all, end: () => started.unsubscribe(add) };
}

test('threads of coordinator and nodes are terminated in the middle of steps: others come, the bytes are the same', async () => {
  const alone = await train(job, { workers: 2 });
  const threads = threadsOf();
  const nodes: Promise<NodeSummary>[] = [];
  const events: NodeEvent[] = [];
  let victims = [COORDINATORS, 0, COORDINATORS + 1]; // of a node, of the coordinator, of the other node
  try {
    const result = await runCoordinator(job, {
      port: 0,
      workers: COORDINATORS,
      minNodes: 2,
      onListening: ({ url }) => {
        for (let i = 0; i < 2; i++) {
          nodes.push(runNode(job, { url, workers: 1, onEvent: (event) => events.push(event) }));
        }
      },
      onProgress: (event) => {
        const step = event.kind === 'steps' ? (event.records.at(-1)?.step ?? 0) : 0;
        if (step < 5 * (4 - victims.length)) return;
        const [victim, ...rest] = victims;
        victims = rest;
        if (victim !== undefined) void threads.all[victim].terminate();
      },
    });
    await Promise.all(nodes);
    expect(victims).toEqual([]);
    expect(events.filter(({ kind }) => kind === 'disconnected').length).toBeGreaterThanOrEqual(2);
    expect(result.parametersSha256).toBe(alone.parametersSha256);
    expect(result.history.map(({ loss }) => loss)).toEqual(alone.history.map(({ loss }) => loss));
  } finally {
    threads.end();
  }
}, 180_000); // new threads take their time on a busy machine
