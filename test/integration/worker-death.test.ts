import { channel } from 'node:diagnostics_channel';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { Worker } from 'node:worker_threads';
import {
  adam,
  crossEntropy,
  defineJob,
  dense,
  dropout,
  LockstepError,
  sequential,
  type TrainOptions,
  train,
} from 'lockstep';
import { arrays } from 'lockstep/data';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';
import { always, alwaysInHeap, alwaysInUpdate, inGather, inHeap, inRows, inUpdate } from '../fixtures/dying-job.mjs';
import { philox } from '../fixtures/philox.ts';

/** Every thread that this process starts, while it lives. */
const threads = new Set<Worker>();
const started = channel('worker_threads');

function watch(message: unknown): void {
  const { worker } = message as { worker: Worker };
  threads.add(worker);
  worker.once('exit', () => threads.delete(worker));
}

beforeEach(() => started.subscribe(watch));
afterEach(() => {
  started.unsubscribe(watch);
  expect(threads.size).toBe(0); // no thread outlives its run
});

/** A round has up to five deaths. `npm run test:soak` runs more. */
const ROUNDS = Number(process.env.LOCKSTEP_SOAK_ROUNDS ?? 1);

const job = defineJob({
  data: { train: arrays(blobs(2000, 64, 5)), validation: 0.2 },
  model: sequential(dense(256, 'relu'), dropout(0.2), dense(256, 'relu'), dense(5)),
  loss: crossEntropy(),
  optimizer: adam({ lr: 1e-3 }),
  clip: { globalNorm: 1 },
  batchSize: 256,
  epochs: 12,
  evaluate: { everySteps: 5 },
  seed: 3,
});

async function outcome(options: TrainOptions, watched = job) {
  const { parametersSha256, metrics, step, history, evaluations } = await train(watched, options);
  const records = Array.from(history, ({ step, loss, lr, gradNorm, clipScale, metrics }) => ({
    step, loss, lr, gradNorm, clipScale, metrics,
  })); // biome-ignore format: a row
  return { parametersSha256, metrics, step, records, evaluations: evaluations.map(({ seconds: _, ...rest }) => rest) };
}

let alone: ReturnType<typeof outcome> | undefined;
/** The run of one worker, whom nothing befalls. */
function undisturbed(): ReturnType<typeof outcome> {
  alone ??= outcome({ workers: 1 });
  return alone;
}

test(
  'a worker that is terminated at any moment changes nothing',
  async () => {
    const random = philox(99);
    let kills = 0;
    for (let round = 0; round < ROUNDS; round++) {
      let lost = 0;
      // A kill some polls of the event loop after the run said something: anywhere in a step or an evaluation.
      const strike = (polls: number): void => {
        if (polls > 0) return void setImmediate(strike, polls - 1);
        const [victim] = [...threads].sort(() => random() - 0.5);
        if (!victim) return;
        kills += 1;
        void victim.terminate();
      };
      let armed = 5;
      const result = await outcome({
        workers: 3,
        onProgress: (event) => {
          if (event.kind === 'note') lost += 1;
          if ((event.kind === 'steps' || event.kind === 'evaluation') && armed > 0 && lost >= 5 - armed) {
            armed -= 1;
            strike(Math.floor(40 * random()));
          }
        },
      });
      expect(result).toEqual(await undisturbed());
    }
    expect(kills).toBeGreaterThanOrEqual(2 * ROUNDS);
  },
  300_000 * ROUNDS,
);

test('a worker may be lost while all are idle, and what replaces it, too', async () => {
  const notes: string[] = [];
  let struck = false;
  const onEvaluation = async () => {
    if (struck) return;
    struck = true;
    for (const worker of [...threads]) await worker.terminate();
    for (const worker of [...threads]) await worker.terminate(); // not yet ready
  };
  const disturbed = await outcome(
    { workers: 2, onProgress: (event) => event.kind === 'note' && notes.push(event.text) },
    { ...job, callbacks: { onEvaluation } },
  );
  expect(disturbed).toEqual(await undisturbed());
  expect(notes.join('\n')).toMatch(/a worker was lost/);
});

test('all workers at once may be lost', async () => {
  let struck = false;
  const notes: string[] = [];
  const result = await outcome({
    workers: 2,
    onProgress: (event) => {
      if (event.kind === 'note') notes.push(event.text);
      if (event.kind !== 'steps' || struck) return;
      struck = true;
      for (const worker of threads) void worker.terminate();
    },
  });
  expect(result).toEqual(await undisturbed());
  expect(notes.join('\n')).toMatch(/a worker was lost/);
});

describe('a worker that dies in its own code', () => {
  const module = new URL('../fixtures/dying-job.mjs', import.meta.url).href;
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-death-'));
  const trap = join(folder, 'trap');
  process.env.LOCKSTEP_TEST_TRAP = trap; // threads started from now on see it
  afterAll(() => rmSync(folder, { recursive: true }));
  const limitHeap = (mb: number) => setFlagsFromString(`--max-old-space-size=${mb}`); // of threads started from now on
  afterEach(() => limitHeap(0)); // the default

  test.each([
    { name: 'update', deadly: inUpdate, note: /during an update .* replaying from step 0/ },
    {
      name: 'update of rows',
      deadly: inRows as unknown as typeof inUpdate,
      note: /during an update .* replaying from step 0/,
    },
    { name: 'gather', deadly: inGather, note: /after step \d+ .* go on from there/ },
    { name: 'heap', deadly: inHeap, note: /JS heap out of memory.* go on from there/ },
  ])('in the $name: the run ends in the same bytes', async ({ deadly, note }) => {
    const undisturbed = await train(deadly, { workers: 1, module });
    const notes: string[] = [];
    let set = false;
    if (deadly === inHeap) limitHeap(192); // soon full
    const disturbed = await train(deadly, {
      workers: 2,
      module,
      onProgress: (event) => {
        if (event.kind === 'note') notes.push(event.text);
        if (event.kind === 'epoch' && event.epoch === 3 && !set) {
          set = true;
          writeFileSync(trap, '');
        }
      },
    });
    expect(notes.join('\n')).toMatch(note);
    expect(existsSync(trap)).toBe(false);
    expect(disturbed.parametersSha256).toBe(undisturbed.parametersSha256);
    expect(disturbed.history.map((r) => r.loss)).toEqual(undisturbed.history.map((r) => r.loss));
  });

  test.each([
    { phase: 'update', deadly: inUpdate, option: 'resume', from: 5 },
    { phase: 'update', deadly: inUpdate, option: 'warmStart', from: 0 },
    { phase: 'gather', deadly: inGather, option: 'warmStart', from: 0 },
  ])('in the first $phase after $option: the run goes on from its start', async ({ deadly, option, from }) => {
    const runDir = join(folder, 'start');
    if (!existsSync(runDir)) await train({ ...inUpdate, epochs: 1 }, { workers: 1, module, runDir });
    const job = { ...deadly, epochs: 2 };
    const undisturbed = await train(job, { workers: 1, module, [option]: runDir });
    const notes: string[] = [];
    writeFileSync(trap, '');
    const disturbed = await train(job, {
      workers: 2,
      module,
      [option]: runDir,
      onProgress: (event) => event.kind === 'note' && notes.push(event.text),
    });
    expect(notes.join('\n')).toMatch(new RegExp(`a worker was lost.* step ${from}\\b`));
    expect(disturbed.parametersSha256).toBe(undisturbed.parametersSha256);
    expect(disturbed.history.map((r) => r.loss)).toEqual(undisturbed.history.map((r) => r.loss));
  });

  test('in every update of a step: the run ends with the cause, and does not replay for ever', async () => {
    const error = await train(alwaysInUpdate, { workers: 2, module }).catch((e: unknown) => e);
    expect((error as LockstepError).code).toBe('E_WORKER');
    expect((error as LockstepError).message).toContain('no step 3');
  });

  test.each([
    { name: 'exit', deadly: always, cause: /exited with code: 3/ },
    { name: 'heap', deadly: alwaysInHeap, cause: /JS heap out of memory/ },
  ])('always, in every thread ($name): the run ends with the cause, once', async ({ deadly, cause }) => {
    if (deadly === alwaysInHeap) limitHeap(192);
    const error = await train(deadly, { workers: 2, module }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(LockstepError);
    expect((error as LockstepError).code).toBe('E_WORKER');
    expect((error as LockstepError).message).toMatch(cause);
  });
});
