import {
  adagrad, adam, batchNorm, crossEntropy, defineJob, dense, dropout, embedding, type Job, sam, sequential, sgd, type Tensor, train,
} from 'lockstep'; // biome-ignore format: a list
import { type CoordinatorOptions, type NodeOptions, type NodeSummary, runCoordinator, runNode } from 'lockstep/cluster';
import { arrays } from 'lockstep/data';
import * as ops from 'lockstep/ops';
import { describe, expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';
import { philox } from '../fixtures/philox.ts';

// Nodes with pools of their own, over real sockets: what they compute together is, to the byte, what one process computes alone.

async function together(job: unknown, nodes: readonly Partial<NodeOptions>[], options: CoordinatorOptions = {}) {
  const running: Promise<unknown>[] = [];
  const result = await runCoordinator(job as Job, {
    port: 0,
    workers: 2,
    minNodes: nodes.length,
    onListening: ({ url }) => {
      for (const node of nodes) running.push(runNode(job as Job, { url, workers: 1, ...node }));
    },
    ...options,
  });
  await Promise.all(running);
  return result;
}

async function expectSameBytes(job: unknown, workers: readonly number[]): Promise<void> {
  const alone = await train(job as Job, { workers: 2 });
  const shared = await together(job, workers.map((n) => ({ workers: n }))); // biome-ignore format: one line
  expect(shared.parametersSha256).toBe(alone.parametersSha256);
  expect(shared.metrics).toEqual(alone.metrics);
  const losses = (r: typeof alone) => r.history.map(({ step, loss, gradNorm }) => ({ step, loss, gradNorm }));
  expect(losses(shared)).toEqual(losses(alone));
}

const classes = { train: arrays(blobs(1000, 20, 5)), validation: 0.2, test: 0.1 };

/** Looks up two tables with sparse gradients, one of them twice. */
function ratings() {
  const random = philox(7);
  const ints = (count: number, size: number) =>
    Int32Array.from({ length: count }, () => Math.floor(size * random() ** 2));
  const data = {
    user: { data: ints(300, 90), shape: [300], size: 90 },
    item: { data: ints(300, 60), shape: [300], size: 60 },
    seen: { data: ints(900, 60), shape: [300, 3], size: 60 },
    y: Float32Array.from({ length: 300 }, () => 2 * random() - 1),
  };
  return defineJob({
    data: { train: arrays(data) },
    model: ({ user, item, seen }: Readonly<Record<'user' | 'item' | 'seen', Tensor>>) => {
      const items = embedding(60, 6, { name: 'item', sparse: true });
      const users = embedding(90, 6, { name: 'user', sparse: true });
      const taste = ops.add(users(user), ops.mean(items(seen), { axis: 1 }));
      return dense(1)(ops.tanh(ops.add(taste, items(item))));
    },
    loss: ({ output }, { y }) => ops.square(ops.sub(ops.reshape(output, [-1]), y)),
    optimizer: adagrad({ lr: 0.1 }),
    clip: { globalNorm: 0.3 },
    batchSize: 64,
    shards: 6,
    steps: 12,
  });
}

describe('the same bytes as alone', () => {
  test('nodes of 1 and 2 workers: dropout, ragged batches, validation, test, clipping', () =>
    expectSameBytes(
      defineJob({
        data: classes,
        model: sequential(dense(48, 'relu'), dropout(0.3), dense(32, 'tanh'), dense(5)),
        loss: crossEntropy(),
        optimizer: adam({ lr: 3e-3 }),
        clip: { globalNorm: 0.5 },
        batchSize: 256,
        shards: 12,
        epochs: 3,
        seed: 7,
      }),
      [1, 2],
    ));

  test('3 nodes: batch normalisation, an optimizer of two gradients, more shards than rows in the last batch', () =>
    expectSameBytes(
      defineJob({
        data: { train: arrays(blobs(325, 16, 4)), validation: 0.2 },
        model: sequential(dense(24), batchNorm(), dense(4)),
        loss: crossEntropy(),
        optimizer: sam(sgd({ lr: 0.05 })),
        batchSize: 128,
        shards: 5,
        epochs: 2,
      }),
      [1, 1, 1],
    ));

  test('nodes without data are sent the rows of their shards, and each row once', async () => {
    const x = Uint8Array.from({ length: 300 * 16 }, (_, i) => (i * 7919) % 251);
    const y = Int32Array.from({ length: 300 }, (_, i) => i % 3);
    const job = (rows: Uint8Array) =>
      defineJob({
        data: { train: arrays({ x: { data: rows, shape: [300, 16] }, y }) },
        model: sequential(dense(12, 'relu'), dense(3)),
        loss: crossEntropy(),
        optimizer: adam(),
        batchSize: 64,
        shards: 4,
        epochs: 3,
      });
    const alone = await train(job(x) as Job, { workers: 1 });
    const running: Promise<NodeSummary>[] = [];
    const shared = await runCoordinator(job(x) as Job, {
      port: 0,
      workers: 1,
      minNodes: 2,
      streamData: true,
      onListening: ({ url }) => {
        const unreadable = job(new Uint8Array(0)) as Job; // its data is never looked at
        for (let i = 0; i < 2; i++) running.push(runNode(unreadable, { url, workers: 1, streamData: true }));
      },
    });
    expect(shared.parametersSha256).toBe(alone.parametersSha256);
    const parameters = Object.values(alone.parameters).reduce((sum, { data }) => sum + data.length, 0);
    for (const { bytesReceived } of await Promise.all(running)) {
      const perStep = 4 * parameters + 2048; // with headers
      expect(bytesReceived).toBeLessThan(alone.step * perStep + 300 * (16 + 4 + 4) + 16_384);
    }
  });

  test('rows of sparse tables travel both ways', () => expectSameBytes(ratings(), [1, 2]));
});

test('the first step waits for nodes that are known to come, and begins without one that does not', async () => {
  const job = defineJob({
    data: classes,
    model: sequential(dense(5)),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.1 }),
    steps: 3,
  });
  const waited: number[] = [];
  const onEvent: CoordinatorOptions['onEvent'] = (event) => {
    if (event.kind === 'waiting') waited.push(event.minNodes);
  };
  const joined: number[] = [];
  const all = { minNodes: 1, startNodes: 2, deadlines: { startMs: 600_000 } };
  const onNode = () => joined.push(1);
  const both = await together(job, [{ onEvent: onNode }, { onEvent: onNode }], { ...all, onEvent });
  expect(joined.length).toBe(4); // each joined, each stopped
  const one = await together(job, [{}], { ...all, startNodes: 2, deadlines: { startMs: 1 }, onEvent });
  expect(one.parametersSha256).toBe(both.parametersSha256);
  expect(waited[0]).toBe(2);
});
