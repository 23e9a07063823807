import type { KernelTable, Pointer } from './table.ts';

type BatchNormKernels = Pick<
  KernelTable,
  'channelSums' | 'batchNorm' | 'batchNormGrad' | 'batchNormParameterGrad' | 'batchNormInference'
>;

/** The kernels of batch normalisation as the table defines them: part of `referenceKernels`. */
export function batchNormKernels(real: Float32Array | Float64Array, sums: Float64Array): BatchNormKernels {
  /** Calls `visit` with the channel and the place of each element of [outer, channels, inner]. */
  const each = (outer: number, channels: number, inner: number, visit: (channel: number, at: number) => void): void => {
    for (let i = 0; i < outer * channels * inner; i++) visit(Math.floor(i / inner) % channels, i);
  };
  const moments = (p: Pointer, channels: number, epsilon: number) => {
    const at = (i: number): number => sums[(p >> 3) + i];
    const n = at(2 * channels);
    return Array.from({ length: channels }, (_, c) => {
      const mean = at(c) / n;
      return { n, mean, r: 1 / Math.sqrt(at(channels + c) / n - mean * mean + epsilon) };
    });
  };
  return {
    channelSums(out, a, b, outer, channels, inner) {
      const to = sums.subarray(out >> 3, (out >> 3) + 2 * channels + 1).fill(0);
      each(outer, channels, inner, (c, i) => {
        to[c] += real[(a >> 2) + i];
        to[channels + c] += real[(a >> 2) + i] * real[(b >> 2) + i];
      });
      to[2 * channels] = outer * inner;
    },
    batchNorm(out, x, gamma, beta, from, outer, channels, inner, epsilon) {
      const of = moments(from, channels, epsilon);
      each(outer, channels, inner, (c, i) => {
        const normal = (real[(x >> 2) + i] - of[c].mean) * of[c].r;
        real[(out >> 2) + i] = normal * real[(gamma >> 2) + c] + real[(beta >> 2) + c];
      });
    },
    batchNormGrad(out, x, dy, gamma, from, gradientSums, outer, channels, inner, epsilon) {
      const of = moments(from, channels, epsilon);
      const g = (i: number): number => sums[(gradientSums >> 3) + i];
      each(outer, channels, inner, (c, i) => {
        const { n, mean, r } = of[c];
        const normal = (real[(x >> 2) + i] - mean) * r;
        const product = r * (g(channels + c) - mean * g(c));
        real[(out >> 2) + i] = real[(gamma >> 2) + c] * r * (real[(dy >> 2) + i] - g(c) / n - (normal * product) / n);
      });
    },
    batchNormParameterGrad(out, from, gradientSums, channels, epsilon, which) {
      moments(from, channels, epsilon).forEach(({ mean, r }, c) => {
        const sum = sums[(gradientSums >> 3) + c];
        const product = r * (sums[(gradientSums >> 3) + channels + c] - mean * sum);
        real[(out >> 2) + c] = which === 0 ? product : sum;
      });
    },
    batchNormInference(out, x, gamma, beta, mean, variance, outer, channels, inner, epsilon) {
      each(outer, channels, inner, (c, i) => {
        const r = 1 / Math.sqrt(real[(variance >> 2) + c] + epsilon);
        const normal = (real[(x >> 2) + i] - real[(mean >> 2) + c]) * r;
        real[(out >> 2) + i] = normal * real[(gamma >> 2) + c] + real[(beta >> 2) + c];
      });
    },
  };
}
