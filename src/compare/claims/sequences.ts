/** Experiments on networks of other kinds: the same digits as images and as sequences, and a chaotic series. */
import { conv2d } from '../../nn/layers/convolution.ts';
import { dense } from '../../nn/layers/dense.ts';
import { flatten } from '../../nn/layers/flatten.ts';
import { lstm } from '../../nn/layers/recurrent.ts';
import { reshape } from '../../nn/layers/reshape.ts';
import { sequential } from '../../nn/layers/sequential.ts';
import type { Cell, Experiment } from './contract.ts';
import { digits, mackeyGlass, SERIES_LENGTH } from './data.ts';
import { RATES, tuneAndRun, type Way } from './learned.ts';
import { finalOf } from './training.ts';

export const CONVOLUTION = 'convolution, digits';
export const LSTM_DIGITS = 'LSTM, digits';
export const LSTM_SERIES = 'LSTM, series';

export const architectures: Experiment = {
  id: 'architectures',
  about:
    'Three small networks: 3 x 3 convolutions (16, then 32 with stride 2) on digits as images; an LSTM of 32 that reads the same digits row by row; an LSTM of 32 that forecasts a chaotic series (Mackey-Glass, delay 17) six steps ahead from sixteen. Batches of 32, gradients clipped to a global norm of 1, 12 epochs: for each optimizer the best of nine learning rates by the final validation loss, then eight fresh seeds.',
  run: async (laboratory) => {
    const shared = { batchSize: 32, epochs: 12, evaluateEpochs: 12, clip: { globalNorm: 1 } };
    const image = sequential(
      reshape([8, 8]),
      conv2d(16, 3, 'relu', { padding: 'same' }),
      conv2d(32, 3, 'relu', { padding: 'same', stride: 2 }),
      flatten(),
      dense(10),
    );
    const tasks: readonly [string, Pick<Way, 'data' | 'model'>][] = [
      [CONVOLUTION, { data: digits(), model: image }],
      [LSTM_DIGITS, { data: digits(), model: sequential(reshape([8, 8]), lstm(32), dense(10)) }],
      [LSTM_SERIES, { data: mackeyGlass(), model: sequential(reshape([SERIES_LENGTH, 1]), lstm(32), dense(1)) }],
    ];
    const rows: Cell[][] = [];
    for (const [task, what] of tasks) {
      const ways = ['sgd', 'momentum', 'rmsprop', 'adam'].map(
        (kind): Way => ({ ...shared, ...what, name: kind, kind }),
      );
      const { runs } = await tuneAndRun(laboratory, ways, RATES, 8, (run) => finalOf(run, 'val.loss'));
      for (const { way, lr, seed, run } of runs) rows.push([task, way.name, lr, seed, finalOf(run, 'val.loss')]);
    }
    return { columns: ['network', 'optimizer', 'lr', 'seed', 'validation loss'], rows };
  },
};
