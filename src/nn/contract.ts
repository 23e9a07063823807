import type { FieldInfo, Fields } from '../data/contract.ts';
import type { Initializer } from '../graph/program.ts';
import type { Tensor } from '../graph/tensor.ts';

/** A layer is a function of a tensor; calling one layer twice shares its weights. */
export interface Layer {
  (x: Tensor): Tensor;
  /** 'dense', 'dropout' ...: the automatic name and the row in `summary`. */
  readonly kind: string;
}

/** Field name -> symbolic tensor [rows, ...shape], as a model function gets them. */
export type Inputs<F extends Fields = Fields> = { readonly [K in keyof F]: Tensor };
export type Info<F extends Fields = Fields> = { readonly [K in keyof F]: FieldInfo & { readonly size: number } };

/** `sequential(...)` (a layer, reads field `x`), or a function of named inputs that gives one output or named outputs. */
export type ModelFunction<
  F extends Fields = Fields,
  O extends Tensor | Record<string, Tensor> = Tensor | Record<string, Tensor>,
> = (inputs: Inputs<F>, info: Info<F>) => O;
export type Model<F extends Fields = Fields> = Layer | ModelFunction<F>;

/** Outputs by name; a model that gives one tensor calls it `output`. */
export type Outputs = Readonly<Record<string, Tensor>>;

/** Per-element values and (constant) weights of the same shape; weight absent means 1. */
export interface WeightedValue {
  readonly value: Tensor;
  readonly weight?: Tensor;
}

/** The loss of a job: standard ones are made by `crossEntropy()` etc., custom ones are functions. */
export interface LossDef {
  (outputs: Outputs, fields: Inputs): WeightedValue;
  /** Name for messages and the run header; 'custom' if a plain function. */
  readonly lossName?: string;
  /** Metric names that make sense with it and are reported when the job names none. */
  readonly defaultMetrics?: readonly string[];
}

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
}

/** A row of the summary. */
export interface LayerRow {
  readonly name: string;
  readonly kind: string;
  readonly outputShape: readonly number[];
  readonly parameters: number;
}

/** A model traced for one shard size. */
export interface TracedModel {
  /** The fields as symbolic tensors: what the loss and the metrics read. */
  readonly inputs: Inputs;
  readonly outputs: Outputs;
  readonly parameters: readonly ParameterSpec[];
  readonly layers: readonly LayerRow[];
}
