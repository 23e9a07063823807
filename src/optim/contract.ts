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
  readonly options: H;
}

/** One stretch of the flat vectors: a block of one tensor (unit 'element') or a whole tensor. */
export interface View {
  readonly param: FloatArray;
  readonly grad: FloatArray;
  /** By the names that `slots` gave. */
  readonly slots: Readonly<Record<string, FloatArray>>;
  readonly tensor: TensorEntry;
  /** What `scratch` asked for: memory of the calling worker, content undefined. Absent when nothing was asked for. */
  readonly scratch?: FloatArray;
}

export interface SlotSpec {
  /** Initial value of every element; 0 unless said. */
  init?: number;
  /** Shape where it is not the parameter's (Adafactor's row and column means); only with unit 'tensor'. */
  shape?: readonly number[];
}

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
  /** Names of the numbers that `scalars` writes, in order. The first two are 'gradScale' and 'lr'. */
  readonly scalarNames: readonly string[];
  /**
   * Partial sums of one view before the update (Prodigy's distance ...), added to `out`; the views' sums are added in block
   * order. Reads only: it may be repeated. `state` is that of the last step; only `scalars` advances it.
   */
  measure?(view: View, out: Float64Array, info: StepInfo<H>, state: Readonly<Record<string, number>>): void;
  /** How many sums `measure` writes. */
  readonly measures?: number;
  /** Elements of scratch memory that `update` needs for a tensor (Muon); only with unit 'tensor'. */
  scratch?(tensor: TensorEntry, options: H): number;
  /** Once an update: bias corrections and the like into `out`. `state` may be advanced; `sums` is what `measure` gave. */
  scalars(info: StepInfo<H>, out: Float64Array, state: Record<string, number>, sums: Float64Array): void;
  /** One pass over a view. No allocation. `s` as `scalars` wrote it. */
  update(view: View, s: Float64Array, options: H): void;
  /** The fused kernel that does what `update` does, if there is one for these options. Slots in the order of `slots`. */
  kernel?(options: H): OptimizerKernelName | undefined;
  /**
   * Parameters to evaluate, predict and save with, where they are not those that are trained (Schedule-Free, averages):
   * those of `view` into `out`.
   */
  evalParameters?(view: View, out: FloatArray, options: H): void;
  /** Unit 'model' only: one step that needs several gradients (SAM, L-BFGS). `update` is then what `apply` runs. */
  drive?(driver: Driver<H>): void;
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
  /** Mean gradient of this step's batch at the current parameters, clipped, into every view's `grad`; gives the loss. */
  gradient(): number;
  /** Loss of the same batch at the current parameters; leaves `grad` as it is. */
  evaluate(): number;
  /** Sums over all views of all workers, in block order, of what `partial` adds to `out`; overwrites `out`. */
  sum(partial: (view: View, out: Float64Array) => void, out: Float64Array): void;
  /** One update with the gradients now in the views: `scalars` once, `update` on every view (with gradScale 1). */
  apply(): void;
}

export type OptimizerKernelName = typeof import('../kernels/table.ts').OPTIMIZER_KERNELS[number];
export type { OptimizerKernel };
