import { accuracy, adam, crossEntropy, defineJob, dense, gru, lstm, rnn, sequential, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { expect, test } from 'vitest';
import { philox } from '../fixtures/philox.ts';

const [ROWS, TIME] = [600, 12];

/** Is the first number of the row's own sequence positive? Padding is noise, so the answer needs memory and lengths. */
function sequences() {
  const random = philox(3);
  const lengths = Int32Array.from({ length: ROWS }, () => 3 + Math.floor(random() * (TIME - 2)));
  const x = Float32Array.from({ length: ROWS * TIME }, () => 2 * random() - 1);
  const y = lengths.map((_, row) => Number(x[row * TIME] > 0));
  return arrays({ x: { data: x, shape: [ROWS, TIME, 1] }, n: { data: lengths, shape: [ROWS], size: TIME + 1 }, y });
}

test.each(['rnn', 'lstm', 'gru'] as const)('%s remembers, with the same bytes on 1 and 2 workers', async (cell) => {
  const make = { rnn, lstm, gru }[cell];
  const job = defineJob({
    data: { train: sequences(), validation: 0.2 },
    model: ({ x, n }) => dense(2)(make(12, { layers: 2, bidirectional: true, dropout: 0.1 })(x, { lengths: n })),
    loss: crossEntropy(),
    metrics: [accuracy()],
    optimizer: adam({ lr: 1e-2 }),
    clip: { globalNorm: 1 },
    batchSize: 128,
    shards: 4,
    epochs: 6,
    seed: 5,
  });
  const one = await train(job, { workers: 1 });
  expect(one.metrics['val.accuracy']).toBeGreaterThan(0.8);
  const two = await train(job, { workers: 2 });
  expect(two.parametersSha256).toBe(one.parametersSha256);
  expect(two.metrics).toEqual(one.metrics);
});

test('shards follow the rows, not the time steps', async () => {
  const job = defineJob({
    data: { train: sequences() },
    model: ({ x }) => sequential(lstm(4), dense(2))(x),
    loss: crossEntropy(),
    optimizer: adam(),
    batchSize: 256,
    epochs: 1,
    seed: 1,
  });
  const { shards } = await train(job, { workers: 1 });
  expect(shards).toBe(4); // 64 rows in each product with the state
});
