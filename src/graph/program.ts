import type { KernelName } from '../kernels/table.ts';
import type { DType, Shape } from './tensor.ts';

/**
 * A program is a model compiled for one shard size: a flat list of kernel calls over named regions, plain data that is
 * hashed, cloned to workers and bound there to addresses.
 */
export type Region =
  | 'parameters' // the flat parameter vector, shared by all workers
  | 'gradients' // one partial sum: same layout as the parameters
  | 'moments' // f64 moments of this shard, that running statistics follow
  | 'batch' // this shard's rows, by field
  | 'activations' // everything computed, this worker's
  | 'constants' // tables and literals of this program
  | 'sums' // f64 side sums of this shard
  | 'key' // four i32: seed low, seed high, step, shard
  | 'ends' // what adds up a shard's rows on the way to a gradient, when several shards go together
  | 'rowLists'; // headers of the lists of rows that are this shard's sparse gradients

/** A handle into a region; never a bare number, so that a region may move. Offset in bytes. */
export interface Ref {
  readonly region: Region;
  readonly offset: number;
}

export type Operand = number | Ref;

/** `gemm` args: transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc (the worker adds its scratch). */
export interface Call {
  readonly kernel: KernelName;
  readonly args: readonly Operand[];
  /** Of an op that computes sample by sample: each sample has the same calls, however many there are. */
  readonly bySample?: true;
  /** The first call of the backward pass; all before it is forward. */
  readonly opensBackward?: true;
}

export interface Field {
  readonly name: string;
  readonly dtype: DType;
  /** With the rows of the shard as axis 0. */
  readonly shape: Shape;
  /** Byte offset in the batch region. */
  readonly offset: number;
}

export interface Program {
  /** Rows of the shard that this program computes. */
  readonly rows: number;
  readonly calls: readonly Call[];
  /** Fields that the model or loss really read. */
  readonly fields: readonly Field[];
  /** Model outputs by name: where they are after a run (used by prediction and tests). */
  readonly outputs: readonly { name: string; shape: Shape; dtype: DType; ref: Ref }[];
  /** Names of the f64 side sums in order: 'loss', 'weight', then those of the metrics. Sum i is at byte 8*i of `sums`. */
  readonly sums: readonly string[];
  readonly batchBytes: number;
  readonly momentBytes: number;
  readonly activationBytes: number;
  readonly endBytes: number;
  /** Initial content of the constants region. */
  readonly constants: Uint8Array;
  /** Gradients of sparse tables, in order; only of programs with gradients. */
  readonly rowLists: readonly RowList[];
  /** Rows of several shards may go through it together: see row-local.ts. Only for programs with gradients. */
  readonly rowLocal: boolean;
  /** GEMM floating-point operations of one run. */
  readonly flops: number;
}

/** One list of rows that a program writes: the gradient of a lookup in a sparse table. */
export interface RowList {
  /** Name of the table, and its place in the tensor table. */
  readonly name: string;
  readonly tensor: number;
  /** Its header is at byte ROW_LIST_STRIDE * list of `rowLists`. */
  readonly list: number;
  /** Ids that one run looks up: the most rows that the list may have. */
  readonly ids: number;
  readonly width: number;
}

/** One parameter of the model: a row of the tensor table. */
export interface TensorEntry {
  readonly name: string;
  readonly shape: Shape;
  /** Elements, without padding. */
  readonly size: number;
  /** Element offset in the flat vectors; a multiple of 16 (64 bytes). Padding between tensors stays zero. */
  readonly offset: number;
  readonly init: Initializer;
  /** Index of the optimizer's parameter group. */
  readonly group: number;
  /** Its gradient is lists of rows: it lies behind all others, where flat gradients have ended. */
  readonly sparse?: boolean;
  /** No parameter: state of a layer, such as running statistics. Behind all others, and not in gradients. */
  readonly buffer?: boolean;
}

/** How a parameter starts; plain data, computed by Philox from (seed, tensor index). */
export type Initializer =
  | { kind: 'constant'; value: number }
  | { kind: 'uniform'; low: number; high: number }
  | { kind: 'normal'; mean: number; std: number };
