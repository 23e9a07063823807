import type { Gemm, GemmOperands } from '../kernels/gemm.ts';
import type { KernelTable, Pointer } from '../kernels/table.ts';

/**
 * A BLAS adds the terms of a product in another order when there are few rows: it cuts k into blocks for many rows and not for
 * few, so a row alone would get other bits than the same row among 255 others. Here each product is tried once, on random
 * numbers, against the one with many rows; where bits differ it is computed in the blocks of k that give the same, or,
 * where none is found, with more rows than asked for. So an answer depends on its row alone.
 */
export type ProductPlan =
  /** Products over these ranges of k one after another, each added to those before. One range: a plain product. */
  | { readonly kind: 'ranges'; readonly lengths: readonly number[] }
  /** As if there were this many rows. */
  | { readonly kind: 'padded'; readonly rows: number };

/** One product, op(A) = A: C [m,n] = A [m,k] op(B). */
export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transB: number;
  /** Rows of the product whose bits count. */
  readonly reference: number;
}

/** A memory of its own to try products in. `scratchBytes` from address 0 on belong to the Gemm. */
export interface Laboratory {
  readonly memory: WebAssembly.Memory;
  readonly gemm: Gemm;
}

/** Makes a laboratory of at least so many bytes beside the Gemm's own; data begins at `base`. */
export type OpenLaboratory = (bytes: number) => Laboratory & { readonly base: Pointer };

/** Beyond this many rows bits are the same in all libraries that were tried; it bounds the cost of trying. */
const MOST_REFERENCE_ROWS = 4096;

/** Two orders of adding give the same float now and then: a row of two columns says nothing, so many numbers say it. */
const ENOUGH_NUMBERS = 1024;

/** Finds how `product` gives the bits of its reference. */
export function planProduct({ m, n, k, transB, reference }: Product, open: OpenLaboratory): ProductPlan {
  const whole: ProductPlan = { kind: 'ranges', lengths: [k] };
  const rows = Math.max(m, Math.min(reference, MOST_REFERENCE_ROWS));
  if (rows === m) return whole;
  const { memory, gemm, base } = open(4 * (rows * k + k * n + 2 * rows * n));
  const [a, b, c, expected] = [0, rows * k, rows * k + k * n, rows * k + k * n + rows * n].map((x) => base + 4 * x);
  const floats = new Float32Array(memory.buffer);
  fillRandom(floats.subarray(a / 4, c / 4));
  const operands = { transA: 0, transB, n, k, lda: k, b, ldb: transB ? k : n, beta: 0, ldc: n };
  gemm.bind({ ...operands, m: rows, a, c: expected })();

  /** Of the rows from `row` on. */
  const agreesAt = (plan: ProductPlan, row: number): boolean => {
    const window = { ...operands, a: a + 4 * k * row, c };
    if (plan.kind === 'padded') gemm.bind({ ...window, m: plan.rows })();
    else for (const g of rangesOf({ ...window, m }, plan.lengths)) gemm.bind(g)();
    const there = expected / 4 + n * row;
    for (let i = 0; i < m * n; i++) if (floats[c / 4 + i] !== floats[there + i]) return false;
    return true;
  };
  const agrees = (plan: ProductPlan): boolean => {
    const taken = plan.kind === 'padded' ? plan.rows : m;
    const last = Math.min(rows - taken, m * Math.ceil(ENOUGH_NUMBERS / (m * n)));
    for (let row = 0; row <= last; row += m) if (!agreesAt(plan, row)) return false;
    return true;
  };
  return candidates(m, k, rows).find(agrees) ?? { kind: 'padded', rows };
}

/** Cheapest first. */
function candidates(m: number, k: number, rows: number): ProductPlan[] {
  const plans: ProductPlan[] = [{ kind: 'ranges', lengths: [k] }];
  const seen = new Set<string>();
  for (const block of BLOCKS) {
    for (const unroll of UNROLLS) {
      const lengths = blocksOfK(k, block, unroll);
      if (lengths.length === 1 || seen.has(lengths.join())) continue;
      seen.add(lengths.join());
      plans.push({ kind: 'ranges', lengths });
    }
  }
  for (let padded = 2; padded < rows; padded *= 2) if (padded > m) plans.push({ kind: 'padded', rows: padded });
  return plans;
}

/** Sizes that occur in OpenBLAS's parameter tables (GEMM_DEFAULT_Q and _UNROLL_M of sgemm). */
const BLOCKS = [320, 384, 256, 352, 512, 240, 224, 192, 448, 640, 768, 1024, 128] as const;
const UNROLLS = [16, 8, 4, 2, 24, 32, 64] as const;

/** OpenBLAS's driver/level3/level3.c: whole blocks, and what is left at less than two of them in halves. */
function blocksOfK(k: number, block: number, unroll: number): number[] {
  const lengths: number[] = [];
  for (let left = k; left > 0; ) {
    let length = left;
    if (left >= 2 * block) length = block;
    else if (left > block) length = Math.ceil(Math.floor(left / 2) / unroll) * unroll;
    lengths.push(length);
    left -= length;
  }
  return lengths;
}

function rangesOf(g: GemmOperands, lengths: readonly number[]): GemmOperands[] {
  let from = 0;
  return lengths.map((length) => {
    const part = {
      ...g,
      k: length,
      a: g.a + 4 * from,
      b: g.b + 4 * from * (g.transB ? 1 : g.ldb),
      beta: from === 0 ? g.beta : 1,
    };
    from += length;
    return part;
  });
}

/** The product by its plan. `spare` has room for the padded operands: `paddedBytes(plan, g)`. */
export function bindPlan(
  plan: ProductPlan,
  g: GemmOperands,
  gemm: Gemm,
  kernels: KernelTable,
  spare: Pointer,
): () => void {
  if (plan.kind === 'ranges') {
    if (plan.lengths.length === 1) return gemm.bind(g);
    const parts = rangesOf(g, plan.lengths).map((part) => gemm.bind(part));
    return () => {
      for (let i = 0; i < parts.length; i++) parts[i]();
    };
  }
  const { m, n, k, a, c } = g;
  const [paddedA, paddedC] = [spare, spare + 4 * plan.rows * k];
  const product = gemm.bind({ ...g, m: plan.rows, a: paddedA, c: paddedC });
  return () => {
    kernels.copy(paddedA, a, m * k);
    product();
    kernels.copy(c, paddedC, m * n);
  };
}

export function paddedBytes(plan: ProductPlan, { n, k }: { readonly n: number; readonly k: number }): number {
  return plan.kind === 'padded' ? 4 * plan.rows * (k + n) : 0;
}

/** Numbers in [-1, 1) that need all bits of an f32; the same in every run (a linear congruential generator). */
function fillRandom(out: Float32Array): void {
  let state = 12345;
  for (let i = 0; i < out.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out[i] = state / 2 ** 31;
  }
}
