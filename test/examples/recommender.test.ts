import { train } from 'lockstep';
import { expect, test } from 'vitest';
import job from '../../examples/recommender.ts';

/** F1 on the same held-out pairs from popularity alone: FACTORS=0 lockstep train examples/recommender.ts */
const POPULARITY = 0.495;

test('factors of origins and destinations find routes that popularity does not', async () => {
  const { metrics } = await train({ ...job, epochs: 6 }, { workers: 1 });
  expect(metrics['test.f1']).toBeGreaterThan(POPULARITY + 0.15);
});
