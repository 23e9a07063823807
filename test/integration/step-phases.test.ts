import { channel } from 'node:diagnostics_channel';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setEnvironmentData, type Worker } from 'node:worker_threads';
import {
  adam,
  crossEntropy,
  defineJob,
  dense,
  embedding,
  type LockstepError,
  momentum,
  sam,
  scheduleFreeSgd,
  sequential,
  train,
} from 'lockstep';
import { dataset } from 'lockstep/data';
import * as ops from 'lockstep/ops';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { slotsNeeded } from '../../src/parallel/gradient-tree.ts';
import type { Job } from '../../src/train/job.ts';
import type { TrainOptions, TrainResult } from '../../src/train/options.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { trainPlan } from '../../src/train/train.ts';
import { PLACES, read, readBadly, TRAP, TRAP_DATA } from '../fixtures/phase-trap.mjs';

const module = new URL('../fixtures/phase-trap.mjs', import.meta.url).href;
const words = new Int32Array(new SharedArrayBuffer(16)).fill(-1);

/** Every thread that this process starts, while it lives. */
const threads = new Map<number, Worker>();
const started = channel('worker_threads');

function watch(message: unknown): void {
  const { worker } = message as { worker: Worker };
  const { threadId } = worker;
  threads.set(threadId, worker);
  worker.once('exit', () => threads.delete(threadId));
}

beforeEach(() => {
  started.subscribe(watch);
  setEnvironmentData(TRAP_DATA, words);
});
afterEach(() => {
  started.unsubscribe(watch);
  setEnvironmentData(TRAP_DATA, undefined);
  arm(undefined, 0);
  expect(threads.size).toBe(0); // no thread outlives its run
});

const folder = mkdtempSync(join(tmpdir(), 'lockstep-phases-'));
afterAll(() => rmSync(folder, { recursive: true }));

const spec = { x: { dtype: 'f32', shape: [6] }, y: { dtype: 'i32', shape: [], size: 3 } } as const;

/** 32 shards on 2 workers with few partial sums: they are merged on the way. */
const job = defineJob({
  data: {
    train: dataset({ size: 640, spec, read }),
    validation: 0.2,
  },
  model: sequential(dense(16, 'tanh'), dense(3)),
  loss: crossEntropy(),
  optimizer: momentum({ lr: 0.05 }),
  clip: { globalNorm: 1 },
  batchSize: 64,
  shards: 32,
  epochs: 10,
  evaluate: { everySteps: 2 },
  checkpoint: { everySteps: 3 },
  seed: 5,
});

interface Point {
  readonly place: string;
  /** Absent: whoever comes there first. */
  readonly rank?: number;
  /** While the loss before it is being mended; else in a later step. */
  readonly meanwhile?: true;
}

function arm(point: Point | undefined, step: number): void {
  Atomics.store(words, TRAP.rank, point?.rank ?? -1);
  Atomics.store(words, TRAP.step, step);
  Atomics.store(words, TRAP.place, point ? PLACES.indexOf(point.place) : -1);
}

/** Catches a worker at each of the points in turn, from step 2 on, and terminates it there. */
async function terminateAt(points: readonly Point[], run: Promise<unknown>): Promise<string[]> {
  const struck: string[] = [];
  let over = false;
  const end = run
    .finally(() => {
      over = true;
    })
    .catch(() => undefined);
  Atomics.store(words, TRAP.caught, -1);
  arm(points[0], 2);
  for (const [i, { place }] of points.entries()) {
    const caught = Atomics.waitAsync(words, TRAP.caught, -1);
    if (caught.async) await Promise.race([caught.value, end]);
    if (over) break;
    const thread = threads.get(Atomics.load(words, TRAP.caught));
    Atomics.store(words, TRAP.caught, -1);
    const next = points[i + 1];
    arm(next, next?.meanwhile ? 0 : Atomics.load(words, TRAP.step) + 2);
    struck.push(place);
    await thread?.terminate();
  }
  return struck;
}

/** Few partial sums, so that they are merged; the rest as `train` does it. */
async function trainMerging(job: Job, options: TrainOptions): Promise<TrainResult> {
  const plan = await planRun(job, options);
  return trainPlan(
    { ...plan, accumulate: false, groupRows: {}, partialSlots: slotsNeeded(plan.compiled.shards / plan.workers) },
    options,
  );
}

function outcome({ parametersSha256, metrics, step, history, evaluations }: TrainResult) {
  const records = Array.from(history, ({ timings: _, ...record }) => record);
  return { parametersSha256, metrics, step, records, evaluations: evaluations.map(({ seconds: _, ...rest }) => rest) };
}

describe('a worker that is terminated inside a phase of the step', () => {
  test('changes nothing, whatever the phase', async () => {
    const undisturbed = outcome(await train(job, { workers: 1, module, runDir: join(folder, 'undisturbed') }));
    const points: Point[] = [
      { place: 'gather', rank: 1 },
      { place: 'forward', rank: 0 },
      { place: 'loss', rank: 1 },
      { place: 'backward', rank: 0 },
      { place: 'merge', rank: 1 },
      { place: 'reduce', rank: 1 },
      { place: 'norms', rank: 0 },
      { place: 'clip', rank: 0 },
      { place: 'commit', rank: 0 },
      { place: 'update', rank: 1 },
      { place: 'recorded', rank: 0 },
      { place: 'last barrier', rank: 1 },
      { place: 'publish', rank: 0 },
      { place: 'evaluation' },
      { place: 'snapshot' },
      { place: 'update', rank: 0 },
      { place: 'restore', meanwhile: true },
      { place: 'last barrier', rank: 0 },
      { place: 'resume', rank: 0, meanwhile: true },
    ];
    const notes: string[] = [];
    const run = trainMerging(job as unknown as Job, {
      workers: 2,
      module,
      runDir: join(folder, 'run'),
      onProgress: (event) => event.kind === 'note' && notes.push(event.text),
    });
    const struck = await terminateAt(points, run);
    const disturbed = outcome(await run);
    expect(struck).toEqual(points.map(({ place }) => place));
    expect(disturbed).toEqual(undisturbed);
    expect(notes.length).toBe(points.length);
  }, 300_000);

  test.each([
    {
      name: 'the second gradient of a step',
      optimizer: sam(momentum({ lr: 0.05 })),
      place: 'second gradient',
      rank: 1,
    },
    {
      name: 'making the parameters to evaluate',
      optimizer: scheduleFreeSgd({ lr: 0.05 }),
      place: 'evaluated',
      rank: 0,
    },
  ])('or in $name', async ({ optimizer, place, rank }) => {
    const other = { ...job, optimizer, epochs: 2, checkpoint: undefined };
    const undisturbed = outcome(await train(other, { workers: 1, module }));
    const run = train(other, { workers: 2, module });
    expect(await terminateAt([{ place, rank }], run)).toEqual([place]);
    expect(outcome(await run)).toEqual(undisturbed);
  });

  test('or among the rows of a sparse table', async () => {
    const other = defineJob({
      ...job,
      model: ({ x, y }) => {
        const shift = embedding(3, 6, { name: 'shift', sparse: true })(y);
        return dense(3)(dense(16, 'tanh')(ops.add(x, shift)));
      },
      optimizer: adam(),
      epochs: 3,
      checkpoint: undefined,
    });
    const undisturbed = outcome(await train(other, { workers: 1, module }));
    const run = train(other, { workers: 2, module });
    const points = [
      { place: 'lists', rank: 1 },
      { place: 'lists merged', rank: 0 },
      { place: 'rows updated', rank: 1 },
    ];
    expect(await terminateAt(points, run)).toEqual(points.map(({ place }) => place));
    expect(outcome(await run)).toEqual(undisturbed);
  });

  test('or while it looks for what broke; and bad steps are counted across its death', async () => {
    const bad = {
      ...job,
      data: { train: dataset({ size: 512, spec, read: readBadly }) },
      nonFinite: 'skip',
      checkpoint: undefined,
    } as const;
    const messages: string[] = [];
    const fail = async (run: Promise<unknown>) => run.catch((e: LockstepError) => messages.push(e.message));
    await fail(train(bad, { workers: 1, module }));
    const run = trainMerging(bad as unknown as Job, { workers: 2, module });
    const failed = fail(run);
    const points = [
      { place: 'clip', rank: 0 },
      { place: 'inspect', rank: 1, meanwhile: true },
    ] as const;
    expect(await terminateAt(points, run)).toEqual(['clip', 'inspect']);
    await failed;
    expect(messages[0]).toMatch(/^step 11: .*shard \d+, rows .* first bad tensor: dense\/weight/);
    expect(messages[1]).toBe(messages[0]);
  });
});
