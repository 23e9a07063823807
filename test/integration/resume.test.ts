import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adam, crossEntropy, defineJob, dense, dropout, type Job, LockstepError, momentum, type ProgressEvent, reduceOnPlateau,
  sequential, train, warmupCosine,
} from 'lockstep'; // biome-ignore format: a list
import { arrays, csv } from 'lockstep/data';
import { afterAll, describe, expect, test } from 'vitest';
import { encodeModel } from '../../src/checkpoint/model-file.ts';
import { readStoredModel } from '../../src/predict/node-model.ts';
import { blobs } from '../fixtures/blobs.ts';
import { philox } from '../fixtures/philox.ts';

type BlobJob = Job<{ x: 'f32'; y: 'i32' }>;

const folder = mkdtempSync(join(tmpdir(), 'lockstep-resume-'));
afterAll(() => rmSync(folder, { recursive: true }));
let runs = 0;
const newRunDir = () => join(folder, `run${runs++}`);

function job(overrides: Partial<BlobJob> = {}): BlobJob {
  return defineJob({
    data: { train: arrays(blobs(900, 16, 4)), validation: 0.2 },
    model: sequential(dense(32, 'relu'), dropout(0.2), dense(4)),
    loss: crossEntropy(),
    optimizer: adam({ lr: warmupCosine({ peak: 0.01, warmupSteps: 5 }) }),
    clip: { globalNorm: 1 },
    batchSize: 128,
    epochs: 6,
    seed: 2,
    ...overrides,
  });
}

/** Stops the run from outside as soon as `step` was seen; it ends there or a little later. */
function stopAt(step: number) {
  const controller = new AbortController();
  const onSteps = (records: readonly { step: number }[]) => {
    if (records.some((r) => r.step >= step)) controller.abort();
  };
  return { signal: controller.signal, callbacks: { onSteps } };
}

async function failure(run: Promise<unknown>): Promise<LockstepError> {
  const error = await run.catch((e: unknown) => e);
  expect(error).toBeInstanceOf(LockstepError);
  return error as LockstepError;
}

function linesOf(runDir: string): { kind: string; step?: number; resumedAfter?: number }[] {
  const lines = readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line));
}

const steps = (runDir: string) =>
  readdirSync(join(runDir, 'checkpoints')).map((name) => Number(name.replace('step-', '')));

describe('resume', () => {
  test('is exact: stopped anywhere, gone on with any number of workers', async () => {
    const long = job({ epochs: 40, earlyStopping: { monitor: 'val.loss', patience: 30 } });
    const whole = await train(long, { workers: 2 });
    const random = philox(5);
    for (const workers of [1, 2, 3, 4]) {
      const runDir = newRunDir();
      const { signal, callbacks } = stopAt(1 + Math.floor(200 * random()));
      const part = await train({ ...long, callbacks }, { workers: 2, runDir, signal });
      expect(part.stopped).toBe('aborted');
      expect(part.step).toBeLessThan(whole.step);
      expect(steps(runDir)).toEqual([part.step]);
      const rest = await train(long, { workers, runDir, resume: 'auto' });
      expect(rest.parametersSha256).toBe(whole.parametersSha256);
      expect(rest.metrics).toEqual(whole.metrics);
      expect(rest.loss).toBe(whole.loss);
      const losses = [...part.history, ...rest.history].map((r) => r.loss);
      expect(losses).toEqual(whole.history.map((r) => r.loss));
    }
  }, 120_000);

  test('keeps what a plateau of the validation loss has done to the rate', async () => {
    const lr = reduceOnPlateau({ initial: 0.05, patience: 0, threshold: 0.2, factor: 0.5 });
    const long = job({ epochs: 12, optimizer: momentum({ lr }) });
    const whole = await train(long, { workers: 2 });
    const rates = whole.history.map((r) => r.lr);
    expect(new Set(rates).size).toBeGreaterThan(3);
    const reduced = rates.indexOf(0.025) + 1; // first step with the first reduction
    expect((reduced - 1) % 6).toBe(0); // an evaluation stands before it
    for (const [workers, at] of [
      [1, reduced + 1],
      [3, reduced + 20],
    ]) {
      const runDir = newRunDir();
      const { signal, callbacks } = stopAt(at);
      const part = await train({ ...long, callbacks }, { workers: 2, runDir, signal });
      expect(part.step).toBeLessThan(whole.step);
      const rest = await train(long, { workers, runDir, resume: 'auto' });
      expect([...part.history, ...rest.history].map((r) => r.lr)).toEqual(rates);
      expect(rest.parametersSha256).toBe(whole.parametersSha256);
    }
  });

  test('falls back to the newest whole checkpoint and says so', async () => {
    const saving = job({ checkpoint: { everySteps: 10, keepLast: 3 } });
    const runDir = newRunDir();
    const whole = await train(saving, { workers: 2, runDir });
    expect(steps(runDir).sort((a, b) => a - b)).toEqual([20, 30, whole.step]);
    const newest = join(runDir, 'checkpoints', readdirSync(join(runDir, 'checkpoints')).sort().at(-1) as string);
    truncateSync(join(newest, 'parameters.safetensors'), 1000);
    const notes: string[] = [];
    const again = await train(saving, {
      workers: 1,
      runDir,
      resume: 'auto',
      onProgress: (event) => event.kind === 'start' && notes.push(...event.notes),
    });
    expect(notes.join('\n')).toMatch(/parameters\.safetensors.*\n.*resumed after step 30/);
    const headers = linesOf(runDir).filter(({ kind }) => kind === 'header');
    expect(headers.map(({ resumedAfter }) => resumedAfter)).toEqual([undefined, 30]);
    expect(again.parametersSha256).toBe(whole.parametersSha256);
  });

  test('on other kernels goes on and warns', async () => {
    const runDir = newRunDir();
    const { checkpoint = '' } = await train(job({ steps: 3 }), { workers: 1, runDir });
    const path = join(checkpoint, 'manifest.json');
    const manifest = JSON.parse(readFileSync(path, 'utf8'));
    const blas = { library: 'libblas.so', version: 'OtherBLAS 1.0', core: 'Z80' };
    writeFileSync(path, JSON.stringify({ ...manifest, kernels: { gemm: 'blas', simd: 'simd128', blas } }));
    const notes: string[] = [];
    const onProgress = (event: ProgressEvent) => event.kind === 'start' && notes.push(...event.notes);
    expect((await train(job({ steps: 6 }), { workers: 1, runDir, resume: 'auto', onProgress })).step).toBe(6);
    expect(notes.join('\n')).toMatch(/kernels differ \(blas OtherBLAS 1\.0 Z80 simd128 then, .* now\): .* no longer/);
  });

  test("'auto' without a checkpoint starts anew; a folder that has none is refused", async () => {
    const runDir = newRunDir();
    expect((await train(job({ steps: 2 }), { workers: 1, runDir, resume: 'auto' })).step).toBe(2);
    const error = await failure(train(job(), { workers: 1, resume: join(folder, 'nowhere') }));
    expect(error.code).toBe('E_CHECKPOINT');
  });

  test.each([
    { change: { optimizer: adam({ lr: 0.5 }) }, path: 'job.optimizer.lr' },
    { change: { optimizer: momentum({ lr: 0.01 }) }, path: 'job.optimizer.kind' },
    { change: { model: sequential(dense(8), dense(4)) }, path: 'job.tensors' },
    { change: { seed: 77 }, path: 'job.seed' },
    { change: { batchSize: 64 }, path: 'job.batchSize' },
    { change: { data: { train: arrays(blobs(901, 16, 4)), validation: 0.2 } }, path: 'job.rows.train' },
    { change: { metrics: ['accuracy', 'top2'] }, path: 'job.metrics' },
    { change: { loss: crossEntropy({ labelSmoothing: 0.1 }) }, path: 'job.model or job.loss' },
    { change: { model: sequential(dense(32, 'relu'), dropout(0.5), dense(4)) }, path: 'job.model or job.loss' },
  ])('another job is refused: $path', async ({ change, path }) => {
    const runDir = newRunDir();
    await train(job({ steps: 3 }), { workers: 1, runDir });
    const error = await failure(train(job({ ...change, steps: 6 }), { workers: 1, runDir, resume: 'auto' }));
    expect(error.code).toBe('E_RESUME');
    expect(error.message).toContain(path);
    expect(error.message).toContain('--warm-start');
  });

  test('other values in the same number of rows are refused, by what was fitted on them', async () => {
    const file = join(folder, 'table.csv');
    const write = (first: number) =>
      writeFileSync(
        file,
        ['a,y', ...Array.from({ length: 40 }, (_, i) => `${i === 0 ? first : i},${i % 2}`)].join('\n'),
      );
    const table = defineJob({
      ...job(),
      data: { train: csv(file, { target: 'y', task: 'classification' }) },
      model: sequential(dense(2)),
      batchSize: 8,
      steps: 2,
    });
    const runDir = newRunDir();
    write(0);
    await train(table, { workers: 1, runDir });
    expect((await train({ ...table, steps: 4 }, { workers: 1, runDir, resume: 'auto' })).step).toBe(4);
    write(1000);
    const error = await failure(train({ ...table, steps: 6 }, { workers: 1, runDir, resume: 'auto' }));
    expect(error.code).toBe('E_RESUME');
    expect(error.message).toMatch(/job\.transforms/);
  });

  test('a run that has ended stays as it ended, by its length or by early stopping', async () => {
    const rule = { monitor: 'val.loss', patience: 1, minDelta: 10 };
    for (const ended of [job({ epochs: 2 }), job({ earlyStopping: rule })]) {
      const runDir = newRunDir();
      const whole = await train(ended, { workers: 2, runDir });
      expect(whole.step).toBe(12);
      const again = await train(ended, { workers: 1, runDir, resume: 'auto' });
      const { step, loss, metrics, stopped, parametersSha256 } = whole;
      expect(again).toMatchObject({ step, loss, metrics, stopped, parametersSha256 });
    }
  });

  test('a manifest that lies about the state is refused before anything starts', async () => {
    const runDir = newRunDir();
    const { checkpoint = '' } = await train(job({ steps: 3 }), { workers: 1, runDir });
    const path = join(checkpoint, 'manifest.json');
    const whole = readFileSync(path, 'utf8');
    const lies: [string, (manifest: Record<string, Record<string, unknown>>) => void][] = [
      ['manifest.optimizer.slots', ({ optimizer, files }) => {
        optimizer.slots = [];
        (files as unknown as object[]).splice(1, 1);
      }],
      ['manifest.optimizer.state', ({ optimizer }) => Object.assign(optimizer.state as object, { more: 1 })],
      ['manifest.progress.epochSums', ({ progress }) => Object.assign(progress, { epochSums: Array(1000).fill(0) })],
      ['manifest.sampler.rows', ({ sampler }) => Object.assign(sampler, { rows: 7 })],
      ['tensor', ({ tensors }) => (tensors as unknown as { shape: number[] }[])[0].shape.push(2)],
      ['step 4', (manifest) => Object.assign(manifest, { step: 4 })],
    ]; // biome-ignore format: a table
    for (const [place, lie] of lies) {
      const manifest = JSON.parse(whole);
      lie(manifest);
      writeFileSync(path, JSON.stringify(manifest));
      const error = await failure(train(job({ steps: 6 }), { workers: 1, runDir, resume: 'auto' }));
      expect(error.message).toContain(place);
      expect(error.code).toMatch(/^E_(RESUME|CHECKPOINT)$/);
    }
  });

  test('a path that is no run is refused, whatever it is', async () => {
    const file = join(folder, 'no-model');
    writeFileSync(file, 'nothing');
    for (const path of [file, join(file, 'below'), '/dev/null']) {
      for (const option of ['resume', 'warmStart']) {
        expect((await failure(train(job(), { workers: 1, [option]: path }))).code).toBe('E_CHECKPOINT');
      }
    }
  });

  test('warm start takes the parameters and trains anew', async () => {
    const runDir = newRunDir();
    const first = await train(job(), { workers: 2, runDir });
    const other = job({ optimizer: momentum({ lr: 1e-30 }), steps: 1, batchSize: 64 });
    const warm = await train(other, { workers: 1, warmStart: runDir });
    expect(warm.step).toBe(1);
    expect(warm.parametersSha256).toBe(first.parametersSha256);
    const file = join(folder, 'model.safetensors');
    writeFileSync(file, encodeModel(await readStoredModel(runDir)));
    expect((await train(other, { workers: 1, warmStart: file })).parametersSha256).toBe(first.parametersSha256);
    const smaller = job({ model: sequential(dense(8), dense(4)) });
    expect((await failure(train(smaller, { workers: 1, warmStart: runDir }))).code).toBe('E_RESUME');
  });
});

test('the last state is saved with any run folder, and metrics.jsonl has every step once', async () => {
  const runDir = newRunDir();
  const result = await train(job({ epochs: 2 }), { workers: 2, runDir });
  expect(steps(runDir)).toEqual([result.step]);
  const lines = linesOf(runDir);
  expect(lines.filter((l) => l.kind === 'step').map((l) => l.step)).toEqual(result.history.map((r) => r.step));
});

test('a job that wants checkpoints without a run folder is refused before anything starts', async () => {
  const error = await failure(train(job({ checkpoint: { everyEpochs: 1 } }), { workers: 1 }));
  expect(error.message).toContain('runDir');
});

test('the best parameters are saved when they are measured, without any other rule, and stay', async () => {
  const runDir = newRunDir();
  const monitor = 'val.loss';
  const result = await train(
    job({ epochs: 12, optimizer: adam({ lr: 0.1 }), checkpoint: { keepBest: monitor, keepLast: 1 } }),
    { workers: 2, runDir },
  );
  const measured = result.evaluations.map((e) => e.metrics[monitor]);
  const best = result.evaluations[measured.indexOf(Math.min(...measured))].step;
  expect(best).toBeLessThan(result.step);
  expect(steps(runDir).sort((a, b) => a - b)).toEqual([best, result.step]);
});
