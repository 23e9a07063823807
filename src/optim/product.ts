import type { FloatArray } from './contract.ts';

/** `View.gemm` in plain loops: c = op(a) op(b) + beta c, dense and row-major. */
export function plainGemm(
  transA: 0 | 1, transB: 0 | 1, m: number, n: number, k: number, a: FloatArray, b: FloatArray, beta: 0 | 1, c: FloatArray,
): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) {
        sum += a[transA === 1 ? l * m + i : i * k + l] * b[transB === 1 ? j * k + l : l * n + j];
      }
      c[i * n + j] = beta === 1 ? c[i * n + j] + sum : sum;
    }
  }
} // biome-ignore format: grouped by operand
