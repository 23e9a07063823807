import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adam, batchNorm, crossEntropy, defineJob, dense, embedding, type Job, lbfgs, linearDecay, lookahead, momentum, prodigy, reduceOnPlateau, sam, scheduleFreeAdamw,
  sequential, sgd, type Tensor, type TrainResult, train,zeros, 
} from 'lockstep'; // biome-ignore format: a list
import {
  type ClusterEvent,
  type CoordinatorOptions,
  type NodeOptions,
  runCoordinator,
  runNode,
} from 'lockstep/cluster';
import { arrays } from 'lockstep/data';
import * as ops from 'lockstep/ops';
import { afterEach, describe, expect, test } from 'vitest';
import { FaultyProxy } from '../../cluster/faults/proxy.ts';
import { jobFacts } from '../../src/record/header-facts.ts';
import { blobs } from '../fixtures/blobs.ts';
import { type DilocoSpec, diloco } from '../fixtures/diloco.ts';
import { philox } from '../fixtures/philox.ts';
import { absent, headerOf, present, startGated, startNode } from '../support/cluster.ts';

// Local steps (--sync-every) with nodes that have pools of their own, over real sockets, against a plain DiLoCo and against ordinary steps.

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const LOOSE = { syncEvery: 2, outerLr: 1, outerMomentum: 0 };

/** `nodes` nodes, or one a list of options. */
async function together(job: unknown, nodes: readonly Partial<NodeOptions>[], options: CoordinatorOptions) {
  const running: Promise<unknown>[] = [];
  const notes: string[] = [];
  const result = await runCoordinator(job as Job, {
    port: 0,
    workers: 2,
    minNodes: nodes.length,
    onListening: ({ url }) => {
      for (const node of nodes) running.push(runNode(job as Job, { url, workers: 1, ...node }));
    },
    onProgress: (event) => {
      if (event.kind === 'start') notes.push(...event.notes);
    },
    ...options,
  });
  await Promise.all(running);
  return { ...result, notes };
}

/** All parameters, one after the other. */
const flat = ({ parameters }: Pick<TrainResult, 'parameters'>): number[] =>
  Object.values(parameters).flatMap(({ data }) => [...data]);

function expectNear(actual: readonly number[], expected: ArrayLike<number>, within: number): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of actual.entries()) expect(Math.abs(value - expected[i]), `element ${i}`).toBeLessThan(within);
}

describe('one node, plain descent with rate 1 outside: H steps are H ordinary ones', () => {
  test('to the byte, where the arithmetic is exact', async () => {
    const random = philox(3);
    const whole = (n: number, of: number) => Float32Array.from({ length: n }, () => Math.floor(of * random()) - 1);
    const job = defineJob({
      data: { train: arrays({ x: { data: whole(24 * 3, 3), shape: [24, 3] }, y: whole(24, 4) }) },
      model: sequential(dense(1, { init: zeros() })),
      loss: ({ output }, { y }) => ops.square(ops.sub(ops.reshape(output, [-1]), y)),
      optimizer: sgd({ lr: 0.25 }),
      batchSize: 4,
      shards: 2,
      epochs: 1, // 6 steps: no product needs more than the 24 bits that a float has
    });
    const alone = await train(job as unknown as Job, { workers: 1 });
    const local = await together(job, [{ workers: 2 }], LOOSE);
    expect(local.parametersSha256).toBe(alone.parametersSha256);
    expect(local.step).toBe(3);
    const { history } = alone;
    expect(local.history.map(({ loss, samples }) => ({ loss, samples }))).toEqual(
      [0, 2, 4].map((t) => ({ loss: (history[t].loss + history[t + 1].loss) / 2, samples: 8 })),
    );
  });

  test('else but for rounding: Adam keeps its moments from round to round; clipping, schedules, ragged batches, statistics', async () => {
    const job = defineJob({
      data: { train: arrays(blobs(500, 12, 4)), validation: 0.2 },
      model: sequential(dense(24, 'relu'), dense(4)),
      loss: crossEntropy(),
      optimizer: adam({ lr: linearDecay({ initial: 3e-3, final: 3e-4 }) }),
      clip: { globalNorm: 0.5 },
      batchSize: 96,
      shards: 3,
      epochs: 4, // of 5 steps: rounds of 3 and 2
      seed: 4,
    });
    const alone = await train(job as unknown as Job, { workers: 1 });
    const local = await together(job, [{ workers: 2 }], { ...LOOSE, syncEvery: 3 });
    expectNear(flat(local), flat(alone), 1e-5);
    expect([alone.step, local.step]).toEqual([20, 8]);
    expect(local.metrics['val.loss']).toBeCloseTo(alone.metrics['val.loss'], 5);
    expect(local.history.map(({ samples }) => samples).slice(0, 2)).toEqual([288, 112]);
    expect(local.notes.join()).toMatch('local steps: nodes make 3 steps by themselves, then sgd with lr 1 follows');
    expect(local.notes.join()).toMatch('the result depends on which nodes take part');
  });
});

/** What the oracle knows, too. */
const spec: DilocoSpec = (() => {
  const random = philox(11);
  const [rows, features] = [50, 6];
  const x = Float32Array.from({ length: rows * features }, () => 2 * random() - 1);
  const y = Float32Array.from({ length: rows }, (_, i) => Math.sin(3 * x[i * features]) + x[i * features + 1]);
  return {
    ...{ x, y, features, hidden: 5, batchSize: 16, seed: 2, epochs: 3, every: 3, nodes: 2 },
    ...{ inner: { lr: 0.05, momentum: 0.8 }, outer: { lr: 0.7, momentum: 0.9 } },
  };
})(); // of 4 steps an epoch: rounds of 3 and 1

const small = (inner = momentum(spec.inner)) =>
  defineJob({
    data: {
      train: arrays({ x: { data: spec.x, shape: [50, 6] }, y: spec.y }),
      validation: arrays({ x: { data: spec.x, shape: [50, 6] }, y: spec.y }),
    },
    model: sequential(dense(spec.hidden, 'tanh'), dense(1)),
    loss: ({ output }, { y }) => ops.square(ops.sub(ops.reshape(output, [-1]), y)),
    optimizer: inner,
    batchSize: spec.batchSize,
    shards: 2,
    epochs: spec.epochs,
    seed: spec.seed,
  }) as unknown as Job;

/** Where the run begins: a step with so small a rate changes nothing. */
async function initial(): Promise<Float64Array> {
  const one = { ...small(sgd({ lr: 1e-30 })), epochs: 1 };
  return Float64Array.from(flat(await train(one, { workers: 1 })));
}

function expectDiloco(result: TrainResult, expected: ReturnType<typeof diloco>): void {
  expectNear(flat(result), expected.parameters, 1e-5);
  expect(result.history.map(({ samples }) => samples)).toEqual(expected.rounds.map(({ samples }) => samples));
  expectNear(result.history.map(({ loss }) => loss), expected.rounds.map(({ loss }) => loss), 1e-5); // biome-ignore format: one line
}

describe('a warm-up that lasts', () => {
  test('is training alone but for rounding, with whatever goes in proportion to the gradient', async () => {
    const alone = await train(small(), { workers: 1 });
    const warm = await together(small(), [{}, {}], { syncEvery: 8, syncWarmup: 12 });
    expectNear(flat(warm), flat(alone), 1e-5);
    expect([warm.step, warm.notes.join()]).toEqual([
      12,
      expect.stringMatching('in the first 12 steps they make one each'),
    ]);
  });

  test('and with one node whatever the optimizer; running statistics follow every step as ever', async () => {
    const job = defineJob({
      data: { train: arrays(blobs(300, 10, 3)), validation: arrays(blobs(100, 10, 3)) },
      model: sequential(dense(16), batchNorm(), dense(3)),
      loss: crossEntropy(),
      optimizer: adam({ lr: 3e-3 }),
      batchSize: 64,
      shards: 2,
      epochs: 2,
    });
    const alone = await train(job as unknown as Job, { workers: 1 });
    const warm = await together(job, [{}], { syncEvery: 4, syncWarmup: 1000 });
    expectNear(flat(warm), flat(alone), 1e-5);
    expect(warm.metrics['val.loss']).toBeCloseTo(alone.metrics['val.loss'], 5);
  });

  const further = (...rows: number[]) =>
    rows.reduce((a, b) => a + b) ** 1.5 / rows.reduce((sum, b) => sum + b ** 1.5, 0);

  test.each([
    { shards: 2, rates: [Math.SQRT2, Math.SQRT2] },
    { shards: 3, rates: [further(5 + 5, 6), further(0 + 1, 1)] }, // of 16 rows, and of the two that the last batch has
  ])(
    'follows Adam further, by how much noisier the gradients of nodes are: two with $shards shards',
    async ({ shards, rates: [whole, ragged] }) => {
      const options = { syncEvery: 2, syncWarmup: 4, outerLr: 0.6 };
      const { history } = await together({ ...small(adam({ lr: 0.01 })), shards, epochs: 2 }, [{}, {}], options);
      expectNear(history.map(({ lr }) => lr), [whole, whole, whole, ragged, 0.6, 0.6], 1e-12); // biome-ignore format: one line
    },
  );
});

describe('two nodes make what a plain DiLoCo makes', () => {
  test('with momentum inside and Nesterov outside, over ragged rounds', async () => {
    expectDiloco(await together(small(), [{}, {}], { syncEvery: spec.every }), diloco(spec, await initial()));
  });

  test('after a warm-up of rounds of one step, which ends within an epoch', async () => {
    const saved: number[] = [];
    const ended: (readonly number[])[] = [];
    const runDir = mkdtempSync(join(tmpdir(), 'lockstep-warm-'));
    ends.push(async () => rmSync(runDir, { recursive: true }));
    const job = {
      ...small(),
      evaluate: { everyEpochs: 1 },
      checkpoint: { everyEpochs: 2 },
      callbacks: { onEpochEnd: ({ epoch, step }: { epoch: number; step: number }) => void ended.push([epoch, step]) },
    };
    const warmup = 5; // of 4 steps an epoch, so its rounds are 1 1 1 1 | 1 2 1 | 3 1
    const result = await together(job, [{}, {}], {
      ...{ syncEvery: spec.every, syncWarmup: warmup, runDir },
      onProgress: (event) => event.kind === 'checkpoint' && saved.push(event.step),
    });
    expectDiloco(result, diloco({ ...spec, warmup }, await initial()));
    expect(result.history.map(({ epoch }) => epoch)).toEqual([1, 1, 1, 1, 2, 2, 2, 3, 3]);
    expect(result.evaluations.map(({ step, epoch }) => [epoch, step])).toEqual([[1, 4], [2, 7], [3, 9]]);
    expect([ended, saved, result.stopped]).toEqual([[[1, 4], [2, 7], [3, 9]], [7, 9], 'epochs']);
    expect(result.history.map(({ lr }) => lr)).toEqual([1, 1, 1, 1, 1, 0.7, 0.7, 0.7, 0.7]); // momentum goes in proportion
    const header = JSON.parse(readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').split('\n')[0]);
    const { calendar, totalSteps } = jobFacts(header);
    expect([totalSteps, calendar.epochs, [1, 2, 3].map((epoch) => calendar.lastOf(epoch))]).toEqual([9, 3, [4, 7, 9]]);
  }); // biome-ignore format: rounds

  test('a node that is lost in a round is left out of its mean, which is counted and said', async () => {
    const last = 6;
    const left: ClusterEvent[] = [];
    let proxy: FaultyProxy | undefined;
    const running: Promise<unknown>[] = [];
    const result = await runCoordinator(small(), {
      port: 0,
      workers: 1,
      minNodes: 2,
      syncEvery: spec.every,
      deadlines: { farewellMs: 0 }, // it does not dial again
      onListening: async ({ url, port }) => {
        proxy = await FaultyProxy.start({ target: { port } });
        ends.push(() => (proxy as FaultyProxy).close());
        const wanted = (frames: Parameters<typeof headerOf>[0]) => {
          const { type, round } = headerOf(frames);
          return type === 'done' && round === last;
        };
        void proxy.damage('cut', 'up', { wanted });
        running.push(runNode(small(), { url, workers: 1, name: 'steady' }));
        const victim = runNode(small(), { url: proxy.url, workers: 1, name: 'victim', reconnectMs: 0 });
        running.push(victim.catch((error: unknown) => error));
      },
      onEvent: (event) => {
        if (event.kind === 'left') left.push(event);
      },
    });
    await Promise.all(running);
    const lost = left.filter((event) => event.kind === 'left' && event.lost);
    expect(lost).toMatchObject([{ node: { name: 'victim' }, leftOut: { steps: 1, rounds: 1 } }]);
    // Which of the two shards was the victim's follows from who came first.
    const start = await initial();
    const either = [0, 1].map((node) => diloco({ ...spec, lost: (r, n) => r === last && n === node }, start));
    const shard = Math.abs(either[0].rounds[5].loss - result.history[5].loss) < 1e-5 ? 0 : 1;
    expectDiloco(result, either[shard]);
    expect(result.history.at(-1)?.samples).toBe(1);
  });

  test('a node that takes the place of another begins with an optimizer that knows nothing', async () => {
    const run = await startGated(small(), { syncEvery: spec.every, minNodes: 2 }, async (evaluation, it) => {
      if (evaluation !== 0) return;
      for (const leaving of [first, second]) leaving.abort();
      await absent(it, 'first');
      await absent(it, 'second');
      for (const name of ['third', 'fourth'])
        nodes.push(startNode(small(), { url: `ws://127.0.0.1:${it.port}`, name }));
      await present(it, 'third');
      await present(it, 'fourth');
    });
    const [first, second] = [new AbortController(), new AbortController()];
    const url = `ws://127.0.0.1:${run.port}`;
    const nodes = [
      startNode(small(), { url, name: 'first', signal: first.signal }),
      startNode(small(), { url, name: 'second', signal: second.signal }),
    ];
    const result = await run.result;
    await Promise.all(nodes);
    expectDiloco(result, diloco({ ...spec, replaced: (round) => round === 3 }, await initial()));
    const joined = run.heard.events.filter(({ kind }) => kind === 'joined');
    expect(joined.map(({ anew }) => anew)).toEqual([undefined, undefined, 1, 2]);
  });
});

describe('together with what else there is', () => {
  test.each([
    ['', {}, 2, 6],
    [' within a warm-up', { syncWarmup: 6 }, 4, 10],
    [' after a warm-up', { syncWarmup: 1 }, 3, 7],
  ] as const)('a checkpoint%s has the outer optimizer and those of the nodes, so that a run goes on from it to the byte', async (_, warm, first, all) => {
    const local = { syncEvery: 3, ...warm };
    const runDir = mkdtempSync(join(tmpdir(), 'lockstep-local-'));
    ends.push(async () => rmSync(runDir, { recursive: true }));
    const job = { ...small(adam({ lr: 0.02 })), clip: { globalNorm: 'auto' as const } };
    const whole = await together(job, [{}], local);
    await together({ ...job, epochs: 1 }, [{}], { ...local, runDir });
    const anew: unknown[] = [];
    const resumed = await together(job, [{}], {
      ...{ ...local, runDir, resume: 'auto' },
      onEvent: (event) => event.kind === 'joined' && anew.push(event.anew),
    });
    expect(resumed.parametersSha256).toBe(whole.parametersSha256);
    expect([resumed.step, resumed.trainedSteps, anew]).toEqual([all, all - first, [undefined]]);
    expect(resumed.nodeStatesLost).toBe(0);
    const other = (options: CoordinatorOptions) => together(job, [], { ...local, ...options, runDir, resume: 'auto' });
    await expect(other({ syncEvery: 2 })).rejects.toThrow('localSteps.every');
    await expect(other({ syncWarmup: 9 })).rejects.toThrow('localSteps.warmup');
  }); // biome-ignore format: a story

  test('a longer run does not go on behind a round that the end of a shorter one has cut: steps would be left out', async () => {
    const runDir = mkdtempSync(join(tmpdir(), 'lockstep-cut-'));
    ends.push(async () => rmSync(runDir, { recursive: true }));
    const job = { ...small(), epochs: undefined };
    const cut = await together({ ...job, steps: 2 }, [{}], { syncEvery: 3, runDir });
    const goOn = (steps: number) => together({ ...job, steps }, [], { syncEvery: 3, runDir, resume: 'auto' });
    await expect(goOn(12)).rejects.toThrow(
      'round of local steps, as after step 3, got the end of a shorter run, after step 2',
    );
    expect([cut.step, (await goOn(2)).trainedSteps]).toEqual([1, 0]);
    const { calendar } = jobFacts(JSON.parse(readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').split('\n')[0]));
    expect([calendar.totalSteps, calendar.course.totalSteps]).toEqual([1, 2]);
  });

  test.each(['bf16', 'int8', 'int4', 'topk'] as const)('--wire %s', async (wire) => {
    const options = { syncEvery: 3, wire };
    const exact = diloco(spec, await initial());
    const { history, notes } = await together(small(), [{}, {}], options);
    expect(notes.join()).toMatch(
      wire === 'topk' ? 'then sgd with lr 1 follows' : 'then nesterov with lr 0.7 and momentum 0.9 follows',
    );
    const losses = history.map(({ loss }) => loss);
    // Of so small tensors 1 % is one element: it only has to learn.
    if (wire === 'topk') expect(losses[4]).toBeLessThan(losses[0]);
    else expectNear(losses, exact.rounds.map(({ loss }) => loss), wire === 'int4' ? 0.1 : 0.02); // biome-ignore format: one line
  });

  test('batch normalisation, frozen parameters, and nodes without data', async () => {
    const job = defineJob({
      data: { train: arrays(blobs(400, 10, 3)), validation: arrays(blobs(100, 10, 3)) },
      model: sequential(dense(16, { name: 'fixed' }), batchNorm(), dense(3)),
      loss: crossEntropy(),
      optimizer: sgd({ lr: 0.1, groups: [{ match: 'fixed/*', freeze: true }] }),
      batchSize: 100,
      shards: 2,
      epochs: 6,
    });
    const alone = await train(job as unknown as Job, { workers: 1 });
    const local = await together(job, [{ streamData: true }, { streamData: true }], {
      ...{ syncEvery: 2, outerLr: 1, outerMomentum: 0, streamData: true },
    });
    const fixed = Object.keys(local.parameters).filter((name) => name.startsWith('fixed'));
    expect(fixed.length).toBeGreaterThan(0);
    for (const name of fixed) expect(local.parameters[name].data).toEqual(alone.parameters[name].data);
    expect(local.metrics['val.accuracy']).toBeGreaterThan(0.9);
    expect(Math.abs(local.metrics['val.loss'] - alone.metrics['val.loss'])).toBeLessThan(0.1);
  });

  test('numbers that break on a node stop the run, with the parameters before the round', async () => {
    const job = { ...small(sgd({ lr: 1e30 })), clip: {} };
    await expect(together(job, [{}], { syncEvery: 3 })).rejects.toThrow('step 1: expected a finite loss and gradient');
  });
});

describe('refused before anything is trained', () => {
  const refuse = (job: unknown, options: CoordinatorOptions) =>
    expect(runCoordinator(job as Job, { port: 0, workers: 1, syncEvery: 4, ...options })).rejects;

  test('numbers that cannot be', async () => {
    await refuse(small(), { syncEvery: 0 }).toThrow('option syncEvery: expected a whole number from 1 to');
    await refuse(small(), { syncEvery: 1.5 }).toThrow('option syncEvery: expected a whole number');
    await refuse(small(), { syncWarmup: -1 }).toThrow('option syncWarmup: expected a whole number from 0 to');
    await refuse(small(), { syncWarmup: 2.5 }).toThrow('option syncWarmup: expected a whole number');
    await refuse(small(), { syncEvery: 1, syncWarmup: 5 }).toThrow(
      'option syncWarmup: expected none without syncEvery',
    );
    await refuse(small(), { outerLr: 0 }).toThrow('option outerLr: expected a number above 0');
    await refuse(small(), { outerMomentum: 1 }).toThrow('option outerMomentum: expected a number from 0 to below 1');
    await refuse(small(), { syncEvery: 1, outerLr: 0.5 }).toThrow('option outerLr: expected none without syncEvery');
    await refuse(small(), { gradientNoiseEvery: 5 }).toThrow('option gradientNoiseEvery: expected none with syncEvery');
  });

  test.each([
    ['several gradients a step', sam(sgd({ lr: 0.1 })), 'sam, which makes several gradients'],
    ['a line search', lbfgs(), 'lbfgs, which makes several gradients'],
    ['other parameters to evaluate', scheduleFreeAdamw({ lr: 0.1 }), 'which evaluates with other parameters'],
    ['a copy of the parameters', prodigy(), 'begins as a copy of the parameters'],
    ['slow weights', lookahead(sgd({ lr: 0.1 })), 'which evaluates with other parameters'],
    ['a rate that follows evaluations', sgd({ lr: reduceOnPlateau({ initial: 0.1 }) }), 'follows evaluations'],
  ])('an optimizer with %s', async (_, optimizer, why) => {
    await refuse({ ...small(), batchSize: 'full', optimizer }, {}).toThrow(why);
  });

  test('a table with sparse gradients', async () => {
    const job = defineJob({
      data: {
        train: arrays({
          id: { data: Int32Array.from({ length: 64 }, (_, i) => i % 9), shape: [64], size: 9 },
          y: Float32Array.from({ length: 64 }, (_, i) => i % 2),
        }),
      },
      model: ({ id }: Readonly<Record<'id', Tensor>>) => dense(1)(embedding(9, 4, { name: 'table', sparse: true })(id)),
      loss: ({ output }, { y }) => ops.square(ops.sub(ops.reshape(output, [-1]), y)),
      optimizer: sgd({ lr: 0.1 }),
    });
    await refuse(job, {}).toThrow('dense gradients, got table/');
  });

  test('a node whose job has another length: its schedules would go otherwise', async () => {
    const longer = { ...small(), epochs: 5 };
    const stop = new AbortController();
    const node = new Promise<unknown>((resolve) => {
      void runCoordinator(small(), {
        ...{ port: 0, workers: 1, syncEvery: 3, signal: stop.signal },
        onListening: ({ url }) => resolve(runNode(longer, { url, workers: 1 })),
      });
    });
    await expect(node.finally(() => stop.abort())).rejects.toThrow(/totalSteps: expected 12 .*, got 20/);
  });
});
