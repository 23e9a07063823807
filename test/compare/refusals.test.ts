import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCommandLine } from '../../src/cli/commands.ts';
import { UsageError } from '../../src/cli/usage.ts';
import { type CompareOptions, compare } from '../../src/compare/compare.ts';
import { LockstepError } from '../../src/errors.ts';
import { dense, sequential } from '../../src/nn/index.ts';
import type { Job } from '../../src/train/job.ts';
import small from '../fixtures/small-job.ts';

const runDir = join(tmpdir(), `lockstep-refused-${process.pid}`);

/** The error of a comparison in which no slot may be opened: it must be known before any training. */
async function refusal(options: Partial<CompareOptions>, job: Job = small): Promise<string> {
  const openSlot = () => {
    throw new Error('training began');
  };
  try {
    await compare({ jobs: [{ name: 'small', job, openSlot }], runDir, slots: 2, ...options });
  } catch (error) {
    if (error instanceof LockstepError) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'none';
}

describe('compare refuses before anything is trained', () => {
  it('an unknown optimizer', async () => {
    const message = await refusal({ optimizers: ['sgd', 'adm'] });
    expect(message).toMatch(
      /^E_OPTION option --optimizers: expected names among sgd, .*, got 'adm'; did you mean 'adam'\?$/,
    );
  });

  it.each([
    ['lbfgs', /^E_OPTION optimizer lbfgs: expected batchSize 'full'.*, got batches of 24 of 72 rows/],
    ['muon', /^E_OPTION optimizer muon: expected/],
  ])('%s, asked for where it cannot train the job', async (optimizer, message) => {
    const flat = { ...small, model: sequential(dense(3)) };
    expect(await refusal({ optimizers: ['sgd', optimizer] }, flat)).toMatch(message);
  });

  it.each([
    ['val.acuracy', "did you mean 'val.accuracy'?"],
    ['accuracy', "did you mean 'val.accuracy'?"],
    ['zzz', 'use one of those, or add the metric to the job'],
  ])('the target %s, which the job does not report', async (metric, fix) => {
    const message = await refusal({ target: { metric, value: 0.9 } });
    expect(message).toBe(
      `E_OPTION option --target ${metric}: expected a metric that the job reports on validation: val.loss, val.accuracy, got '${metric}'; ${fix}`,
    );
  });

  it.each([[-0.1], [0], [Number.NaN], [Number.POSITIVE_INFINITY]])('a learning rate of %d', async (rate) => {
    expect(await refusal({ learningRates: [0.1, rate] })).toContain(
      'option --learning-rates: expected numbers > 0, got',
    );
    expect(await refusal({}, { ...small, optimizer: { kind: 'adam', lr: rate } })).toContain('optimizer.lr: expected');
  });

  it('a job without validation', async () => {
    const message = await refusal({}, { ...small, data: { train: small.data.train } });
    expect(message).toMatch(/^E_JOB job.data.validation: expected a validation split/);
  });

  it('one wrong job among several', async () => {
    const openSlot = () => {
      throw new Error('training began');
    };
    const jobs = [small, { ...small, batchSize: -1 }].map((job, i) => ({ name: `job${i}`, job, openSlot }));
    expect(await refusal({ jobs })).toMatch(/^E_JOB job.batchSize/);
  });

  it('and leaves nothing behind', () => expect(existsSync(runDir)).toBe(false));
});

describe('the command line of compare', () => {
  it.each([
    [['--learning-rates', '0.1,-0.1'], /numbers > 0 separated by commas, got "0.1,-0.1"/],
    [['--budget', '10'], /a time such as 90s, 10m or 1h/],
    [['--target', '0.9'], /metric=value/],
    [['--optimizers', 'adam,'], /names separated by commas/],
    [['--seeds', '1'], /a whole number of at least 2/],
    [['--budgt', '10m'], /did you mean --budget\?/],
  ])('%j is refused', (args, message) => {
    expect(() => readCommandLine(['compare', 'x.ts', ...args], '1')).toThrow(UsageError);
    expect(() => readCommandLine(['compare', 'x.ts', ...args], '1')).toThrow(message);
  });

  it('documents its options', () => {
    const request = readCommandLine(['compare', '--help'], '1');
    const text = request.kind === 'text' ? request.text : '';
    for (const option of ['--optimizers', '--learning-rates', '--budget', '--target', '--seeds', '--resume']) {
      expect(text).toContain(option);
    }
  });
});
