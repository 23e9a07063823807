import { train } from 'lockstep';
import { expect, test } from 'vitest';
import job from '../../examples/forecast.ts';

test('the LSTM beats the seasonal naive forecast of CO2 on years that it has not seen', async () => {
  const { metrics } = await train(job, { workers: 1 });
  expect(metrics['test.naive']).toBeCloseTo(2.488, 2); // in plain Python from the same file
  expect(metrics['test.rmse']).toBeLessThan(metrics['test.naive'] / 2);
});
