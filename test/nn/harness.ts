import type { FieldInfo } from '../../src/data/contract.ts';
import { compileProgram } from '../../src/graph/compile.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import type { LossDef, MetricDef, Model, TracedModel } from '../../src/nn/contract.ts';
import { applyLoss } from '../../src/nn/losses.ts';
import { traceModel } from '../../src/nn/trace.ts';
import { referenceExecutor } from '../../src/testing.ts';

export function f32(name: string, ...shape: number[]): FieldInfo {
  return { name, dtype: 'f32', shape };
}

export function i32(name: string, size: number, ...shape: number[]): FieldInfo {
  return { name, dtype: 'i32', shape, size };
}

export function trace(model: Model, fields: readonly FieldInfo[], rows = 2): TracedModel {
  return traceModel(model, fields, rows, { training: true });
}

export interface RunOptions {
  readonly fields: readonly FieldInfo[];
  readonly rows: number;
  /** By field. */
  readonly data: Readonly<Record<string, ArrayLike<number>>>;
  readonly model: Model;
  readonly loss?: LossDef;
  readonly metrics?: readonly MetricDef[];
  /** By name; parameters that are not named start at 0. */
  readonly parameters?: Readonly<Record<string, ArrayLike<number>>>;
  readonly training?: boolean;
}

/** A model on given numbers, in double precision on the reference kernels: outputs, mean loss and metrics. */
export function evaluate(options: RunOptions) {
  const { fields, rows, data, model, loss, metrics = [], parameters = {}, training = false } = options;
  const traced = traceModel(model, fields, rows, { training });
  const { entries } = layoutTensors(traced.parameters);
  const sums = metrics.flatMap((metric) =>
    Object.entries(metric.sums(traced.outputs, traced.inputs)).map(([name, sum]) => ({
      ...sum,
      name: `${metric.name}.${name}`,
    })),
  );
  const program = compileProgram({
    rows,
    fields,
    tensors: entries,
    outputs: { ...traced.outputs },
    loss: loss && applyLoss(loss, traced),
    sums,
    gradients: false,
    training,
  });
  const executor = referenceExecutor(program, entries);
  for (const [name, values] of Object.entries(data)) executor.field(name)?.set(values);
  for (const [name, values] of Object.entries(parameters)) executor.parameter(name).set(values);
  executor.run();
  const finish = (metric: MetricDef): number =>
    metric.finish(
      Object.fromEntries(
        Object.keys(metric.sums(traced.outputs, traced.inputs)).map((name) => [
          name,
          executor.sum(`${metric.name}.${name}`),
        ]),
      ),
    );
  return {
    output: (name = 'output') => Array.from(executor.output(name).data),
    shape: (name = 'output') => executor.output(name).shape,
    loss: loss === undefined ? Number.NaN : executor.sum('loss') / executor.sum('weight'),
    metrics: Object.fromEntries(metrics.map((metric) => [metric.name, finish(metric)])),
  };
}
