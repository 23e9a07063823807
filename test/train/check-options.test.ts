import { adam, crossEntropy, dense, sequential, type TrainOptions, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { expect, test } from 'vitest';
import { resolveJob } from '../../src/train/resolve-job.ts';
import { failure } from '../data/folder.ts';
import { blobs } from '../fixtures/blobs.ts';

const job = {
  data: { train: arrays(blobs(40, 3, 2)) },
  model: sequential(dense(2)),
  loss: crossEntropy(),
  optimizer: adam({ lr: 0.01 }),
};

test.each([
  [{ worker: 2 }, 'option worker', 'did you mean workers?'],
  [{ workers: '2' }, 'option workers', 'got "2"'],
  [{ module: '/home/me/train.ts' }, 'option module', 'import.meta.url'],
  [{ module: 'https://example.org/train.js' }, 'option module', 'import.meta.url'],
  [{ runDir: '' }, 'option runDir', 'a path'],
  [{ onProgress: {} }, 'option onProgress', 'terminal()'],
  [{ sinks: {} }, 'option sinks', 'an array'],
  [{ signal: new AbortController() }, 'option signal', 'an AbortSignal'],
])('%j is refused', async (options, where, text) => {
  const error = await failure('E_OPTION', () => train(job, options as TrainOptions));
  expect(error.detail.where).toBe(where);
  expect(error.message).toContain(text);
});

test('a callback that does not exist or is no function is refused', async () => {
  const callbacks = (value: object) => ({ ...job, callbacks: value }) as Parameters<typeof resolveJob>[0];
  expect((await failure('E_JOB', () => resolveJob(callbacks({ onEpoch() {} })))).message).toContain(
    "did you mean 'onEpochEnd'?",
  );
  expect((await failure('E_JOB', () => resolveJob(callbacks({ onEnd: 1 })))).message).toMatch(
    /job\.callbacks\.onEnd.*a function, got 1/,
  );
  expect(resolveJob(callbacks({ onEnd() {} })).callbacks.onEnd).toBeTypeOf('function');
});
