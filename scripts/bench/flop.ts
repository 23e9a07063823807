import type { Workload } from '../../src/scaling/workloads.ts';

/**
 * Floating-point operations of the matrix products of one step on `rows` rows: forward, gradient of weights, of inputs. What a
 * convolution or attention costs as products, whoever computes it otherwise or skips what is masked.
 */
export function gemmFlop({ model, input }: Pick<Workload, 'model' | 'input'>, rows: number): number {
  switch (model.kind) {
    case 'dense':
      return denseFlop(model.sizes, rows);
    case 'cnn': {
      const [height, width, depth] = input.shape;
      const [first, second] = model.channels;
      const pixels = rows * height * width;
      const flat = (height / 4) * (width / 4) * second;
      return (
        2 * product(pixels, first, 9 * depth) + // nobody needs the gradient of the data
        3 * product(pixels / 4, second, 9 * first) +
        3 * product(rows, model.units, flat) +
        3 * product(rows, model.classes, model.units)
      );
    }
    case 'lstm': {
      const [time, features] = input.shape;
      const { hidden, classes } = model;
      return (
        2 * product(rows * time, 4 * hidden, features) +
        3 * product(rows * time, 4 * hidden, hidden) +
        3 * product(rows, classes, hidden)
      );
    }
    case 'gpt': {
      const [positions] = input.shape;
      const { width, layers, heads, vocabulary } = model;
      const tokens = rows * positions;
      const block =
        product(tokens, 3 * width, width) +
        product(tokens, width, width) +
        2 * product(tokens, 4 * width, width) +
        2 * rows * heads * product(positions, positions, width / heads);
      return 3 * (layers * block + product(tokens, vocabulary, width));
    }
  }
}

function product(m: number, n: number, k: number): number {
  return 2 * m * n * k;
}

function denseFlop(sizes: readonly number[], rows: number): number {
  let flop = 0;
  for (let i = 0; i + 1 < sizes.length; i++) {
    flop += (i === 0 ? 2 : 3) * product(rows, sizes[i + 1], sizes[i]); // nobody needs the gradient of the data
  }
  return flop;
}
