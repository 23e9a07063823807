import type { ZodType } from 'zod';
import type { TensorEntry } from '../graph/program.ts';
import type { OptimizerKernel } from '../kernels/table.ts';

/** f32 in training, f64 in golden tests: one definition runs on both. */
export type FloatArray = Float32Array | Float64Array;

/** Plain data: prints, hashes, travels to workers. Made by typed functions such as `adam({ lr: 1e-3 })`. */
export interface OptimizerDescription {
  readonly kind: string;
  readonly lr: number | ScheduleDescription;
  readonly [option: string]: unknown;
}

/** A learning-rate schedule as plain data; src/optim/schedules.ts evaluates it. */
export interface ScheduleDescription {
  readonly kind: string;
  readonly [option: string]: unknown;
}

/** What is known when a step's scalars are computed. */
export interface StepInfo<H> {
  /** Number of this update, 1 for the first. A step that was skipped updated nothing and does not count. */
  readonly step: number;
  /** Learning rate of this step (schedule already evaluated). */
  readonly lr: number;
  /** Multiplies the summed gradient: clip coefficient / sum of weights. */
  readonly gradScale: number;
  /** Sum of the loss's weights over the batch (the number of samples when there are none); 1 where it is not known. */
  readonly weight?: number;
  readonly options: H;
}

/** One stretch of the flat vectors: a block of one tensor (unit 'element') or a whole tensor. */
export interface View {
  readonly param: FloatArray;
  readonly grad: FloatArray;
  /** By the names that `slots` gave. */
  readonly slots: Readonly<Record<string, FloatArray>>;
  readonly tensor: TensorEntry;
  /** Where the view begins in its tensor, in elements: 0 for a whole tensor. */
  readonly first: number;
  /** What `scratch` asked for: memory of the calling worker, content undefined. Absent when nothing was asked for. */
  readonly scratch?: FloatArray;
  /**
   * Standard normal numbers, one for each element of the view, into `out`: a function of (seed of the job, step, tensor,
   * element), whoever asks. In a step `out` is the one that `transform` got.
   */
  normal(out: FloatArray, step: number): void;
  /**
   * c = op(a) op(b) + beta c, dense and row-major: op(a) is [m, k], op(b) [k, n], stored transposed where the flag is 1. The
   * operands lie in `param`, `grad`, slots or `scratch`; the same operands at the same place of each update are bound once.
   */
  gemm(
    transA: 0 | 1, transB: 0 | 1, m: number, n: number, k: number, a: FloatArray, b: FloatArray, beta: 0 | 1, c: FloatArray,
  ): void; // biome-ignore format: grouped by operand
}

/** A gradient that is zero but for some rows of a table; ids are distinct. */
export interface SparseView {
  /** The whole table, [tableRows, width]. */
  readonly param: FloatArray;
  /** As long as `param`. */
  readonly slots: Readonly<Record<string, FloatArray>>;
  readonly width: number;
  readonly ids: Int32Array;
  /** [ids.length, width] */
  readonly grad: FloatArray;
}

export interface SlotSpec {
  /** Initial value of every element, 0 unless said; 'parameter': a copy of the initial parameters. */
  init?: number | 'parameter';
  /** Shape where it is not the parameter's (Adafactor's row and column means); only with unit 'tensor'. */
  shape?: readonly number[];
}

/** What `lockstep optimizers` prints. */
export interface OptimizerAbout {
  /** The rule, a line. */
  readonly rule: string;
  readonly when: string;
  readonly limits: string;
  readonly paper: string;
}

/** The frameworks whose conventions `compat` takes over. */
export type Compat = 'pytorch' | 'keras' | 'optax';

/**
 * An optimizer: pure, no clocks, no randomness of its own. Everything it knows about time is `StepInfo` and its `state`.
 * `update` is the rule in plain TypeScript: it runs custom optimizers, is the oracle of the fused kernels, and runs on
 * f64 in golden tests. docs/optimizer-contract.md holds sketches of harder optimizers against this interface.
 */
export interface OptimizerDef<H extends object = object> {
  readonly kind: string;
  /** Options with defaults and limits, without `lr`. Unknown keys are refused. */
  readonly options: ZodType<H>;
  /** Learning rate of a description that names none; absent: `lr` must be given. */
  readonly defaultLr?: number;
  /** What one call of `update` gets: 'element' = any block, 'tensor' = whole tensors, 'model' = driver (needs several gradients). */
  readonly unit: 'element' | 'tensor' | 'model';
  /** Per-parameter state by name, in a fixed order; may depend on options. */
  slots(options: H, tensor: TensorEntry): Record<string, SlotSpec>;
  /** Persistent f64 numbers beside the slots (NAdam's product, Prodigy's d) with their initial values. */
  readonly state?: Readonly<Record<string, number>>;
  readonly about?: OptimizerAbout;
  /** The optimizer inside a wrapper. */
  readonly base?: OptimizerDef;
  /**
   * Options (and `lr`) that a framework's optimizer of this name has where ours have another default: `compat: 'keras'` fills
   * them in before the user's own. A framework that is not named has no such optimizer.
   */
  readonly compat?: Readonly<Partial<Record<Compat, Readonly<Record<string, unknown>>>>>;
  /** Its gradient differences mean nothing when the batch changes (L-BFGS): refused unless a batch is all rows. */
  readonly fullBatch?: boolean;
  /**
   * Twice the gradients go twice as far (but for decay): the mean of several steps, each with the gradient of a part of the batch, is the step
   * with the mean gradient. Absent: it divides by their size, as Adam, or takes their sign.
   */
  readonly proportional?: boolean;
  /** Options completed by what the model is (Muon's matrices). @throws E_OPTION when it does not fit that model. */
  bind?(options: H, tensors: readonly TensorEntry[]): H;
  /** What updating a tensor costs beside others, for spreading them over workers; default its size. Only with unit 'tensor'. */
  cost?(tensor: TensorEntry, options: H): number;
  /** Names of the numbers that `scalars` writes, in order. The first two are 'gradScale' and 'lr'. */
  readonly scalarNames: readonly string[];
  /**
   * Partial sums of one view before the update (Prodigy's distance ...), added to `out`; the views' sums are added in block
   * order. Reads only: it may be repeated. `state` is that of the last step; only `scalars` advances it.
   */
  measure?(view: View, out: Float64Array, info: StepInfo<H>, state: Readonly<Record<string, number>>): void;
  /** How many sums `measure` writes. */
  readonly measures?: number;
  /** Elements of scratch memory that `update` needs for a tensor (Muon); only with views of whole tensors. */
  scratch?(tensor: TensorEntry, options: H): number;
  /**
   * The gradient that `update` is to see, into `out` (noise, centralisation ...): as `grad` a sum, so what is added is divided
   * by gradScale. Runs after `scalars`, before `update` or the kernel.
   */
  transform?(view: View, out: FloatArray, s: Float64Array, info: StepInfo<H>): void;
  /** Once an update: bias corrections and the like into `out`. `state` may be advanced; `sums` is what `measure` gave. */
  scalars(info: StepInfo<H>, out: Float64Array, state: Record<string, number>, sums: Float64Array): void;
  /** One pass over a view. No allocation. `s` as `scalars` wrote it. */
  update(view: View, s: Float64Array, options: H): void;
  /** The fused kernel that does what `update` does, if there is one for these options. Slots in the order of `slots`. */
  kernel?(options: H): OptimizerKernelName | undefined;
  /** A second pass, after `update` or the kernel (averages of the weights). */
  after?(view: View, s: Float64Array, options: H): void;
  /**
   * One update of the rows that a gradient names, with the same scalars; rows that it does not name cost nothing and stay as
   * they are, their slots too. Absent: the optimizer has no such form. Optimizers that measure, transform the gradient, work
   * after the update, average or drive have none either.
   */
  sparseUpdate?(view: SparseView, s: Float64Array, options: H): void;
  /**
   * The kernel that does what `sparseUpdate` does; undefined where these options have no sparse form. Without it `sparseUpdate`
   * itself runs, on views that are made in each step.
   */
  sparseKernel?(options: H): SparseOptimizerKernelName | undefined;
  /** A gradient of zero leaves parameter and slots alone, so the sparse form, where there is one, trains as the dense one. */
  readonly sparseIsDense?: boolean;
  /**
   * Parameters to evaluate, predict and save with, where they are not those that are trained (Schedule-Free, averages):
   * those of `view` into `out`. `grad` of the view means nothing here.
   */
  evalParameters?(view: View, out: FloatArray, options: H, state: Readonly<Record<string, number>>): void;
  /**
   * One step that needs several gradients (SAM, L-BFGS); `update` is then what `apply` runs. 'stop' when the numbers broke:
   * the driver has put the parameters back where they were.
   */
  drive?(driver: Driver<H>): undefined | 'stop';
}

/**
 * What a driver may do in its step. Every worker runs the same `drive` on its own views; the functions are collective (all
 * workers call them in the same order) and their results are the same bytes everywhere, so all take the same branches.
 */
export interface Driver<H> {
  readonly info: StepInfo<H>;
  readonly state: Record<string, number>;
  /** This worker's stretches of the flat vectors. */
  readonly views: readonly View[];
  /**
   * Mean gradient of this step's batch at the current parameters, clipped, into every view's `grad`; gives the loss, NaN where
   * loss or gradient is not finite.
   */
  gradient(): number;
  /** Loss of the same batch at the current parameters; leaves `grad` as it is. */
  evaluate(): number;
  /** Sums over all views of all workers, in block order, of what `partial` adds to `out`; overwrites `out`. */
  sum(partial: (view: View, out: Float64Array) => void, out: Float64Array): void;
  /** The largest of what `of` gives for the views of all workers. */
  max(of: (view: View) => number): number;
  /** One update with the gradients now in the views: `scalars` once, `update` on every view (with gradScale 1). */
  apply(): void;
}

export type OptimizerKernelName = typeof import('../kernels/table.ts').OPTIMIZER_KERNELS[number];
export type SparseOptimizerKernelName = typeof import('../kernels/table.ts').SPARSE_OPTIMIZER_KERNELS[number];
export type { OptimizerKernel };
