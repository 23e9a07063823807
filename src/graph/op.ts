import type { KernelName } from '../kernels/table.ts';
import type { Operand, Ref } from './program.ts';
import type { Attrs, DType, Shape, Tensor } from './tensor.ts';

/** One operation: its shape rule, its gradient as a graph, and the kernel calls it becomes. One row of the op table. */
export interface OpDef {
  readonly name: string;
  /** Checks inputs and attributes and gives the result's shape and dtype. Throws E_SHAPE or E_DTYPE that name the op. */
  infer(inputs: readonly Tensor[], attrs: Attrs): { shape: Shape; dtype: DType };
  /**
   * Gradients of the inputs, given the gradient of the output, as new tensors; undefined where none flows.
   * Absent: the op stops gradients. Only called for f32 outputs that a parameter reaches. `differentiate` is autodiff.ts's
   * `gradients`, for fused ops whose second derivatives are taken through plain ones.
   */
  gradient?(node: Tensor, upstream: Tensor, differentiate: Differentiate): (Tensor | undefined)[];
  /** Appends kernel calls that compute `node`. Absent for leaves and for aliases. */
  lower?(node: Tensor, lowering: Lowering): void;
  /** The result is the first input's memory under another shape (reshape, stop-gradient). */
  readonly alias?: boolean;
  /** Inputs whose memory the result may take over when they die here (kernels that work in place). */
  readonly inPlace?: readonly number[];
  /** Axis 0 are samples, and each has the same kernel calls, however many there are. */
  readonly bySample?: boolean;
  /**
   * Inputs whose axis 0 are the rows of the result, row for row: such an op can be computed a tile of rows at a time (tiles.ts).
   * Other inputs are read whole. Absent: all rows at once.
   */
  readonly rows?: readonly number[];
  /** With `rows`: the result is a sum over the rows (gradients of weights), added to from the second tile on. */
  readonly adds?: boolean;
  /** Rows that suit a tile; only ops that gain by tiling say so. */
  tileRows?(node: Tensor): number;
  /** Multiply-adds counted as 2; GEMM work only. */
  flops?(node: Tensor): number;
}

/** Gradients of sum(value * weight) with respect to sources. */
export type Differentiate = (
  value: Tensor,
  weight: Tensor | undefined,
  sources: readonly Tensor[],
) => (Tensor | undefined)[];

/** What `lower` may do: name operands and append calls. */
export interface Lowering {
  /** Where the result goes. */
  readonly out: Ref;
  /** Where input i is. */
  input(i: number): Ref;
  /** Whether these are the first rows: an op that `adds` overwrites its result. */
  readonly first: boolean;
  /** Temporary memory that lives during this op (and block) only. */
  scratch(elements: number): Ref;
  /** Temporary memory that is zero at the beginning and stays this op's to the last block. */
  zeroed(elements: number): Ref;
  /** A constant table of i32 numbers (dims, strides). */
  table(values: readonly number[]): Ref;
  call(kernel: KernelName, ...args: Operand[]): void;
  /** C = op(A) op(B) + beta C, row-major; becomes BLAS or the WASM kernel when a worker binds the program. */
  gemm(g: GemmArgs): void;
}

export interface GemmArgs {
  transA: boolean;
  transB: boolean;
  m: number;
  n: number;
  k: number;
  a: Ref;
  lda: number;
  b: Ref;
  ldb: number;
  beta: 0 | 1;
  c: Ref;
  ldc: number;
}
