import {
  binaryCrossEntropy, crossEntropy, defineJob, dense, dropout, huber, type Job, type MetricDef, sequential, sgd, train,
} from 'lockstep'; // biome-ignore format: a list
import { arrays } from 'lockstep/data';
import { describe, expect, it } from 'vitest';
import { packEvaluation } from '../../src/checkpoint/evaluation-graph.ts';
import { decodeModel, encodeModel } from '../../src/checkpoint/model-file.ts';
import * as ops from '../../src/graph/ops/index.ts';
import { openEvaluator } from '../../src/predict/evaluator.ts';
import { nodePlatform } from '../../src/predict/node-platform.ts';
import { splitWriter } from '../../src/predict/split-writer.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { blobs } from '../fixtures/blobs.ts';
import { storedModel } from './stored-model.ts';

const noRandom = () => () => 0;

/** Mean of the probabilities of the right class: the user's own. */
const confidence: MetricDef = {
  name: 'confidence',
  mode: 'max',
  sums: ({ output }) => {
    const best = ops.max(ops.softmax(output), { axis: -1 });
    return {
      sum: { value: best },
      count: { value: ops.mul(best, 0), weight: best },
      rows: { value: ops.add(ops.mul(best, 0), 1) },
    };
  },
  finish: ({ sum, rows }) => sum / rows,
};

const base = {
  optimizer: sgd({ lr: 0.1 }),
  batchSize: 64,
  steps: 7,
  seed: 3,
} as const;

const points = blobs(900, 6, 3);
const numbers = Float32Array.from({ length: 900 }, (_, i) => (i % 17) / 4 - 2);
const JOBS: readonly (readonly [string, Job])[] = [
  [
    'classes, with weights and smoothing',
    defineJob({
      ...base,
      data: { train: arrays(points), validation: 331 / 900 },
      model: sequential(dense(16, 'relu'), dropout(0.3), dense(3)),
      loss: crossEntropy({ labelSmoothing: 0.1, classWeights: [1, 2, 0.5] }),
      metrics: ['accuracy', 'top2', confidence],
    }) as unknown as Job,
  ],
  [
    'yes or no',
    defineJob({
      ...base,
      data: { train: arrays({ x: points.x, y: points.y.map((y) => y % 2) }), validation: 0.3 },
      model: sequential(dense(1)),
      loss: binaryCrossEntropy(),
      metrics: ['accuracy', 'precision', 'recall', 'f1'],
    }) as unknown as Job,
  ],
  [
    'numbers',
    defineJob({
      ...base,
      data: { train: arrays({ x: points.x, y: numbers }, { normalize: { x: 'standard' } }), validation: 0.3 },
      model: sequential(dense(16, 'tanh'), dense(1)),
      loss: huber({ delta: 0.7 }),
      metrics: ['r2', 'mae', 'rmse'],
    }) as unknown as Job,
  ],
  [
    'a loss of its own with weights',
    defineJob({
      ...base,
      data: { train: arrays({ ...points, weight: numbers.map(Math.abs) }), validation: 0.3 },
      model: ({ x }) => ({ score: dense(1)(x) }),
      loss: ({ score }, { x, weight }) => ({
        value: ops.square(ops.sub(ops.reshape(score, [-1]), ops.mean(x, { axis: 1 }))),
        weight,
      }),
      metrics: [],
    }) as unknown as Job,
  ],
];

describe('openEvaluator', () => {
  it.each(JOBS)('gives the loss and the metrics of the training run: %s', async (_, job) => {
    const { metrics, parameters } = await train(job, { workers: 2 });
    const plan = await planRun(job, { workers: 1 });
    const stored = await storedModel(job);
    for (const { name, offset } of plan.compiled.tensors) stored.parameters.set(parameters[name].data, offset);
    const model = decodeModel(encodeModel(stored));
    const facts = model.manifest.evaluation;
    const { validation } = plan.data;
    if (!facts || !validation) throw new Error('the model has no evaluation');
    expect(facts).toEqual(packEvaluation(job, plan.data.fields));

    const definitions = (job.metrics ?? []).filter((m) => typeof m === 'object');
    const evaluator = await openEvaluator(model, facts, nodePlatform, { definitions });
    evaluator.add(200, splitWriter(validation, evaluator.fields, noRandom)); // in two pieces
    const write = splitWriter(validation, evaluator.fields, noRandom);
    evaluator.add(validation.size - 200, (stage, slot, i) => write(stage, slot, i + 200));
    const result = evaluator.finish();
    expect(result.rows).toBe(validation.size);
    expect(result.unknown).toEqual([]);
    const trained = Object.entries(metrics).filter(([name]) => name.startsWith('val.'));
    expect(Object.keys(result.metrics).sort()).toEqual(trained.map(([name]) => name.slice(4)).sort());
    // The shards differ from those of the run, and so the order in which the same f32 numbers are added in f64.
    for (const [name, value] of trained) expect(result.metrics[name.slice(4)] / value).toBeCloseTo(1, 9);
  });

  it('names metrics whose formula is in the job alone', async () => {
    const [[, job]] = JOBS;
    const stored = await storedModel(job);
    const facts = stored.manifest.evaluation;
    const { train: split } = (await planRun(job, { workers: 1 })).data;
    if (!facts) throw new Error('the model has no evaluation');
    const evaluator = await openEvaluator(stored, facts, nodePlatform);
    evaluator.add(split.size, splitWriter(split, evaluator.fields, noRandom));
    const { metrics, unknown } = evaluator.finish();
    expect(unknown).toEqual(['confidence']);
    expect(Object.keys(metrics)).toEqual(['loss', 'accuracy', 'top2']);
  });
});
