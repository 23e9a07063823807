import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adam,
  crossEntropy,
  defineJob,
  dense,
  type Job,
  sequential,
  type TrainOptions,
  train,
  warmupCosine,
} from 'lockstep';
import { arrays } from 'lockstep/data';
import { afterAll, describe, expect, it } from 'vitest';
import { failure } from '../data/folder.ts';
import { blobs } from '../fixtures/blobs.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-trial-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type BlobJob = Job<{ x: 'f32'; y: 'i32' }>;

/** 70 training rows in batches of 16: 5 steps an epoch, the last of 6 rows. */
function job(overrides: Partial<BlobJob> = {}): BlobJob {
  return defineJob({
    data: { train: arrays(blobs(100, 6, 3)), validation: 0.2, test: 0.1 },
    model: sequential(dense(16, 'relu'), dense(3)),
    loss: crossEntropy(),
    optimizer: adam({ lr: warmupCosine({ peak: 0.02, warmupSteps: 3 }) }),
    batchSize: 16,
    epochs: 8,
    shards: 2,
    earlyStopping: { monitor: 'val.loss' },
    ...overrides,
  });
}

/** What the steps were, without times. */
async function run(options: TrainOptions, j = job()) {
  const result = await train(j, options);
  const steps = Array.from(result.history, ({ loss, lr, gradNorm, samples }) => ({ loss, lr, gradNorm, samples }));
  return { ...result, steps };
}

describe('overfitBatches', () => {
  it('runs the first steps of the ordinary run, and then the same batches again', async () => {
    const ordinary = await run({ workers: 1 }, job({ earlyStopping: undefined, epochs: 8 }));
    const trial = await run({ workers: 1, overfitBatches: 2 });
    // The schedule too: the trial has as many updates as the job.
    expect(trial.steps.slice(0, 2)).toEqual(ordinary.steps.slice(0, 2));
    expect(trial.steps[2].loss).not.toBe(ordinary.steps[2].loss);
    expect([trial.step, trial.epoch, trial.stopped]).toEqual([40, 8, 'epochs']);
    expect(trial.steps.map((s) => s.samples)).toEqual(new Array(40).fill(16));
    expect(trial.steps[38].loss).toBeLessThan(0.2 * trial.steps[0].loss);
    expect(Object.keys(trial.metrics)).toEqual(['accuracy']);
    expect(trial.evaluations).toEqual([]);
  });

  it('repeats batches exactly: without learning, the losses of a period come again', async () => {
    const { steps } = await run({ workers: 2, overfitBatches: 3 }, job({ optimizer: adam({ lr: 1e-30 }), epochs: 2 }));
    const losses = steps.map((s) => s.loss);
    expect(new Set(losses.slice(0, 3)).size).toBe(3);
    expect(losses.slice(0, 5)).toEqual([...losses.slice(0, 3), ...losses.slice(0, 2)]);
    expect(losses.slice(5)).toEqual(losses.slice(0, 5)); // a new epoch begins with the first batch
  });

  it('takes all batches as they are when there are no more', async () => {
    const { steps } = await run({ workers: 1, overfitBatches: 9 });
    expect(steps.slice(0, 6).map((s) => s.samples)).toEqual([16, 16, 16, 16, 6, 16]);
  });

  it('needs no run folder, also where the job saves checkpoints', async () => {
    const j = job({ checkpoint: { everySteps: 1, keepBest: 'val.loss' }, epochs: 2 });
    const result = await run({ workers: 1, overfitBatches: 1 }, j);
    expect([result.step, result.checkpoint]).toEqual([10, undefined]);
    expect(result.steps).toEqual((await run({ workers: 1, overfitBatches: 1 }, job({ epochs: 2 }))).steps);
  });

  it('says so in the checkpoint: the job does not go on from it', async () => {
    const runDir = join(folder, 'overfit');
    await train(job(), { workers: 1, overfitBatches: 1, runDir });
    const error = await failure('E_RESUME', () => train(job(), { workers: 1, runDir, resume: 'auto' }));
    expect(error.message).toContain('overfitBatches');
  });
});

describe('fastDevRun', () => {
  it('is one step and one evaluation, without test and files', async () => {
    const runDir = join(folder, 'nothing');
    const j = job({ checkpoint: { everySteps: 1, keepBest: 'val.loss' } });
    const result = await run({ workers: 2, fastDevRun: true, runDir, resume: 'auto' }, j);
    const [first] = (await run({ workers: 1, overfitBatches: 1 })).steps;
    expect(result.steps.map(({ loss, samples }) => ({ loss, samples }))).toEqual([{ loss: first.loss, samples: 16 }]);
    expect(result.evaluations.map((e) => e.split)).toEqual(['val']);
    expect(existsSync(runDir)).toBe(false);
  });

  it.each([
    [{ overfitBatches: 0 }, 'a whole number of at least 1'],
    [{ overfitBatches: 1.5 }, 'a whole number of at least 1'],
    [{ overfitBatches: 1, fastDevRun: true }, 'one kind of trial'],
  ])('%j is refused', async (options, expected) => {
    const error = await failure('E_OPTION', () => train(job(), { workers: 1, ...options }));
    expect(error.detail.expected).toBe(expected);
  });
});
