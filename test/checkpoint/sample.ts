import { packGraph } from '../../src/checkpoint/prediction-graph.ts';
import type { SaveRequest } from '../../src/checkpoint/save.ts';
import type { FieldInfo } from '../../src/data/contract.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import { dense } from '../../src/nn/layers/dense.ts';
import { dropout } from '../../src/nn/layers/dropout.ts';
import { sequential } from '../../src/nn/layers/sequential.ts';
import { traceModel } from '../../src/nn/trace.ts';

export const FIELDS: FieldInfo[] = [
  { name: 'x', dtype: 'f32', shape: [5] },
  { name: 'y', dtype: 'i32', shape: [], size: 3, classNames: ['a', 'b', 'c'] },
];

export const model = sequential(dense(4, 'relu'), dropout(0.5), dense(3));

/** A save of a small model after `step` steps; every element of its vectors follows from `step` and `salt`. */
export function sample(runDir: string, step: number, salt = 0): SaveRequest {
  const traces = [1, 8].map((rows) => ({ rows, ...traceModel(model, FIELDS, rows, { training: false }) }));
  const { entries, flatSize } = layoutTensors(traces[0].parameters);
  return {
    runDir,
    parameters: vector(entries, flatSize, step + salt),
    slots: [vector(entries, flatSize, step + salt + 0.25), vector(entries, flatSize, step + salt + 0.5)],
    facts: {
      lockstep: '0.1.0',
      step,
      epoch: 1,
      sampler: { seed: 7, rows: 100, batchSize: 10 },
      shards: 4,
      job: { loss: 'crossEntropy', optimizer: { kind: 'adam', lr: 0.1 } },
      optimizer: {
        description: { kind: 'adam', lr: 0.1, betas: [0.9, 0.999] },
        updates: step,
        state: { product: 0.1 + 0.2, d: -0 },
        slots: [{ name: 'm' }, { name: 'v' }],
      },
      progress: {
        totalSteps: 1000,
        skipped: 0,
        stopping: { best: Number.NaN, bad: 0 },
        epochSums: [1.5, 2],
        epochSamples: 20,
      },
      metrics: { 'val.loss': 1 / (step + 1), 'val.accuracy': Number.NaN },
      kernels: { gemm: 'wasm', simd: 'relaxed' },
      fields: FIELDS.map(({ shape, classNames, ...rest }) => ({
        ...rest,
        shape: [...shape],
        ...(classNames ? { classNames: [...classNames] } : {}),
      })),
      transforms: [
        { kind: 'standardize', field: 'x', column: 'x', shape: [5], mean: [0.1], std: [3] },
        { kind: 'labels', field: 'y', column: 'y', type: 'category', values: ['a', 'b', 'c'] },
      ],
      loss: { name: 'crossEntropy' },
      tensors: entries.map(({ name, shape, init, group }) => ({ name, shape: [...shape], init, group })),
      model: packGraph(traces),
    },
  };
}

function vector(entries: readonly { offset: number; size: number }[], flatSize: number, base: number): Float32Array {
  const flat = new Float32Array(new SharedArrayBuffer(4 * flatSize));
  for (const { offset, size } of entries) for (let i = 0; i < size; i++) flat[offset + i] = base + i / 64;
  return flat;
}

/** Like `sample`, with a tensor of 2 MB in each vector: all its elements are `step`. */
export function bigSample(runDir: string, step: number): SaveRequest {
  const { facts } = sample(runDir, step);
  const elements = 500_000;
  const flat = (value: number) => new Float32Array(new SharedArrayBuffer(4 * elements)).fill(value);
  const tensors = [{ name: 'big', shape: [elements], init: { kind: 'constant' as const, value: 0 }, group: 0 }];
  return { runDir, facts: { ...facts, tensors }, parameters: flat(step), slots: [flat(step + 0.25), flat(step + 0.5)] };
}
