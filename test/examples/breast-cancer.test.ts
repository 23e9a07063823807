import { train } from 'lockstep';
import { expect, test } from 'vitest';
import job from '../../examples/breast-cancer.ts';

test('tells benign tumours from malignant ones', async () => {
  const { metrics } = await train(job, { workers: 1 });
  expect(metrics['test.accuracy']).toBeGreaterThan(0.93);
});
