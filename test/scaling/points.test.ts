import type { LockstepError } from 'lockstep';
import { describe, expect, test } from 'vitest';
import { checkSizes, type PointOptions, planPoints } from '../../src/scaling/points.ts';

const options: PointOptions = {
  workers: [1, 2, 4],
  nodes: [1],
  mode: 'both',
  strongBatch: 512,
  weakBatch: 128,
  shardsOf: (batch) => batch / 64,
  batchFor: (shards) => (shards > 16 ? undefined : 64 * shards),
  fixedShards: false,
};

const show = (o: PointOptions) =>
  planPoints(o).map(
    ({ workers, nodes, batch, shards, roles }) => `${nodes}x${workers} ${batch}/${shards ?? '-'} ${roles.join()}`,
  );

describe('the points to time', () => {
  test('strong scaling on all numbers of workers, one worker with every smaller S, weak scaling', () => {
    expect(show(options)).toEqual([
      '1x1 512/- strong',
      '1x2 512/- strong',
      '1x4 512/- strong,weak',
      '1x1 512/1 sweep',
      '1x1 512/2 sweep',
      '1x1 512/4 sweep',
      '1x1 128/- weak',
      '1x2 256/- weak',
    ]);
  });

  test('a fixed S is not varied; weak scaling gives each worker as many shards', () => {
    expect(show({ ...options, workers: [1, 2], shardsOf: () => 8, fixedShards: true })).toEqual([
      '1x1 512/- strong',
      '1x2 512/- strong',
      '1x1 128/- weak',
      '1x2 256/16 weak',
    ]);
  });

  test('one worker is always there to compare with; nodes multiply', () => {
    expect(show({ ...options, workers: [2], nodes: [1, 2], mode: 'weak' })).toEqual([
      '1x1 128/- weak',
      '1x2 256/- weak',
      '2x2 512/- weak',
    ]);
  });

  test('more workers than shards are refused, and it is said what would give them something to do', () => {
    const refuse = (o: Partial<PointOptions>) => () => planPoints({ ...options, ...o });
    expect(refuse({ workers: [16] })).toThrow(/--workers 16.*at most 8.*--batch-size 1024.*--shards 16/);
    expect(refuse({ workers: [16], fixedShards: true })).toThrow(/--shards 16/);
    expect(refuse({ nodes: [3], workers: [4] })).toThrow(/--workers 4 on 3 nodes.*12 workers/);
    expect(refuse({ workers: [32] })).toThrow(/give --shards 32, or fewer/); // no batch makes so many by itself
  });

  test('of numbers that nobody asked for those without shards are left out, but for weak scaling', () => {
    expect(show({ ...options, strongBatch: 64, weakBatch: 64, workers: [1, 2], lenient: true })).toEqual([
      '1x1 64/- strong,weak',
      '1x2 128/- weak',
    ]);
  });
});

test.each([[[0]], [[-1]], [[1.5]], [[Number.NaN]]])('sizes like %s are refused', (sizes) => {
  expect(() => checkSizes('--workers', sizes)).toThrow(
    expect.objectContaining({ code: 'E_OPTION' } satisfies Partial<LockstepError>),
  );
});

test('sizes are sorted, each once', () => {
  expect(checkSizes('--workers', [4, 1, 4, 2])).toEqual([1, 2, 4]);
});
