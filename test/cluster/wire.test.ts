import { adam, crossEntropy, defineJob, dense, type Job, sequential, sgd, type TrainResult, train } from 'lockstep';
import {
  type ClusterEvent,
  type CoordinatorOptions,
  type NodeSummary,
  runCoordinator,
  runNode,
} from 'lockstep/cluster';
import { arrays } from 'lockstep/data';
import * as ops from 'lockstep/ops';
import { describe, expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';

// Lossy wire formats between nodes with pools of their own, over real sockets.

const job: unknown = defineJob({
  data: { train: arrays(blobs(1200, 24, 6)), validation: 0.2 },
  model: sequential(dense(160, 'relu'), dense(120, 'relu'), dense(6)),
  loss: crossEntropy(),
  optimizer: adam({ lr: 2e-3 }),
  clip: { globalNorm: 1 },
  batchSize: 240,
  shards: 4,
  epochs: 8,
  seed: 3,
});

interface Outcome {
  readonly sha: string;
  readonly steps: number;
  readonly loss: number;
  /** Of the first step. */
  readonly firstLoss: number;
  readonly parameters: TrainResult['parameters'];
  /** Per node and step. */
  readonly up: number;
  readonly down: number;
  readonly left: readonly (ClusterEvent & { kind: 'left' })[];
  readonly notes: readonly string[];
}

/** `replaceAfter`: after that epoch the node leaves, and another comes. */
async function run(wire: CoordinatorOptions['wire'], nodes = 1, replaceAfter?: number, of = job): Promise<Outcome> {
  const running: Promise<NodeSummary>[] = [];
  const left: (ClusterEvent & { kind: 'left' })[] = [];
  const notes: string[] = [];
  const leave = new AbortController();
  let url = '';
  const start = (signal?: AbortSignal) =>
    running.push(runNode(of as Job, { url, workers: 1, ...(signal && { signal }) }));
  const result = await runCoordinator(of as Job, {
    port: 0,
    workers: 2,
    minNodes: nodes,
    wire,
    onListening: (listener) => {
      url = listener.url;
      for (let i = 0; i < nodes; i++) start(leave.signal);
    },
    onEvent: (event) => {
      if (event.kind !== 'left') return;
      left.push(event);
      start();
    },
    onProgress: (event) => {
      if (event.kind === 'start') notes.push(...event.notes);
      if (event.kind === 'note') notes.push(event.text);
      if (event.kind === 'epoch' && event.epoch === replaceAfter) leave.abort();
    },
  });
  const summaries = await Promise.all(running);
  const each = (bytes: (summary: NodeSummary) => number) =>
    summaries.reduce((sum, summary) => sum + bytes(summary), 0) / nodes / result.step;
  return {
    sha: result.parametersSha256,
    steps: result.step,
    loss: result.metrics['val.loss'],
    firstLoss: result.history[0].loss,
    parameters: result.parameters,
    up: each((s) => s.bytesSent),
    down: each((s) => s.bytesReceived),
    left,
    notes,
  };
}

describe('wire formats', async () => {
  const exact = await run('fp32', 2);

  test.each([
    ['bf16', 0.51, 0.02],
    ['int8', 0.28, 0.05],
    ['int4', 0.16, 0.05],
    ['topk', 0.1, 0.75], // 32 steps are few for what sends 1 % in each
  ] as const)(
    '%s: few bytes, near the loss of fp32, and says that it is not the same bytes',
    async (wire, share, loss) => {
      const { up, down, loss: reached, firstLoss, notes } = await run(wire, 2);
      // Nodes begin with the parameters that there are; bf16 rounds those, too.
      if (wire === 'bf16') expect(firstLoss).toBeCloseTo(exact.firstLoss, 2);
      else expect(firstLoss).toBe(exact.firstLoss);
      // Beside the encoded floats there are headers, and the whole parameters when a node joins.
      expect(up / exact.up).toBeLessThan(share);
      expect(down / exact.down).toBeLessThan(share + 1 / 32);
      expect(Math.abs(reached - exact.loss)).toBeLessThan(loss);
      expect(notes.join()).toMatch(`wire format ${wire}: gradients and parameters are rounded on their way`);
    },
  );

  test.each(['int8', 'int4', 'topk'] as const)('%s: frozen parameters, which have no sums', async (wire) => {
    const fixed = defineJob({
      ...(job as Job),
      model: sequential(dense(160, 'relu', { name: 'fixed' }), dense(120, 'relu'), dense(6)),
      optimizer: adam({ lr: 2e-3, groups: [{ match: 'fixed/*', freeze: true }] }),
      epochs: 3,
    });
    const { parameters, left } = await run(wire, 1, undefined, fixed);
    expect(left).toEqual([]);
    const alone = await train(fixed as Job, { workers: 1 });
    for (const [name, { data }] of Object.entries(alone.parameters)) {
      // What is frozen is as it began, to the bit; what is rounded on its way is not as in a process that is alone.
      if (name.startsWith('fixed/')) expect(parameters[name].data).toEqual(data);
      else expect(parameters[name].data).not.toEqual(data);
    }
  });

  // All rows are the same, so every batch has the same mean gradient, however many rows it has.
  test.each(['int8', 'int4', 'topk'] as const)('%s: what a batch leaves unsaid counts for as much in a smaller one', async (wire) => {
    const of = (rows: number, epochs: number) =>
      defineJob({
        data: {
          train: arrays({
            x: { data: Float32Array.from({ length: 300 * rows }, (_, i) => ((i % 300) % 17) / 16 - 0.4), shape: [rows, 300] },
            y: new Float32Array(rows).fill(0.75),
          }),
          validation: arrays({ x: { data: new Float32Array(300), shape: [1, 300] }, y: new Float32Array(1) }),
        },
        model: sequential(dense(8), dense(1)),
        loss: ({ output }, { y }) => ops.square(ops.sub(ops.reshape(output, [-1]), y)),
        optimizer: sgd({ lr: 2 ** -10 }),
        batchSize: 16,
        shards: 2,
        epochs,
        seed: 7,
      });
    const ragged = await run(wire, 1, undefined, of(40, 4)); // batches of 16, 16 and 8
    const even = await run(wire, 1, undefined, of(192, 1));
    const plain = await run('fp32', 1, undefined, of(192, 1));
    const apart = (a: Outcome, b: Outcome) =>
      Math.max(...Object.entries(a.parameters).flatMap(([name, { data }]) => [...data].map((x, i) => Math.abs(x - b.parameters[name].data[i]))));
    expect(apart(ragged, even)).toBeLessThan(apart(even, plain) / 1000); // but for the order of sums
    expect(ragged.steps).toBe(12);
  }); // biome-ignore format: a list

  test('a format that there is not', () =>
    expect(runCoordinator(job as Job, { wire: 'int3' as 'int8', port: 0 })).rejects.toThrow(
      'option wire: expected fp32, bf16, int8, int4, topk, auto, got int3; did you mean int8?',
    ));

  test('a node that comes later has what the others have: bf16 keeps nothing from step to step, so nothing shows', async () => {
    const [whole, replaced] = [await run('bf16'), await run('bf16', 1, 3)];
    expect(replaced.left).toMatchObject([{ lost: false }]);
    expect(replaced.notes.join()).not.toMatch('is lost');
    expect(replaced.sha).toBe(whole.sha);
  });

  test.each(['int8', 'int4'] as const)(
    '%s: a node that leaves takes along what had been left unsaid, which is reported; the next starts from the replica',
    async (wire) => {
      const { left, loss, notes } = await run(wire, 1, 3);
      expect(left).toMatchObject([{ lost: false }]);
      expect(notes.join()).toMatch('what a node kept from round to round is lost, and begins from nothing (1 so far)');
      expect(Math.abs(loss - exact.loss)).toBeLessThan(0.05);
    },
  );
});
