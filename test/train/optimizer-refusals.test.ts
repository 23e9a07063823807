import { channel } from 'node:diagnostics_channel';
import { crossEntropy, defineJob, dense, LockstepError, type OptimizerDescription, sequential, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { blobs } from '../fixtures/blobs.ts';

/** Threads started meanwhile: what is wrong with an optimizer must be known before there are any. */
let started = 0;
const count = () => {
  started += 1;
};
beforeEach(() => {
  started = 0;
  channel('worker_threads').subscribe(count);
});
afterEach(() => channel('worker_threads').unsubscribe(count));

/** As somebody would write it who has no types, or a wrong value from the command line. */
const raw = (description: object): OptimizerDescription => description as OptimizerDescription;

describe('an optimizer that cannot be is refused before training', () => {
  test.each<[string, object, string]>([
    ['a negative rate', { kind: 'sgd', lr: -0.1 }, 'optimizer.lr: expected a number > 0, got -0.1'],
    ['no rate', { kind: 'sgd' }, 'optimizer.lr'],
    ['beta 1', { kind: 'adam', lr: 0.1, betas: [0.9, 1] }, 'optimizer.betas[1]: expected a number < 1, got 1'],
    [
      'beta below 0',
      { kind: 'lion', lr: 0.1, betas: [-0.1, 0.9] },
      'optimizer.betas[0]: expected a number >= 0, got -0.1',
    ],
    ['an unknown optimizer', { kind: 'adma', lr: 0.1 }, "got 'adma'; did you mean 'adam'?"],
    ['an unknown option', { kind: 'adam', lr: 0.1, beta: [0.9, 0.9] }, "unknown option 'beta'; did you mean 'betas'?"],
    [
      'an unknown option of a base',
      { kind: 'ema', base: { kind: 'sgd', lr: 0.1, momentun: 0.9 } },
      "did you mean 'momentum'?",
    ],
    ['Muon without hidden matrices', { kind: 'muon', lr: 0.02 }, 'optimizer muon: expected'],
    ['L-BFGS with mini-batches', { kind: 'lbfgs', lr: 1 }, 'optimizer lbfgs: expected full batches'],
    [
      'a plateau of a metric that nothing reports',
      { kind: 'sgd', lr: { kind: 'reduceOnPlateau', initial: 0.1, monitor: 'val.acuracy' } },
      'got "val.acuracy"; did you mean val.accuracy?',
    ],
    [
      'an unknown framework',
      { kind: 'adam', compat: 'jax' },
      'optimizer.compat: expected one of pytorch, keras, optax',
    ],
    ['a group of no parameter', { kind: 'sgd', lr: 0.1, groups: [{ match: 'biass' }] }, "did you mean 'bias'?"],
  ])('%s', async (_, optimizer, message) => {
    const job = defineJob({
      data: { train: arrays(blobs(60, 4, 2)), validation: 0.2 },
      model: sequential(dense(2)),
      loss: crossEntropy(),
      optimizer: raw(optimizer),
      batchSize: 16,
    });
    const error = await train(job, { workers: 1 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(LockstepError);
    expect((error as LockstepError).message).toContain(message);
    expect(started).toBe(0);
  });
});
