import { channel } from 'node:diagnostics_channel';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { adam, crossEntropy, defineJob, dense, type Job, sequential, type TrainOptions, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { RING_CAPACITY } from '../../src/parallel/record-ring.ts';
import type { SinkRecord } from '../../src/record/contract.ts';
import { blobs } from '../fixtures/blobs.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-callbacks-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Threads that live, and errors that nobody caught, in this process. */
const threads = new Set<Worker>();
const stray: unknown[] = [];
const started = channel('worker_threads');
const watch = (message: unknown): void => {
  const { worker } = message as { worker: Worker };
  threads.add(worker);
  worker.once('exit', () => threads.delete(worker));
};
const note = (error: unknown): void => void stray.push(error);

beforeEach(() => {
  started.subscribe(watch);
  process.on('uncaughtException', note).on('unhandledRejection', note);
});
afterEach(async () => {
  await new Promise(setImmediate); // unhandled rejections are told then
  started.unsubscribe(watch);
  process.off('uncaughtException', note).off('unhandledRejection', note);
  expect(stray.splice(0)).toEqual([]);
  expect(threads.size).toBe(0);
});

type BlobJob = Job<{ x: 'f32'; y: 'i32' }>;

function job(overrides: Partial<BlobJob> = {}): BlobJob {
  return defineJob({
    data: { train: arrays(blobs(900, 16, 4)), validation: 0.2 },
    model: sequential(dense(32, 'relu'), dense(4)),
    loss: crossEntropy(),
    optimizer: adam({ lr: 0.01 }),
    batchSize: 64,
    epochs: 4000,
    ...overrides,
  });
}

/** What a run says at its end about gradients that were clipped. */
async function clippedNotes(clip: Job['clip'], batches: number): Promise<string[]> {
  const notes: string[] = [];
  await train(job({ clip, epochs: undefined, steps: batches }), {
    workers: 1,
    onProgress: (event) => event.kind === 'note' && notes.push(event.text),
  });
  return notes.filter((text) => text.includes('clipped'));
}

test('says so when more than half of the gradients were clipped', async () => {
  expect(await clippedNotes({ globalNorm: 1e-4 }, 30)).toEqual([expect.stringMatching(/^30 of 30 gradients were/)]);
  expect(await clippedNotes({ globalNorm: 1e4 }, 30)).toEqual([]);
  expect(await clippedNotes({ globalNorm: 'auto' }, 60)).toEqual([]); // one in ten
  expect(await clippedNotes({ globalNorm: 1e-4 }, 10)).toEqual([]); // too few to judge
});

const bomb = (): never => {
  throw new Error('boom');
};
const onKind = (kind: string): TrainOptions => ({ onProgress: (event) => event.kind === kind && bomb() });
const saving = { checkpoint: { everySteps: 12 }, epochs: 6 };

test.each<{ name: string; overrides?: Partial<BlobJob>; options?: TrainOptions }>([
  { name: 'onStart', overrides: { callbacks: { onStart: bomb } } },
  { name: 'onSteps, in the middle of an epoch', overrides: { batchSize: 1, callbacks: { onSteps: bomb } } },
  { name: 'onEvaluation', overrides: { callbacks: { onEvaluation: async () => bomb() } } },
  { name: 'onEpochEnd', overrides: { callbacks: { onEpochEnd: bomb } } },
  { name: 'onEnd', overrides: { epochs: 1, callbacks: { onEnd: bomb } } },
  { name: 'onProgress of steps', overrides: { batchSize: 1 }, options: onKind('steps') },
  {
    name: 'onProgress of a checkpoint',
    overrides: saving,
    options: { ...onKind('checkpoint'), runDir: join(folder, 'progress') },
  },
])('a callback that throws ends the run with its error, and nothing else: $name', async ({ overrides, options }) => {
  const error = await train(job(overrides), { workers: 2, ...options }).catch((e: unknown) => e);
  expect(error).toEqual(new Error('boom'));
});

test.each<{ overrides: Partial<BlobJob>; options?: TrainOptions; message: string }>([
  { overrides: { checkpoint: { everyEpochs: 1 } }, message: 'run folder' },
  {
    overrides: { checkpoint: { keepBest: 'val.los' } },
    options: { runDir: join(folder, 'never') },
    message: 'did you mean val.loss?',
  },
  { overrides: { earlyStopping: { monitor: 'val.f1' } }, message: 'val.accuracy' },
])('what is wrong with a job is said before anything starts: $message', async ({ overrides, options, message }) => {
  let threadsStarted = 0;
  const count = (): void => void threadsStarted++;
  started.subscribe(count);
  const error = await train(job(overrides), { workers: 2, ...options }).catch((e: unknown) => e);
  started.unsubscribe(count);
  expect((error as Error).message).toContain(message);
  expect(threadsStarted).toBe(0);
});

test.each(['open', 'write', 'close'] as const)(
  'a sink that fails in %s is reported, and the run goes on to its end and gives its result',
  async (method) => {
    const notes: string[] = [];
    const sink = { name: 'mine', open() {}, write() {}, close() {}, [method]: bomb };
    const result = await train(job({ epochs: 3 }), {
      workers: 2,
      sinks: [sink],
      onProgress: (event) => {
        if (event.kind === 'note') notes.push(event.text);
        if (event.kind === 'start') notes.push(...event.notes);
      },
    });
    expect(result).toMatchObject({ step: 36, trainedSteps: 36, stopped: 'epochs', problems: [new Error('boom')] });
    expect(notes.filter((text) => text.includes('boom'))).toHaveLength(method === 'close' ? 0 : 1);
  },
);

test('a run does not wait for a sink that takes as long as the run: it gets all records in the end', async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const got: number[] = [];
  const sink = {
    open() {},
    write(records: readonly SinkRecord[]) {
      for (const record of records) if (record.kind === 'step') got.push(record.step);
      return held;
    },
    close() {},
  };
  const small = job({
    data: { train: arrays(blobs(3 * RING_CAPACITY, 2, 2)) },
    model: sequential(dense(2)),
    batchSize: 2,
  });
  const { step, problems } = await train(
    { ...small, epochs: 1 },
    { workers: 1, sinks: [sink], onProgress: ({ kind }) => kind === 'epoch' && release() },
  );
  expect(step).toBe(1.5 * RING_CAPACITY); // more than the ring holds
  expect(problems).toEqual([]);
  expect(got).toEqual(Array.from({ length: step }, (_, i) => i + 1));
});
