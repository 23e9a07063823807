import { adam, crossEntropy, defineJob, dense, type Job, sequential, train } from 'lockstep';
import { runCoordinator, runNode } from 'lockstep/cluster';
import { arrays } from 'lockstep/data';
import { expect, test } from 'vitest';
import { FaultyProxy } from '../../cluster/faults/proxy.ts';
import { blobs } from '../fixtures/blobs.ts';

// 50,000 parameters over 10 MB/s: a sum takes 20 ms, a shard a tenth of one. 6 + 5 + 5 shards of 16 end in seven sums, 8 + 4 + 4 in three.
test('over a slow network shards move so that every node ends in one sum, then one leaves; the bytes stay', async () => {
  const job = defineJob({
    data: { train: arrays(blobs(320, 20, 5)) },
    model: sequential(dense(2000, 'relu'), dense(5)),
    loss: crossEntropy(),
    optimizer: adam(),
    batchSize: 64,
    shards: 16,
    steps: 20,
  }) as Job;
  const alone = await train(job, { workers: 2 });
  const divided: number[][] = [];
  const leaving = new AbortController();
  const nodes: Promise<unknown>[] = [];
  let proxy: FaultyProxy | undefined;
  const shared = await runCoordinator(job, {
    port: 0,
    workers: 1,
    startNodes: 3,
    onListening: async ({ port }) => {
      proxy = await FaultyProxy.start({ target: { port }, up: { bytesPerSecond: 10e6 } });
      for (const signal of [undefined, undefined, leaving.signal]) nodes.push(runNode(job, { url: proxy.url, workers: 1, ...(signal && { signal }) })); // biome-ignore format: one line
    },
    onEvent: (event) => {
      if (event.kind !== 'divided') return;
      divided.push(event.shards.map(({ count }) => count));
      leaving.abort();
    },
  });
  await Promise.all(nodes);
  await proxy?.close();
  expect(divided[0].sort((a, b) => a - b)).toEqual([4, 4, 8]);
  expect(shared.parametersSha256).toBe(alone.parametersSha256);
  const losses = ({ history }: typeof alone) => history.map(({ step, loss, gradNorm }) => ({ step, loss, gradNorm }));
  expect(losses(shared)).toEqual(losses(alone));
}, 60_000);
