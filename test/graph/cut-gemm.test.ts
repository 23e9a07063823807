import { expect, test } from 'vitest';
import type { GemmArgs, Lowering } from '../../src/graph/op.ts';
import { cutGemm } from '../../src/graph/ops/cut-gemm.ts';
import { referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import { philox } from '../fixtures/philox.ts';

/** The products that the rule makes of one. */
function parts(axis: 'm' | 'k', whole: GemmArgs): GemmArgs[] {
  const made: GemmArgs[] = [];
  const gemm = (g: GemmArgs): void => {
    made.push(g);
  };
  cutGemm({ gemm } as Lowering, axis, whole);
  return made;
}

const at = (element: number) => ({ region: 'activations', offset: 4 * element }) as const;

function product(transA: boolean, m: number, n: number, k: number, beta: 0 | 1 = 0): GemmArgs {
  const [lda, ldb, ldc] = [(transA ? m : k) + 3, n + 1, n + 2];
  const a = at(16);
  const b = at(16 + (transA ? k : m) * lda);
  const c = at(16 + (transA ? k : m) * lda + k * ldb);
  return { transA, transB: false, m, n, k, a, lda, b, ldb, beta, c, ldc };
}

test.each([
  ['m', false],
  ['m', true],
  ['k', false],
  ['k', true],
] as const)('parts along %s, A transposed: %s, give the whole', (axis, transA) => {
  for (const beta of [0, 1] as const) {
    const whole = product(transA, 130, 70, 150, beta);
    const cut = parts(axis, whole);
    expect(cut.length).toBe(2);
    for (const { m, n, k } of cut) expect(m * n * k).toBeLessThanOrEqual(1e6);
    const run = (list: readonly GemmArgs[]): Float64Array => {
      const heap = referenceHeap(400_000);
      const random = philox(1);
      for (let i = 0; i < heap.real.length; i++) heap.real[i] = random() - 0.5;
      for (const g of list) {
        const flags = [Number(g.transA), Number(g.transB), g.m, g.n, g.k] as const;
        const [a, b, c] = [g.a.offset, g.b.offset, g.c.offset];
        referenceKernels(heap).gemm(...flags, a, g.lda, b, g.ldb, g.beta, c, g.ldc, 0);
      }
      return Float64Array.from(heap.real);
    };
    const [once, again] = [run([whole]), run(cut)];
    expect(again.every((x, i) => Math.abs(x - once[i]) < 1e-12)).toBe(true);
  }
});

test('small products stay whole, and so do those whose parts would be short', () => {
  for (const whole of [product(false, 100, 100, 100), product(false, 64, 1024, 256), product(true, 512, 128, 4096)]) {
    expect(parts('m', whole)).toEqual([whole]);
    expect(parts('k', whole)).toEqual([whole]);
  }
});
