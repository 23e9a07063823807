import { LockstepError, train } from 'lockstep';
import { tsImport } from 'tsx/esm/api';
import { describe, expect, test } from 'vitest';
import job, { asynchronous, cursed, mislabelled, signDescent, sparse } from '../fixtures/custom-job.ts';
import { fixtureUrl } from '../support/fixture.ts';

type Exports = typeof import('../fixtures/custom-job.ts');
const module = fixtureUrl('custom-job').href;

async function failure(run: Promise<unknown>): Promise<LockstepError> {
  const error = await run.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(LockstepError);
  return error as LockstepError;
}

describe('custom code in workers', () => {
  test('a custom optimizer and computed rows give the same bytes on 1 and 3 workers, and in TypeScript', async () => {
    const runs = [];
    for (const workers of [1, 3]) runs.push(await train(job, { workers, module }));
    expect(runs[0].metrics['val.accuracy']).toBeGreaterThan(0.95);
    // As a program that runs its job through tsx has it: the code is found by its text, and workers load TypeScript.
    const source = '../fixtures/custom-job.ts';
    const typed = (await tsImport(source, import.meta.url)) as Exports;
    expect(typed.default.data.train).not.toBe(job.data.train);
    runs.push(await train(typed.default, { workers: 2, module: new URL(source, import.meta.url).href }));
    for (const run of runs) {
      expect(run.parametersSha256).toBe(runs[0].parametersSha256);
      expect(run.metrics).toEqual(runs[0].metrics);
    }
  });

  test('rows that are written in part are zero elsewhere, whichever rows a worker has read before', async () => {
    const [one, two, three] = await Promise.all([1, 2, 3].map((workers) => train(sparse, { workers, module })));
    expect(two.parametersSha256).toBe(one.parametersSha256);
    expect(three.parametersSha256).toBe(one.parametersSha256);
  });

  test('that reads asynchronously is refused: its rows would come too late', async () => {
    const error = await failure(train(asynchronous, { workers: 2, module }));
    expect(error.code).toBe('E_CUSTOM_CODE');
    expect(error.message).toContain('got a promise');
  });

  test('is found in a module that was loaded a second time', async () => {
    const again = (await import(/* @vite-ignore */ `${module}?again`)) as Exports;
    expect(again.signDescent).not.toBe(signDescent);
    const result = await train(again.default, { workers: 2, module });
    expect(result.step).toBe(15);
  });

  test('without a module it is refused with the remedy, and nothing is started', async () => {
    const error = await failure(train(job, { workers: 2 }));
    expect(error.code).toBe('E_CUSTOM_CODE');
    expect(error.message).toContain('module: import.meta.url');
  });

  test('that no export contains is refused', async () => {
    const hidden = { ...job, optimizer: { ...job.optimizer } };
    const elsewhere = fixtureUrl('blobs').href;
    const error = await failure(train(hidden, { workers: 1, module: elsewhere }));
    expect(error.code).toBe('E_CUSTOM_CODE');
    expect(error.message).toContain('blobs.js');
  });

  test('that throws in a worker ends the run with its message', async () => {
    const error = await failure(train(cursed, { workers: 2, module }));
    expect(error.code).toBe('E_WORKER');
    expect(error.message).toContain('row 77 is cursed');
  });

  test('that gives a label out of range is refused with row and field', async () => {
    const error = await failure(train(mislabelled, { workers: 2, module }));
    expect(error.code).toBe('E_LABEL');
    expect(error.message).toBe(
      'dataset: row 33, field y: expected integers from 0 to 1, got 2; correct `read`, or declare a larger size in the spec',
    );
  });
});
