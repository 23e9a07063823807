import { describe, expect, it } from 'vitest';
import { chooseBackend, openGemm } from '../../src/kernels/backend.ts';
import { type Gemm, wasmGemm } from '../../src/kernels/gemm.ts';
import { GEMM_SCRATCH_BYTES } from '../../src/kernels/table.ts';
import { bothLevels, numbers, type Sides } from './sides.ts';

const levels = await bothLevels();
const choice = chooseBackend();

/** The wasm GEMM of both modules, and the BLAS where there is one. */
const backends: { name: string; sides: Sides; gemm: (scratch: number) => Gemm }[] = levels.map((sides) => ({
  name: `wasm ${sides.simd}`,
  sides,
  gemm: (scratch) => wasmGemm(sides.wasm, scratch),
}));
if (choice.gemm === 'blas') {
  backends.push({
    name: 'blas',
    sides: levels[1],
    gemm: (scratch) => openGemm(choice, levels[1].memory, levels[1].wasm, scratch),
  });
}

/** m, n, k: tails of the tile (6 x 8), more than one block of k (200) and of rows (258), empty, one row, one column. */
const SIZES = [
  [1, 1, 1],
  [6, 8, 10],
  [5, 7, 3],
  [7, 9, 4],
  [13, 17, 9],
  [12, 16, 200],
  [25, 12, 201],
  [3, 100, 5],
  [1, 33, 50],
  [2, 8, 64],
  [33, 1, 7],
  [30, 64, 32],
  [32, 2, 64],
  [64, 3, 30],
  [33, 70, 500],
  [259, 20, 33],
  [600, 9, 401],
  [0, 5, 3],
  [5, 0, 3],
  [4, 5, 0],
];

describe.each(backends)('$name', ({ sides, gemm }) => {
  it.each([
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ])('equals f64 sums, transA %d, transB %d, with beta 0 and 1', (transA, transB) => {
    for (const [m, n, k] of SIZES) {
      for (const beta of [0, 1]) {
        sides.reset();
        // Rows are wider than the matrices, so a wrong stride or a write beyond a row shows.
        const lda = (transA ? m : k) + 1;
        const ldb = (transB ? k : n) + 2;
        const ldc = n + 3;
        const a = sides.floats(numbers(m, (transA ? k : m) * lda));
        const b = sides.floats(numbers(n, (transB ? n : k) * ldb));
        const before = numbers(k, m * ldc);
        if (beta === 0) for (let i = 0; i < m; i++) before.fill(Number.NaN, i * ldc, i * ldc + n);
        const c = sides.floats(before);
        const scratch = sides.room(GEMM_SCRATCH_BYTES / 4);
        gemm(scratch).bind({ transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc })();
        sides.reference.gemm(transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc, scratch);
        const [got, want] = [sides.got(c, m * ldc), sides.want(c, m * ldc)];
        let worst = 0;
        for (let i = 0; i < want.length; i++) {
          const error = Math.abs(got[i] - want[i]);
          if (!(error <= worst)) worst = error;
        }
        // Products are below 1, partial sums of k of them around sqrt(k): their rounding errors add up to about k ulp.
        expect(worst, `${m}x${n}x${k} beta ${beta}`).toBeLessThanOrEqual(4e-8 * k + 1.2e-6);
        sides.checkGuards();
      }
    }
  });

  it('has the same bits wherever the matrices lie', () => {
    const [m, n, k] = [31, 45, 210];
    const run = (shift: number): Int32Array => {
      sides.reset();
      const a = sides.floats(numbers(1, m * k), shift);
      const b = sides.floats(numbers(2, k * n), shift);
      const c = sides.room(m * n, shift);
      const scratch = sides.room(GEMM_SCRATCH_BYTES / 4);
      gemm(scratch).bind({ transA: 0, transB: 0, m, n, k, a, lda: k, b, ldb: n, beta: 0, c, ldc: n })();
      return sides.gotInts(c, m * n);
    };
    const aligned = run(0);
    for (const shift of [4, 8, 32]) expect(run(shift)).toEqual(aligned);
  });

  it('reads what is in memory when it runs, not when it was bound', () => {
    sides.reset();
    const [a, b, c] = [sides.floats([1, 2, 3, 4]), sides.floats([1, 0, 0, 1]), sides.room(4)];
    const run = gemm(sides.room(GEMM_SCRATCH_BYTES / 4)).bind({
      transA: 0,
      transB: 0,
      m: 2,
      n: 2,
      k: 2,
      a,
      lda: 2,
      b,
      ldb: 2,
      beta: 0,
      c,
      ldc: 2,
    });
    run();
    expect([...sides.got(c, 4)]).toEqual([1, 2, 3, 4]);
    sides.setFloats(a, [5, 6, 7, 8]);
    run();
    expect([...sides.got(c, 4)]).toEqual([5, 6, 7, 8]);
  });

  it('carries NaN and infinities', () => {
    sides.reset();
    const a = sides.floats([Number.NaN, 1, 1, 1, 1, Number.POSITIVE_INFINITY]);
    const b = sides.floats([1, 1]);
    const c = sides.room(3);
    const scratch = sides.room(GEMM_SCRATCH_BYTES / 4);
    gemm(scratch).bind({ transA: 0, transB: 0, m: 3, n: 1, k: 2, a, lda: 2, b, ldb: 1, beta: 0, c, ldc: 1 })();
    expect([...sides.got(c, 3)]).toEqual([Number.NaN, 2, Number.POSITIVE_INFINITY]);
  });
});

describe.each(levels)('wasm $simd', (sides) => {
  it.each([
    [0, 0],
    [0, 1],
    [1, 0],
  ])('a row of C has the same bits whatever m is, transA %d, transB %d', (transA, transB) => {
    const [rows, n, k] = [270, 21, 401];
    sides.reset();
    // All A are the first rows of one matrix, so they share lda.
    const lda = transA ? rows : k;
    const a = sides.floats(numbers(1, rows * k));
    const b = sides.floats(numbers(2, n * k));
    const [all, some] = [sides.room(rows * n), sides.room(rows * n)];
    const scratch = sides.room(GEMM_SCRATCH_BYTES / 4);
    const ldb = transB ? k : n;
    sides.wasm.gemm(transA, transB, rows, n, k, a, lda, b, ldb, 0, all, n, scratch);
    for (const m of [1, 2, 3, 4, 5, 6, 7, 11, 12, 23, 24, 25, 100, 258, 259]) {
      sides.wasm.gemm(transA, transB, m, n, k, a, lda, b, ldb, 0, some, n, scratch);
      expect(sides.gotInts(some, m * n), `m = ${m}`).toEqual(sides.gotInts(all, m * n));
    }
  });

  it('stays within GEMM_SCRATCH_BYTES', () => {
    sides.reset();
    const [m, n, k] = [700, 24, 900];
    const [a, b, c] = [sides.floats(numbers(1, m * k)), sides.floats(numbers(2, n * k)), sides.room(m * n)];
    const scratch = sides.room(GEMM_SCRATCH_BYTES / 4);
    for (const [transA, transB] of [
      [0, 0],
      [1, 1],
    ]) {
      sides.wasm.gemm(transA, transB, m, n, k, a, transA ? m : k, b, transB ? k : n, 0, c, n, scratch);
      sides.checkGuards();
    }
  });
});
