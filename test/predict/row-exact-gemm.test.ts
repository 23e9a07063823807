import { describe, expect, it } from 'vitest';
import { type Gemm, type GemmOperands, wasmGemm } from '../../src/kernels/gemm.ts';
import { instantiateKernels } from '../../src/kernels/instantiate.ts';
import { GEMM_SCRATCH_BYTES } from '../../src/kernels/table.ts';
import { compileKernels } from '../../src/kernels/wasm.ts';
import { bindPlan, type OpenLaboratory, paddedBytes, planProduct } from '../../src/predict/row-exact-gemm.ts';

/** Sums over ranges of k of these lengths, each in f32 and added to those before: what libraries do, written plainly. */
function slowGemm(memory: WebAssembly.Memory, lengthsOf: (g: GemmOperands) => readonly number[]): Gemm {
  const f = new Float32Array(memory.buffer);
  return {
    name: 'slow',
    bind: (g) => () => {
      for (let i = 0; i < g.m; i++) {
        for (let j = 0; j < g.n; j++) {
          let c = g.beta ? f[g.c / 4 + i * g.ldc + j] : 0;
          let from = 0;
          for (const length of lengthsOf(g)) {
            let sum = 0;
            for (let k = from; k < from + length; k++) {
              const b = g.transB ? f[g.b / 4 + j * g.ldb + k] : f[g.b / 4 + k * g.ldb + j];
              sum = Math.fround(sum + Math.fround(f[g.a / 4 + i * g.lda + k] * b));
            }
            c = Math.fround(c + sum);
            from += length;
          }
          f[g.c / 4 + i * g.ldc + j] = c;
        }
      }
    },
  };
}

function laboratory(lengthsOf: (g: GemmOperands) => readonly number[]): OpenLaboratory {
  return (bytes) => {
    const pages = Math.ceil(bytes / 65536) + 1;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    return { memory, gemm: slowGemm(memory, lengthsOf), base: 64 };
  };
}

/** As OpenBLAS with blocks of 320 and an unroll of 16; `few` rows are summed in one go. */
const openblas = (few: number) => (g: GemmOperands) => {
  if (g.m < few) return [g.k];
  if (g.k === 400) return [208, 192];
  return g.k === 784 ? [320, 240, 224] : [g.k];
};

const { module } = await compileKernels({ simd: 'simd128' });

describe('planProduct', () => {
  const product = { m: 1, n: 6, k: 784, transB: 0, reference: 16 };

  it('leaves alone what has the bits already', () => {
    expect(planProduct({ ...product, k: 300 }, laboratory(openblas(8)))).toEqual({ kind: 'ranges', lengths: [300] });
    expect(planProduct({ ...product, m: 9 }, laboratory(openblas(8)))).toEqual({ kind: 'ranges', lengths: [784] });
    expect(planProduct({ ...product, m: 16 }, laboratory(openblas(99)))).toEqual({ kind: 'ranges', lengths: [784] });
  });

  it.each([0, 1])('finds the blocks that a library cuts k into (B transposed: %s)', (transB) => {
    const open = laboratory(openblas(8));
    expect(planProduct({ ...product, transB }, open)).toEqual({ kind: 'ranges', lengths: [320, 240, 224] });
    expect(planProduct({ ...product, transB, k: 400, m: 3 }, open)).toEqual({ kind: 'ranges', lengths: [208, 192] });
  });

  it.each([1, 2, 3])('is not taken in by the few numbers of a row that agree by luck (%s columns)', (n) => {
    for (const k of [24, 25, 26, 27, 28, 29, 30, 31, 32, 40, 64, 100]) {
      // Halves for many rows, one go for few: both give the same float for about one number in two.
      const halves = (g: GemmOperands) => (g.m < 8 ? [g.k] : [g.k >> 1, g.k - (g.k >> 1)]);
      const plan = planProduct({ m: 1, n, k, transB: 0, reference: 256 }, laboratory(halves));
      expect(plan, `k ${k}`).toEqual({ kind: 'padded', rows: 8 });
    }
  });

  it('takes more rows where no blocks give the bits', () => {
    const odd = (g: GemmOperands) => (g.m < 5 ? [g.k] : [7, g.k - 7]);
    expect(planProduct(product, laboratory(odd))).toEqual({ kind: 'padded', rows: 8 });
    const never = (g: GemmOperands) => [g.m, g.k - g.m];
    expect(planProduct(product, laboratory(never))).toEqual({ kind: 'padded', rows: 16 });
  });
});

describe('bindPlan', () => {
  it.each([0, 1])('computes the product, whatever the plan (B transposed: %s)', (transB) => {
    const [m, n, k] = [3, 5, 40];
    const memory = new WebAssembly.Memory({ initial: 128, maximum: 128, shared: true });
    const kernels = instantiateKernels(module, memory);
    const scratch = 64 * Math.ceil(kernels.heapBase / 64);
    const [a, b, c, spare] = [0, 1024, 4096, 8192].map((offset) => scratch + GEMM_SCRATCH_BYTES + offset);
    const f = new Float32Array(memory.buffer);
    for (let i = 0; i < m * k; i++) f[a / 4 + i] = (i % 13) - 6;
    for (let i = 0; i < k * n; i++) f[b / 4 + i] = (i % 7) - 3;
    const at = (i: number, j: number) => (transB ? f[b / 4 + j * k + i] : f[b / 4 + i * n + j]);
    const expected = Array.from({ length: m * n }, (_, ij) => {
      const [i, j] = [Math.floor(ij / n), ij % n];
      return Array.from({ length: k }, (_, l) => f[a / 4 + i * k + l] * at(l, j)).reduce((x, y) => x + y);
    });
    const operands = { transA: 0, transB, m, n, k, a, lda: k, b, ldb: transB ? k : n, beta: 0, c, ldc: n };
    for (const plan of [
      { kind: 'ranges', lengths: [40] },
      { kind: 'ranges', lengths: [16, 20, 4] },
      { kind: 'padded', rows: 8 },
    ] as const) {
      f.fill(Number.NaN, c / 4, c / 4 + m * n + 1);
      bindPlan(plan, operands, wasmGemm(kernels, scratch), kernels, spare)();
      expect(Array.from(f.subarray(c / 4, c / 4 + m * n))).toEqual(expected); // small integers: every order is exact
      expect(f[c / 4 + m * n]).toBeNaN();
      expect(paddedBytes(plan, operands)).toBe(plan.kind === 'padded' ? 4 * 8 * 45 : 0);
    }
  });
});
