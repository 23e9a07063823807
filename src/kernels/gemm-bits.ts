import { type BackendChoice, openGemm } from './backend.ts';
import type { GemmOperands } from './gemm.ts';
import { GEMM_SCRATCH_BYTES, type KernelTable } from './table.ts';
import { instantiateKernels } from './wasm.ts';

/**
 * Questions to this machine's GEMM about bits. Which code a GEMM runs, and so the answer, depends on the shape alone: numbers of
 * mixed size and sign decide, if they are many, for two orders of adding agree in some of them.
 */

/** Work beyond which a question is not worth its time: the answer is then no. */
const MOST_FLOPS = 6e9;
/** Numbers that must agree. */
const ENOUGH_NUMBERS = 256;
/** Above the modules' static data. */
const START = 1 << 20;

/**
 * Whether C + A B (beta 1) has the bits of adding a separately computed A B to C, for all of these shapes ([transA, transB, m, n,
 * k]). It has where one pass over k ends in one addition; blocking over k breaks it.
 */
export function accumulatesExactly(choice: BackendChoice, module: WebAssembly.Module, shapes: number[][]): boolean {
  return ask(choice, module, distinct(shapes), ([transA, transB, m, n, k], bench) => {
    const apart = bench.run({ transA, transB, m, n, k, beta: 0 }, bench.second);
    for (let seen = 0; seen < ENOUGH_NUMBERS; seen += m * n) {
      const before = bench.fillC(m * n, seen);
      const added = bench.run({ transA, transB, m, n, k, beta: 1 }, bench.first);
      if (!before.every((value, i) => Math.fround(value + apart[i]) === added[i])) return false;
    }
    return true;
  });
}

/**
 * Whether the rows of A B have the same bits when A's m rows are multiplied at once and in parts of `parts` rows, for all of these
 * shapes ([transB, m, n, k]).
 */
export function rowsAreIndependent(
  choice: BackendChoice,
  module: WebAssembly.Module,
  shapes: number[][],
  partsOf: (m: number) => readonly number[],
): boolean {
  const all = distinct(shapes).map(([transB, m, n, k]) => [0, transB, m, n, k]);
  return ask(choice, module, all, ([, transB, m, n, k], bench) => {
    const together = bench.run({ transA: 0, transB, m, n, k, beta: 0 }, bench.first);
    let row = 0;
    return partsOf(m).every((rows) => {
      const part = bench.run({ transA: 0, transB, m: rows, n, k, beta: 0 }, bench.second, row);
      const same = part.every((value, i) => value === together[row * n + i]);
      row += rows;
      return same;
    });
  });
}

interface Bench {
  /** Two places for results. */
  readonly first: number;
  readonly second: number;
  /** Random numbers in `first`, others for each `draw`; gives a copy. */
  fillC(size: number, draw: number): Float32Array;
  /** Runs a GEMM of the random A (from `row` on) and B into `c`; gives a view of the result. */
  run(g: Pick<GemmOperands, 'transA' | 'transB' | 'm' | 'n' | 'k' | 'beta'>, c: number, row?: number): Float32Array;
}

function ask(
  choice: BackendChoice,
  module: WebAssembly.Module,
  shapes: readonly number[][],
  question: (shape: number[], bench: Bench) => boolean,
): boolean {
  if (shapes.length === 0) return true;
  if (shapes.reduce((sum, [, , m, n, k]) => sum + 4 * m * n * k, 0) > MOST_FLOPS) return false;
  const most = (size: (m: number, n: number, k: number) => number) =>
    64 * Math.ceil(Math.max(...shapes.map(([, , m, n, k]) => size(m, n, k))) / 16);
  const [aBytes, bBytes, cBytes] = [most((m, _, k) => m * k), most((_, n, k) => n * k), most((m, n) => m * n)];
  const a = START;
  const b = a + aBytes;
  const first = b + bBytes;
  const second = first + cBytes;
  const scratch = second + cBytes;
  const pages = Math.ceil((scratch + GEMM_SCRATCH_BYTES) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const kernels: KernelTable = instantiateKernels(module, memory);
  const gemm = openGemm(choice, memory, kernels, scratch);
  kernels.randomNormal(a, aBytes / 4, 1, 2, 3, 0, 0, 0, 0, 1);
  kernels.randomNormal(b, bBytes / 4, 1, 2, 4, 0, 0, 0, 0, 1);
  const bench: Bench = {
    first,
    second,
    fillC(size, draw) {
      kernels.randomNormal(first, size, 1, 2, 5, draw, 0, 0, 0, 3);
      return new Float32Array(memory.buffer, first, size).slice();
    },
    run(g, c, row = 0) {
      const { transA, transB, m, n, k } = g;
      const lda = transA ? m : k;
      gemm.bind({ ...g, a: a + 4 * row * lda, lda, b, ldb: transB ? k : n, c, ldc: n })();
      return new Float32Array(memory.buffer, c, m * n);
    },
  };
  return shapes.every((shape) => question(shape, bench));
}

function distinct(shapes: number[][]): number[][] {
  return [...new Map(shapes.map((shape) => [shape.join(), shape])).values()];
}
