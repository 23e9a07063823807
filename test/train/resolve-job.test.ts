import { describe, expect, it } from 'vitest';
import { resolveJob } from '../../src/train/resolve-job.ts';
import smallJob from '../fixtures/small-job.ts';

function refusal(job: unknown): string {
  try {
    Reflect.apply(resolveJob, undefined, [job]);
  } catch (error) {
    return error instanceof Error ? `${Reflect.get(error, 'code')} ${error.message}` : String(error);
  }
  return 'fine';
}

describe('a job that is none', () => {
  it.each<[unknown, string]>([
    [undefined, 'nothing'],
    [null, 'null'],
    [3, '3'],
  ])('%j', (job, got) =>
    expect(refusal(job)).toBe(
      `E_JOB job: expected a job, got ${got}; make one with defineJob({ data, model, loss, optimizer, ... })`,
    ),
  );
});

describe('a field that is wrong is named, with what it should be', () => {
  it.each<[object, string]>([
    [{ epochs: 0 }, 'job.epochs: expected a whole number of at least 1, got 0'],
    [{ epochs: 1.5 }, 'job.epochs: expected a whole number of at least 1, got 1.5'],
    [{ epochs: '3' }, 'job.epochs: expected a whole number of at least 1, got "3"'],
    [{ seed: -1 }, 'job.seed: expected a whole number of at least 0, got -1'],
    [{ shards: 1e6 }, 'job.shards: expected a whole number from 1 to 65536, got 1000000'],
    [{ batchSize: 'all' }, 'job.batchSize: expected \'full\' or a whole number of at least 1, got "all"'],
    [{ metrics: 'accuracy' }, 'job.metrics: expected a list, got "accuracy"'],
    [{ metrics: ['accuracy', 3] }, 'job.metrics[1]: expected a metric or its name, got 3'],
    [{ checkpoint: { everyMinutes: 0 } }, 'job.checkpoint.everyMinutes: expected a number > 0, got 0'],
    [{ checkpoint: 3 }, 'job.checkpoint: expected an object with options, got 3'],
    [{ earlyStopping: {} }, 'job.earlyStopping.monitor: expected a string, got nothing; give it a value'],
    [{ earlyStopping: { monitor: 'val.loss', mode: 'top' } }, 'job.earlyStopping.mode: expected one of min, max'],
    [{ model: 3 }, 'job.model: expected a model: sequential(...) or a function of named inputs, got 3'],
    [{ data: {} }, 'job.data: expected the training rows and more: { train: csv(...), validation: 0.1 }, got {}'],
    [{ optimizer: 'adam' }, 'job.optimizer: expected an optimizer such as adam({ lr: 1e-3 }), got "adam"'],
  ])('%j', (change, message) => expect(refusal({ ...smallJob, ...change })).toContain(`E_JOB ${message}`));
});

describe('a field that does not exist is refused with the nearest that does', () => {
  it.each<[object, string]>([
    [{ optimiser: 3 }, "did you mean 'optimizer'?"],
    [
      { clip: { globalNrm: 1 } },
      "job.clip: expected options among globalNorm, tensorNorm, blockRms, adaptive, value, got unknown option 'globalNrm'; did you mean 'globalNorm'?",
    ],
    [{ checkpoint: { everyStep: 1 } }, "did you mean 'everySteps'?"],
    [{ earlyStopping: { monitr: 'val.loss' } }, "did you mean 'monitor'?"],
    [{ evaluate: { evryEpochs: 1 } }, "did you mean 'everyEpochs'?"],
  ])('%j', (change, message) => expect(refusal({ ...smallJob, ...change })).toContain(message));
});
