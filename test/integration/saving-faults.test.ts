import { channel } from 'node:diagnostics_channel';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { adam, crossEntropy, defineJob, dense, sequential, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { afterAll, expect, test } from 'vitest';
import { findCheckpoint } from '../../src/checkpoint/store.ts';
import { nodeFs } from '../../src/checkpoint/store-fs.ts';
import { blobs } from '../fixtures/blobs.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-saving-'));
afterAll(() => rmSync(folder, { recursive: true }));

const WORKERS = 1;
/** A checkpoint of 12 MB: writing takes longer than finding out that it has begun. */
const job = defineJob({
  data: { train: arrays(blobs(256, 32, 4)) },
  model: sequential(dense(960, 'relu'), dense(960, 'relu'), dense(4)),
  loss: crossEntropy(),
  optimizer: adam({ lr: 1e-3 }),
  batchSize: 64,
  epochs: 3,
  seed: 4,
});
const saving = { ...job, checkpoint: { everySteps: 2 } };

test('a writer that is ended in the middle of a checkpoint costs that checkpoint and nothing else', async () => {
  const undisturbed = await train(job, { workers: WORKERS });
  const runDir = join(folder, 'killed');
  const folderOf = join(runDir, 'checkpoints');
  const threads: Worker[] = [];
  const watch = (message: unknown) => void threads.push((message as { worker: Worker }).worker);
  const started = channel('worker_threads');
  const notes: string[] = [];
  let strikes = 3;
  let over = false;
  /** The thread that was started last is the writer: it begins when there is something to save. */
  const lurk = (): void => {
    if (over || strikes === 0) return;
    const writing = existsSync(folderOf) && readdirSync(folderOf).some((name) => name.startsWith('.writing-'));
    if (!writing || threads.length <= WORKERS) return void setImmediate(lurk);
    strikes -= 1;
    void threads.at(-1)?.terminate().then(lurk);
  };
  started.subscribe(watch);
  try {
    lurk();
    const result = await train(saving, {
      workers: WORKERS,
      runDir,
      onProgress: (event) => event.kind === 'note' && notes.push(event.text),
    });
    expect(result.parametersSha256).toBe(undisturbed.parametersSha256);
    expect(notes.join('\n')).toMatch(/was not written \(the thread that saves checkpoints ended with code 1\)/);
    expect(findCheckpoint(nodeFs, runDir)).toMatchObject({ checkpoint: { step: result.step }, refused: [] });
    expect(readdirSync(folderOf).filter((name) => !/^step-\d{8}$/.test(name))).toEqual([]);
  } finally {
    over = true;
    started.unsubscribe(watch);
  }
});

test('where saving fails training goes on, and saves again when the cause is gone', async () => {
  const runDir = join(folder, 'blocked');
  const events: string[] = [];
  mkdirSync(runDir);
  writeFileSync(join(runDir, 'checkpoints'), 'a file where the folder should be');
  const result = await train(saving, {
    workers: WORKERS,
    runDir,
    onProgress: (event) => {
      if (event.kind === 'checkpoint') events.push(`step ${event.step}`);
      if (event.kind !== 'note') return;
      events.push(event.text);
      if (events.length === 2) rmSync(join(runDir, 'checkpoints'));
    },
  });
  expect(events[0]).toMatch(/^checkpoint of step 2 was not written \(.*\): training goes on, earlier checkpoints stay/);
  expect(events[1]).toMatch(/^checkpoint of step 4 was not written/);
  expect(events.at(-1)).toBe('step 12');
  expect((await train(job, { workers: WORKERS })).parametersSha256).toBe(result.parametersSha256);
});
