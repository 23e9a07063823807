import type { KernelTable, Pointer } from './table.ts';

/**
 * One GEMM with absolute byte addresses: C [m,n] = op(A) op(B) + beta C, row-major; strides in elements; flags and beta
 * are 0 or 1.
 */
export interface GemmOperands {
  readonly transA: number;
  readonly transB: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Pointer;
  readonly lda: number;
  readonly b: Pointer;
  readonly ldb: number;
  readonly beta: number;
  readonly c: Pointer;
  readonly ldc: number;
}

/** The matrix multiplication of one thread. */
export interface Gemm {
  /** 'blas' or 'wasm'. */
  readonly name: string;
  /** Prepares one GEMM to be run many times: the closure allocates nothing and reads what is in memory when it runs. */
  bind(g: GemmOperands): () => void;
}

/** cblas_sgemm with typed arrays for pointers. */
export type Sgemm = (
  order: number,
  transA: number,
  transB: number,
  m: number,
  n: number,
  k: number,
  alpha: number,
  a: Float32Array,
  lda: number,
  b: Float32Array,
  ldb: number,
  beta: number,
  c: Float32Array,
  ldc: number,
) => void;

const ROW_MAJOR = 101;
const NO_TRANSPOSE = 111;
const TRANSPOSE = 112;

/** GEMM of the kernel table; `scratch` is the address of GEMM_SCRATCH_BYTES of this thread. */
export function wasmGemm(kernels: KernelTable, scratch: Pointer): Gemm {
  const { gemm } = kernels;
  return {
    name: 'wasm',
    bind({ transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc }) {
      return () => gemm(transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc, scratch);
    },
  };
}

/** GEMM of a BLAS, over views of `memory` that are made once; empty products go to `empty` (BLAS rejects some). */
export function blasGemm(sgemm: Sgemm, memory: WebAssembly.Memory, empty: Gemm): Gemm {
  /** Rows x columns at `address`, as stored. */
  const view = (address: Pointer, rows: number, columns: number, stride: number): Float32Array =>
    new Float32Array(memory.buffer, address, (rows - 1) * stride + columns);
  return {
    name: 'blas',
    bind(g) {
      const { m, n, k, lda, ldb, beta, ldc } = g;
      if (m === 0 || n === 0 || k === 0) return empty.bind(g);
      const a = g.transA ? view(g.a, k, m, lda) : view(g.a, m, k, lda);
      const b = g.transB ? view(g.b, n, k, ldb) : view(g.b, k, n, ldb);
      const c = view(g.c, m, n, ldc);
      const transA = g.transA ? TRANSPOSE : NO_TRANSPOSE;
      const transB = g.transB ? TRANSPOSE : NO_TRANSPOSE;
      return () => sgemm(ROW_MAJOR, transA, transB, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
    },
  };
}
