import * as ops from '../../src/graph/ops/index.ts';
import type { Nd } from './naive.ts';
import * as np from './naive.ts';
import type { OpRow } from './op-cases.ts';

/** Elements of x whose index agrees at `axis`. */
function channel(x: Nd, axis: number, c: number): number[] {
  const found: number[] = [];
  np.tabulate(x.shape, (index) => {
    if (index[axis] === c) found.push(np.at(x, index));
    return 0;
  });
  return found;
}

const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

export const BATCH_NORM_ROWS: readonly OpRow[] = [
  {
    op: 'batchNorm',
    once: true,
    make(random) {
      const shape = [random.int(3, 5), ...Array.from({ length: random.int(1, 3) }, () => random.int(1, 5))];
      const axis = random.int(1, shape.length - 1);
      const channels = [shape[axis]];
      return {
        parameters: { a: { shape }, gamma: { shape: channels }, beta: { shape: channels } },
        build: ({ a, gamma, beta }) =>
          ops.batchNorm(a, gamma, beta, { axis: random.int(0, 1) === 0 ? axis : axis - shape.length, epsilon: 0.1 }),
        expected: ({ a, gamma, beta }) => {
          const moments = Array.from({ length: shape[axis] }, (_, c) => {
            const values = channel(a, axis, c);
            const centre = mean(values);
            return { centre, deviation: Math.sqrt(mean(values.map((v) => (v - centre) ** 2)) + 0.1) };
          });
          return np.tabulate(shape, (index) => {
            const c = index[axis];
            return ((np.at(a, index) - moments[c].centre) / moments[c].deviation) * gamma.data[c] + beta.data[c];
          });
        },
      };
    },
  },
  {
    op: 'batchNormInference',
    steps: true,
    make(random) {
      const shape = [random.int(1, 4), random.int(1, 3), random.int(1, 9)];
      const channels = [shape[2]];
      const parameters = Object.fromEntries(['gamma', 'beta', 'centre'].map((name) => [name, { shape: channels }]));
      return {
        parameters: { a: { shape }, ...parameters, variance: { shape: channels, low: 0.1, high: 2 } },
        build: ({ a, gamma, beta, centre, variance }) => ops.batchNormInference(a, gamma, beta, centre, variance),
        expected: ({ a, gamma, beta, centre, variance }) =>
          np.tabulate(shape, (index) => {
            const c = index[2];
            const normal = (np.at(a, index) - centre.data[c]) / Math.sqrt(variance.data[c] + 1e-5);
            return normal * gamma.data[c] + beta.data[c];
          }),
      };
    },
  },
];
