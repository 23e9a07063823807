import type { FieldInfo, Fields } from '../data/contract.ts';
import type { Initializer } from '../graph/program.ts';
import type { Tensor } from '../graph/tensor.ts';

/** A layer is a function of a tensor; calling one layer twice shares its weights. */
export interface Layer {
  (x: Tensor): Tensor;
  /** 'dense', 'dropout' ...: the automatic name and the row in `summary`. */
  readonly kind: string;
}

/** `sequential(...)`: a layer, and a model that reads field `x`. */
export interface Sequential extends Layer {
  (x: Tensor): Tensor;
  (inputs: { readonly x: Tensor }): Tensor;
}

/** Field name -> symbolic tensor [rows, ...shape], as a model function gets them. */
export type Inputs<F extends Fields = Fields> = { readonly [K in keyof F]: Tensor };
/** What is known about each field; those of type i32 have a size (indices are below it). */
export type Info<F extends Fields = Fields> = {
  readonly [K in keyof F]: F[K] extends 'f32' ? FieldInfo : FieldInfo & { readonly size: number };
};

/** What a model function gives: one output or named outputs. */
export type ModelOutput = Tensor | Record<string, Tensor>;

// Method types are bivariant, so a job of known fields is also a Job.
/** A function of named inputs that gives one output or named outputs. */
export type ModelFunction<F extends Fields = Fields, O extends ModelOutput = ModelOutput> = {
  bivariant(inputs: Inputs<F>, info: Info<F>): O;
}['bivariant'];
/** `sequential(...)`, or a function of named inputs. */
export type Model<F extends Fields = Fields, O extends ModelOutput = ModelOutput> = ModelFunction<F, O>;

/** Outputs by name; a model that gives one tensor calls it `output`. */
export type Outputs = Readonly<Record<string, Tensor>>;
/** Outputs by name, as a loss gets them from a model that gives O. */
export type OutputsOf<O extends ModelOutput> = [O] extends [Tensor]
  ? { readonly output: Tensor }
  : [O] extends [Record<string, Tensor>]
    ? { readonly [K in keyof O]: Tensor }
    : Outputs;

/** Per-element values and (constant) weights of the same shape; weight absent means 1. */
export interface WeightedValue {
  readonly value: Tensor;
  readonly weight?: Tensor;
}

/** Values per element, not their mean: Lockstep takes the weighted mean over the global batch. A tensor alone has weight 1. */
export type LossFunction<F extends Fields = Fields, O extends ModelOutput = ModelOutput> = {
  bivariant(outputs: OutputsOf<O>, fields: Inputs<F>, info: Info<F>): WeightedValue | Tensor;
}['bivariant'];

/** The loss of a job: standard ones are made by `crossEntropy()` etc., custom ones are functions. Call it by `applyLoss`. */
export type LossDef<F extends Fields = Fields, O extends ModelOutput = ModelOutput> = LossFunction<F, O> & {
  /** Name for messages and the run header; 'custom' if a plain function. */
  readonly lossName?: string;
  /** Metric names that make sense with it and are reported when the job names none. */
  readonly defaultMetrics?: readonly string[];
  /** The model output and the field that it compares, where they are named; metrics by name use the same. */
  readonly output?: string;
  readonly target?: string;
  /** The field of weights for each label, which metrics by name take over where they can. */
  readonly mask?: string | undefined;
};

/** A metric is a few weighted sums over the rows, added over all shards, and a formula for the end. */
export interface MetricDef {
  readonly name: string;
  /** 'max' if larger is better (early stopping, best checkpoint). */
  readonly mode: 'min' | 'max';
  /** Sums to collect, by name. Each becomes sum(value * weight) in f64; the default weight is 1. */
  sums(outputs: Outputs, fields: Inputs): Record<string, WeightedValue>;
  /** From the sums to the number. */
  finish(sums: Readonly<Record<string, number>>): number;
}

/** A parameter as the trace meets it. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initializer;
  /** Of tables that are looked up: see EmbeddingOptions. */
  readonly sparseGradient?: boolean | 'auto';
}

/** Running mean and variance that follow the moments of one call of a layer. */
export interface StatisticsSpec {
  /** Names of the buffers. */
  readonly mean: string;
  readonly variance: string;
  /** Weight of the newest batch. */
  readonly momentum: number;
  /** Sums by channel; see `batchNormWithMoments`. */
  readonly moments: Tensor;
}

/** A row of the summary. */
export interface LayerRow {
  readonly name: string;
  readonly kind: string;
  readonly outputShape: readonly number[];
  readonly parameters: number;
  /** Numbers that it keeps and nobody trains (running statistics); absent: none. */
  readonly buffers?: number;
}

/** A model traced for one shard size. */
export interface TracedModel {
  /** The fields as symbolic tensors: what the loss and the metrics read. */
  readonly inputs: Inputs;
  readonly outputs: Outputs;
  readonly info: Info;
  readonly parameters: readonly ParameterSpec[];
  /** State of layers that is not trained. */
  readonly buffers: readonly ParameterSpec[];
  /** What changes it; only of models traced for training. */
  readonly statistics: readonly StatisticsSpec[];
  readonly layers: readonly LayerRow[];
}
