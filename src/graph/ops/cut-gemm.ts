import type { GemmArgs, Lowering } from '../op.ts';
import { shift } from './strides.ts';

/**
 * Products of at most so many multiply-adds OpenBLAS computes without packing (its small-matrix kernels for AVX-512), a quarter to
 * a half faster than a little larger ones; other GEMMs are as fast either way.
 */
const SMALL = 1e6;
/** Shorter parts than this are slower than the whole. */
const SHORTEST = 32;

/**
 * The product in parts along m (rows of the result) or k (what is summed), each small enough for unpacked kernels, where such parts are
 * not too short. A fixed rule: the bits depend on the shape alone. Not for a transposed right side, which has no such kernel.
 */
export function cutGemm(l: Lowering, axis: 'm' | 'k', g: GemmArgs): void {
  const { transA, m, n, k, lda, ldb, ldc } = g;
  const length = g[axis];
  const part = Math.ceil(length / Math.ceil((m * n * k) / SMALL));
  if (part >= length || part < SHORTEST) {
    l.gemm(g);
    return;
  }
  for (let start = 0; start < length; start += part) {
    const size = Math.min(part, length - start);
    const alongA = (axis === 'm') === transA ? start : start * lda;
    if (axis === 'm') l.gemm({ ...g, m: size, a: shift(g.a, alongA), c: shift(g.c, start * ldc) });
    else {
      const b = shift(g.b, start * ldb);
      l.gemm({ ...g, k: size, a: shift(g.a, alongA), b, beta: start === 0 ? g.beta : 1 });
    }
  }
}
