import { median } from '../compare/statistics.ts';
import type { Block } from '../graph/layout.ts';
import { type BackendChoice, openGemm } from '../kernels/backend.ts';
import { GEMM_SCRATCH_BYTES, type KernelTable, TOPK_SCRATCH_BYTES } from '../kernels/table.ts';
import { instantiateKernels } from '../kernels/wasm.ts';
import { CODECS, type WireFormat } from '../parallel/wire-format.ts';

const PAGE = 64 * 1024;

/** Elements of each vector whose addition gives the bandwidth: far more than the caches hold. */
const VECTOR = 8 * 1024 * 1024;

/** What one thread can do here: speed of the chosen backend's GEMM, and of memory. */
export class KernelSpeed {
  readonly #backend: BackendChoice;
  readonly #module: WebAssembly.Module;

  constructor(backend: BackendChoice, module: WebAssembly.Module) {
    this.#backend = backend;
    this.#module = module;
  }

  /** Milliseconds of each product of two n x n matrices during `seconds`. */
  gemm(n: number, seconds: number): number[] {
    const { memory, kernels, base } = this.#open(12 * n * n + GEMM_SCRATCH_BYTES);
    const [a, b, c] = [0, 1, 2].map((i) => base + 4 * n * n * i);
    const gemm = openGemm(this.#backend, memory, kernels, base + 12 * n * n);
    kernels.randomUniform(a, 2 * n * n, 1, 0, 0, 0, 0, 0, -1, 1);
    const call = gemm.bind({ transA: 0, transB: 0, m: n, n, k: n, a, lda: n, b, ldb: n, beta: 0, c, ldc: n });
    return repeat(call, 2, seconds);
  }

  /** GFLOP/s of the product of two n x n matrices. */
  gflops(n: number, seconds: number): number {
    return (2 * n ** 3) / median(this.gemm(n, seconds)) / 1e6;
  }

  /** GB/s of a sum of two vectors that lie in memory: two streams read, one written (`out = a + b`). */
  bandwidth(seconds: number): number {
    const { kernels, base } = this.#open(12 * VECTOR);
    const [a, b, c] = [0, 1, 2].map((i) => base + 4 * VECTOR * i);
    kernels.fill(a, 1, 2 * VECTOR);
    return (12 * VECTOR) / median(repeat(() => kernels.addPartials(c, a, b, VECTOR), 1, seconds)) / 1e6;
  }

  /** Milliseconds of encoding and decoding these blocks on one thread, by wire format. */
  codecs(
    blocks: readonly Block[],
    seconds: number,
  ): Record<WireFormat, { readonly encodeMs: number; readonly decodeMs: number }> {
    const longest = blocks.reduce((most, { length }) => Math.max(most, length), 1);
    const { kernels, base } = this.#open(8 * longest + TOPK_SCRATCH_BYTES);
    const [x, out, scratch] = [base, base + 4 * longest, base + 8 * longest];
    const found = { fp32: { encodeMs: 0, decodeMs: 0 } } as Record<WireFormat, { encodeMs: number; decodeMs: number }>;
    const floats = blocks.reduce((sum, { length }) => sum + length, 0);
    for (const codec of Object.values(CODECS)) {
      kernels.randomUniform(x, longest, 1, 0, 0, 0, 0, 0, -1, 1);
      const encode = repeat(() => codec.encode(kernels, out, x, longest, scratch), 2, seconds / 6);
      const decode = repeat(() => codec.decode(kernels, x, out, longest, true), 2, seconds / 6);
      const [encodeMs, decodeMs] = [encode, decode].map((times) => (median(times) * floats) / longest);
      found[codec.format] = { encodeMs, decodeMs };
    }
    return found;
  }

  #open(bytes: number): { memory: WebAssembly.Memory; kernels: KernelTable; base: number } {
    const room = 1024 * 1024; // more than the module's static data
    const pages = Math.ceil((room + bytes) / PAGE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    return { memory, kernels: instantiateKernels(this.#module, memory), base: room };
  }
}

function repeat(call: () => void, warmup: number, seconds: number): number[] {
  for (let i = 0; i < warmup; i++) call();
  const times: number[] = [];
  const end = performance.now() + 1000 * seconds;
  for (let before = performance.now(); before < end; ) {
    call();
    const now = performance.now();
    times.push(now - before);
    before = now;
  }
  return times;
}
