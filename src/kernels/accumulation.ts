import { type BackendChoice, openGemm } from './backend.ts';
import { GEMM_SCRATCH_BYTES } from './table.ts';
import { instantiateKernels } from './wasm.ts';

/** Work beyond which the probe is not worth its time: the answer is then no. */
const MOST_FLOPS = 2e9;

/**
 * Whether this machine's GEMM gives C + A B (beta 1) with the bits of adding a separately computed A B to C, for all of these
 * shapes ([transA, transB, m, n, k]). It does where one pass over k ends in one addition; blocking over k breaks it. Which
 * code runs, and so the answer, depends on the shape alone: one try with numbers of mixed size and sign decides.
 */
export function accumulatesExactly(choice: BackendChoice, module: WebAssembly.Module, shapes: number[][]): boolean {
  const distinct = [...new Map(shapes.map((shape) => [shape.join(), shape])).values()];
  if (distinct.length === 0) return true;
  if (distinct.reduce((sum, [, , m, n, k]) => sum + 4 * m * n * k, 0) > MOST_FLOPS) return false;
  const most = (of: (m: number, n: number, k: number) => number) =>
    Math.max(...distinct.map(([, , m, n, k]) => of(m, n, k)));
  const line = (floats: number) => 64 * Math.ceil(floats / 16);
  const [aBytes, bBytes, cBytes] = [
    most((m, _, k) => line(m * k)),
    most((_, n, k) => line(n * k)),
    most((m, n) => line(m * n)),
  ];
  const start = 1 << 20; // above the modules' static data
  const [a, b, sum, product] = [start, start + aBytes, start + aBytes + bBytes, start + aBytes + bBytes + cBytes];
  const scratch = product + cBytes;
  const pages = Math.ceil((scratch + GEMM_SCRATCH_BYTES) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const kernels = instantiateKernels(module, memory);
  const gemm = openGemm(choice, memory, kernels, scratch);
  kernels.randomNormal(a, aBytes / 4, 1, 2, 3, 0, 0, 0, 0, 1);
  kernels.randomNormal(b, bBytes / 4, 1, 2, 4, 0, 0, 0, 0, 1);
  return distinct.every(([transA, transB, m, n, k]) => {
    const size = m * n;
    const lda = transA ? m : k;
    const ldb = transB ? k : n;
    kernels.randomNormal(sum, size, 1, 2, 5, 0, 0, 0, 0, 3);
    const before = new Float32Array(memory.buffer, sum, size).slice();
    gemm.bind({ transA, transB, m, n, k, a, lda, b, ldb, beta: 0, c: product, ldc: n })();
    gemm.bind({ transA, transB, m, n, k, a, lda, b, ldb, beta: 1, c: sum, ldc: n })();
    const added = new Float32Array(memory.buffer, sum, size);
    const apart = new Float32Array(memory.buffer, product, size);
    return before.every((value, i) => Math.fround(value + apart[i]) === added[i]);
  });
}
