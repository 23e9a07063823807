/**
 * The next twelve months of CO2 at Mauna Loa from the last three years: an LSTM that corrects the same month of last year plus the
 * year's growth. `npm run -s lockstep -- train examples/forecast.ts`. Trained on 1965 to 2004, validated on the years to 2009,
 * tested on 2010 to 2020; `test.rmse` and `test.naive` are in ppm.
 */
import { readFileSync } from 'node:fs';
import { adam, cosineDecay, defineJob, dense, lstm, type MetricDef, meanSquaredError, rmse } from 'lockstep';
import { windows } from 'lockstep/data';
import * as ops from 'lockstep/ops';

const [length, horizon] = [36, 12];
const file = new URL('../node_modules/vega-datasets/data/co2-concentration.csv', import.meta.url);
const series = readFileSync(file, 'utf8')
  .trim()
  .split('\n')
  .slice(1)
  .map((line) => ({ year: Number(line.slice(0, 4)), co2: Number(line.split(',')[1]) }))
  .filter(({ year }) => year >= 1965); // earlier years lack months

/** Windows whose forecast lies in these years; what they see may lie before. */
function years(from: number, to: number) {
  const first = series.findIndex(({ year }) => year >= from);
  const part = series.slice(Math.max(0, first - length)).filter(({ year }) => year <= to);
  const values = part.map(({ co2 }) => co2);
  return windows(values, { length, horizon });
}

type Field = Parameters<MetricDef['sums']>[1][string];
/** x [rows, length, 1] -> [rows, horizon]: the last twelve months again. */
const lastYear = (x: Field) => ops.reshape(ops.slice(x, 1, length - horizon), [-1, horizon]);

/** The error of the seasonal naive forecast on the same rows. */
const naive: MetricDef = {
  name: 'naive',
  mode: 'min',
  sums: (_, { x, y }) => ({
    square: { value: ops.square(ops.sub(lastYear(x), y)) },
    count: { value: ops.constant(1, y.shape) },
  }),
  finish: ({ square, count }) => Math.sqrt(square / count),
};

export default defineJob({
  data: { train: years(1965, 2004), validation: years(2005, 2009), test: years(2010, 2020) },
  model: ({ x }) => {
    const change = ops.sub(x, ops.slice(x, 1, -1)); // against the last month that is known
    const growth = ops.sub(ops.mean(ops.slice(x, 1, 24), { axis: 1 }), ops.mean(ops.slice(x, 1, 12, 24), { axis: 1 }));
    return ops.add(ops.add(lastYear(x), growth), dense(horizon)(lstm(32)(change)));
  },
  loss: meanSquaredError(),
  metrics: [rmse(), naive],
  optimizer: adam({ lr: cosineDecay({ initial: 3e-3 }) }),
  clip: { globalNorm: 1 },
  batchSize: 64,
  epochs: 40,
  seed: 1,
});
