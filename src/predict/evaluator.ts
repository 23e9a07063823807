import type { EvaluationFacts } from '../checkpoint/evaluation-graph.ts';
import { valueName, weightName } from '../checkpoint/evaluation-graph.ts';
import { tensorTable } from '../checkpoint/manifest.ts';
import type { StoredModel } from '../checkpoint/model-file.ts';
import { compilePrediction, predictionRows } from '../checkpoint/prediction-graph.ts';
import type { KernelFiles } from '../kernels/kernel-files.ts';
import type { MetricDef } from '../nn/contract.ts';
import { openMachine, type Stage } from './machine.ts';
import type { Platform } from './platform.ts';
import { fieldInfo, isPortable } from './predictor.ts';
import { standardMetric } from './standard-metric.ts';

/** Loss and metrics of a stored model on rows that come piece by piece. The rows' answers are the Predictor's, to the bit. */
export interface Evaluator {
  /** Fields that evaluation reads: those of the model, the target, weights. */
  readonly fields: readonly string[];
  /** Most rows that fit into one piece. */
  readonly rows: number;
  /** Adds a piece: `write` makes row `index` of it row `slot` of a stage. */
  add(count: number, write: (stage: Stage, slot: number, index: number) => void): void;
  finish(): Evaluation;
}

export interface Evaluation {
  readonly rows: number;
  /** 'loss', and the metrics by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Metrics of the user's own, whose formula is in the job's module alone. */
  readonly unknown: readonly string[];
}

export interface EvaluatorOptions {
  readonly kernels?: KernelFiles;
  /** Formulas of metrics that are not standard ones, by name. */
  readonly definitions?: readonly MetricDef[];
}

/** Throws E_CHECKPOINT if the graph is damaged, E_KERNEL, E_MEMORY. */
export async function openEvaluator(
  { manifest, parameters }: StoredModel,
  facts: EvaluationFacts,
  platform: Platform,
  { kernels = {}, definitions = [] }: EvaluatorOptions = {},
): Promise<Evaluator> {
  const opened = await platform.openKernels({ portable: isPortable(manifest), files: kernels });
  const { entries } = tensorTable(manifest);
  const model = { fields: manifest.fields.map(fieldInfo), tensors: entries, model: facts.graph };
  const programs = predictionRows(facts.graph).map((rows) => compilePrediction(model, rows));
  const { stages } = openMachine(opened, { programs, parameters });
  const sums = new Float64Array(facts.sums.length);
  let weight = 0;
  let total = 0;

  /** No row is computed for nothing: it would count. */
  const run = (stage: Stage): void => {
    stage.run();
    for (const [i, { weighted }] of facts.sums.entries()) {
      sums[i] += stage.sum(valueName(i), weighted ? weightName(i) : undefined);
    }
    const [loss] = facts.sums;
    weight += loss.weighted ? stage.sum(weightName(0)) : stage.output(valueName(0)).data.length;
  };
  return {
    fields: [...new Set(programs.flatMap((p) => p.fields.map((f) => f.name)))],
    rows: stages[stages.length - 1].rows,
    add(count, write) {
      for (let done = 0; done < count; ) {
        const stage = stages.findLast((s) => s.rows <= count - done) ?? stages[0];
        for (let slot = 0; slot < stage.rows; slot++) write(stage, slot, done + slot);
        run(stage);
        done += stage.rows;
        total += stage.rows;
      }
    },
    finish: () => ({ rows: total, ...results(facts, sums, weight, definitions) }),
  };
}

function results(
  { sums: names, metrics }: EvaluationFacts,
  sums: Float64Array,
  weight: number,
  definitions: readonly MetricDef[],
): Omit<Evaluation, 'rows'> {
  const values: Record<string, number> = { loss: weight === 0 ? 0 : sums[0] / weight };
  const unknown: string[] = [];
  for (const { name, standard } of metrics) {
    const definition = standard ? standardMetric(name) : definitions.find((d) => d.name === name);
    if (!definition) {
      unknown.push(name);
      continue;
    }
    const prefix = `${name}.`;
    const own = names.flatMap((sum, i): [string, number][] =>
      sum.name.startsWith(prefix) ? [[sum.name.slice(prefix.length), sums[i]]] : [],
    );
    values[name] = definition.finish(Object.fromEntries(own));
  }
  return { metrics: values, unknown };
}
