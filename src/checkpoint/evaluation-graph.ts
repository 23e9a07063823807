import { z } from 'zod';
import type { FieldInfo } from '../data/contract.ts';
import { cast } from '../graph/ops/cast.ts';
import { broadcastTo } from '../graph/ops/shape.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { LossDef, MetricDef, Model, WeightedValue } from '../nn/contract.ts';
import { applyLoss } from '../nn/losses.ts';
import { resolveMetrics } from '../nn/metrics.ts';
import { traceModel } from '../nn/trace.ts';
import { PREDICTION_GRAPH, PREDICTION_ROWS, packGraph } from './prediction-graph.ts';

/**
 * Loss and metrics as plain data, to evaluate a model without the job's module: the graph of the sums that they are made from. What
 * makes a metric of its sums is known by name for the standard ones. Runs in browsers.
 */
export const EVALUATION_FACTS = z.strictObject({
  /** In order: the loss, then the sums of the metrics as `metric.sum`. `weighted`: each element times its weight. */
  sums: z.array(z.strictObject({ name: z.string(), weighted: z.boolean() })).min(1),
  metrics: z.array(
    z.strictObject({
      name: z.string(),
      mode: z.enum(['min', 'max']),
      /** Asked for by a standard name: 'accuracy', 'top5' ... */
      standard: z.boolean(),
    }),
  ),
  /** Outputs: `value:0` and, where sum 0 is weighted, `weight:0` ... */
  graph: PREDICTION_GRAPH,
});
export type EvaluationFacts = z.output<typeof EVALUATION_FACTS>;

export interface Evaluated {
  readonly model: Model;
  readonly loss: LossDef;
  readonly metrics?: readonly (string | MetricDef)[] | undefined;
}

/** Traces what evaluation computes, for the row counts of prediction. */
export function packEvaluation({ model, loss, metrics }: Evaluated, fields: readonly FieldInfo[]): EvaluationFacts {
  const resolved = resolveMetrics(metrics, loss);
  const asked = metrics ?? loss.defaultMetrics ?? [];
  const traces = PREDICTION_ROWS.map((rows) => {
    const traced = traceModel(model, fields, rows, { training: false });
    const sums: [string, WeightedValue][] = [
      ['loss', applyLoss(loss, traced)],
      ...resolved.flatMap((metric) =>
        Object.entries(metric.sums(traced.outputs, traced.inputs)).map(([name, sum]): [string, WeightedValue] => [
          `${metric.name}.${name}`,
          sum,
        ]),
      ),
    ];
    const outputs: Record<string, Tensor> = {};
    for (const [i, [, { value, weight }]] of sums.entries()) {
      const f32 = cast(value);
      outputs[valueName(i)] = f32;
      if (weight) outputs[weightName(i)] = broadcastTo(cast(weight), f32.shape);
    }
    return { rows, outputs, sums: sums.map(([name, { weight }]) => ({ name, weighted: weight !== undefined })) };
  });
  return {
    sums: traces[0].sums,
    metrics: resolved.map(({ name, mode }, i) => ({ name, mode, standard: typeof asked[i] === 'string' })),
    graph: packGraph(traces),
  };
}

/** Names of the outputs that are the elements of sum `i` and their weights. */
export function valueName(i: number): string {
  return `value:${i}`;
}

export function weightName(i: number): string {
  return `weight:${i}`;
}
