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
  /** 1 for the first update. */
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
}

export interface SlotSpec {
  /** Initial value of every element; 0 unless said. */
  init?: number;
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
  /** What one call of `update` gets: 'element' = any block, 'tensor' = whole tensors, 'model' = driver (needs several gradients). */
  readonly unit: 'element' | 'tensor' | 'model';
  /** Per-parameter state by name, in a fixed order; may depend on options. */
  slots(options: H, tensor: TensorEntry): Record<string, SlotSpec>;
  /** Persistent f64 numbers beside the slots (NAdam's product, Prodigy's d) with their initial values. */
  readonly state?: Readonly<Record<string, number>>;
  /** Names of the numbers that `scalars` writes, in order. The first two are 'gradScale' and 'lr'. */
  readonly scalarNames: readonly string[];
  /** Partial sums of one view before the update (Prodigy, LAMB ...); added over the views in block order. */
  measure?(view: View, out: Float64Array, info: StepInfo<H>): void;
  /** How many sums `measure` writes. */
  readonly measures?: number;
  /** Once a step: bias corrections and the like into `out`. `state` may be advanced; `sums` is what `measure` gave. */
  scalars(info: StepInfo<H>, out: Float64Array, state: Record<string, number>, sums: Float64Array): void;
  /** One pass over a view. No allocation. `s` as `scalars` wrote it. */
  update(view: View, s: Float64Array, options: H): void;
  /** The fused kernel that does what `update` does, if there is one for these options. Slots in the order of `slots`. */
  kernel?(options: H): OptimizerKernelName | undefined;
}

export type OptimizerKernelName = typeof import('../kernels/table.ts').OPTIMIZER_KERNELS[number];
export type { OptimizerKernel };
