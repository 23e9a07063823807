import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromExactJson, toExactJson } from '../../src/checkpoint/exact-json.ts';
import {
  compilePrediction,
  PREDICTION_GRAPH,
  PREDICTION_ROWS,
  type PredictionGraph,
  packGraph,
  predictionRows,
} from '../../src/checkpoint/prediction-graph.ts';
import type { FieldInfo } from '../../src/data/contract.ts';
import { LockstepError } from '../../src/errors.ts';
import { compileProgram } from '../../src/graph/compile.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Program } from '../../src/graph/program.ts';
import type { Model } from '../../src/nn/contract.ts';
import { dense } from '../../src/nn/layers/dense.ts';
import { dropout } from '../../src/nn/layers/dropout.ts';
import { flatten } from '../../src/nn/layers/flatten.ts';
import { lstm } from '../../src/nn/layers/recurrent.ts';
import { sequential } from '../../src/nn/layers/sequential.ts';
import { traceModel } from '../../src/nn/trace.ts';

const FIELDS: FieldInfo[] = [
  { name: 'x', dtype: 'f32', shape: [4, 6] },
  { name: 'id', dtype: 'i32', shape: [], size: 5 },
  { name: 'y', dtype: 'i32', shape: [], size: 3 },
];

/** Most kinds of ops: attention, gather, slices, constants, several outputs. */
const everything: Model = ({ x, id }) => {
  const h = dense(8, 'gelu', { name: 'in' })(x);
  const scores = ops.softmax(ops.mul(ops.matmul(h, ops.transpose(h, [0, 2, 1])), 0.25));
  const mixed = dropout(0.3)(ops.matmul(scores, h));
  const pooled = ops.concat([ops.mean(mixed, { axis: 1 }), ops.slice(ops.reshape(x, [-1, 24]), 1, 3, 9)]);
  const table = ops.constant(
    Float32Array.from({ length: 10 }, (_, i) => i - 4.5),
    [5, 2],
  );
  const wide = ops.pad(ops.concat([pooled, ops.gather(table, id)]), [[0, 0], [1, 2]], -0.5); // biome-ignore format: short
  const z = ops.where(ops.greater(wide, 0), wide, ops.clamp(wide, -1, 1));
  return { logits: dense(3, { name: 'out' })(z), norm: ops.sqrt(ops.sum(ops.square(z), { axis: 1 })) };
};

function pack(model: Model, fields: readonly FieldInfo[], rowCounts: readonly number[]) {
  const traces = rowCounts.map((rows) => ({ rows, ...traceModel(model, fields, rows, { training: false }) }));
  const { entries } = layoutTensors(traces[0].parameters);
  const graph = packGraph(traces);
  const stored = PREDICTION_GRAPH.parse(fromExactJson(toExactJson(graph)));
  return { traces, model: stored, tensors: entries, fields };
}

describe('a prediction graph', () => {
  it('compiles from JSON to the very programs that evaluation runs', () => {
    const packed = pack(everything, FIELDS, [1, 3, 8]);
    expect(predictionRows(packed.model)).toEqual([1, 3, 8]);
    for (const { rows, outputs } of packed.traces) {
      const { fields, tensors } = packed;
      const direct = compileProgram({ rows, fields, tensors, outputs, gradients: false });
      expect(compilePrediction(packed, rows)).toEqual(direct);
      expect(direct.outputs.map((o) => o.name)).toEqual(['logits', 'norm']);
      expect(direct.calls.some((c) => c.kernel === 'dropout')).toBe(false);
    }
  });

  it('is the same data whatever was traced before', () => {
    const first = pack(everything, FIELDS, [1, 8]).model;
    traceModel(everything, FIELDS, 5, { training: true });
    expect(pack(everything, FIELDS, [1, 8]).model).toEqual(first);
  });

  it('of the MNIST network takes less than 4 KB for four row counts', () => {
    const model = sequential(flatten(), dense(512, 'relu'), dropout(0.2), dense(256, 'relu'), dropout(0.2), dense(10));
    const fields: FieldInfo[] = [{ name: 'x', dtype: 'f32', shape: [28, 28] }];
    const packed = pack(model, fields, PREDICTION_ROWS);
    expect(toExactJson(packed.model).length).toBeLessThan(4096);
    const program: Program = compilePrediction(packed, 64);
    expect(program.outputs[0].shape).toEqual([64, 10]);
  });

  it('has the programs that it was packed for, and names them otherwise', () => {
    expect(() => compilePrediction(pack(everything, FIELDS, [1, 8]), 7)).toThrow(/rows of 1, 8, got 7/);
  });
});

describe('a forged graph', () => {
  const packed = pack(everything, FIELDS, [2]);
  const compile = (model: PredictionGraph) => compilePrediction({ ...packed, model }, model[0].rows);
  /** E_CHECKPOINT or nothing. */
  const refusal = (model: PredictionGraph): string | undefined => {
    try {
      compile(model);
      return undefined;
    } catch (error) {
      if (error instanceof LockstepError && error.code === 'E_CHECKPOINT') return error.message;
      throw error;
    }
  };
  type Node = [string, number[], Record<string, unknown>];
  const x: Node = ['input', [], { name: 'x', shape: [2, 4, 6], dtype: 'f32' }];
  const graph = (...nodes: Node[]): PredictionGraph => [{ rows: 2, nodes, outputs: [['o', nodes.length - 1]] }];

  const image: Node = ['full', [], { value: 1, shape: [2, 4, 4, 3], dtype: 'f32' }];
  const filter: Node = ['full', [], { value: 1, shape: [3, 3, 3, 5], dtype: 'f32' }];
  const pool = { image: [4, 4], window: [2, 2], stride: [2, 2], pads: [0, 0], out: [2, 2] };
  const conv = {
    image: [4, 4], window: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [0, 0, 0, 0], out: [2, 2], groups: 1,
  }; // biome-ignore format: attributes

  it('is refused, and the same unforged is not', () => {
    expect(refusal(graph(image, ['maxPool', [0], pool]))).toBeUndefined();
    expect(refusal(graph(image, filter, ['conv2d', [0, 1], conv]))).toBeUndefined();
  });

  it.each<[string, PredictionGraph, RegExp]>([
    ['an op that does not exist', graph(x, ['evil', [0], {}]), /no op is called evil/],
    ['an op of the prototype', graph(x, ['constructor', [0], {}]), /no op is called/],
    ['a later node as input', graph(x, ['relu', [2], { alpha: 0 }]), /inputs among earlier nodes/],
    ['itself as input', graph(x, ['relu', [1], { alpha: 0 }]), /inputs among earlier nodes/],
    ['no input where one is needed', graph(['relu', [], { alpha: 0 }]), /a graph that compiles/],
    ['an output that is no node', [{ rows: 2, nodes: [x], outputs: [['o', 1]] }], /outputs/],
    ['two outputs of one name', [{ rows: 2, nodes: [x], outputs: [['o', 0], ['o', 0]] }], /names of their own/], // biome-ignore format: a row
    [
      'a reference to a first variant that is itself',
      [{ rows: 2, nodes: [0], outputs: [['o', 0]] }],
      /a node, got nothing/,
    ],
    ['a field of another shape', graph(['input', [], { name: 'x', shape: [2, 4, 7], dtype: 'f32' }]), /\[2, 4, 6\]/],
    ['a field that does not exist', graph(['input', [], { name: 'z', shape: [2], dtype: 'f32' }]), /one of the fields/],
    [
      'a parameter that does not exist',
      graph(['parameter', [], { name: 'p', shape: [2], dtype: 'f32' }]),
      /tensor table/,
    ],
    ['a reshape to more elements', graph(x, ['reshape', [0], { shape: [2, 4, 600] }]), /a shape of 48 elements/],
    ['a slice beyond the end', graph(x, ['slice', [0], { axis: 1, start: 2, end: 9 }]), /a part of \[2,4,6\]/],
    ['a slice before the start', graph(x, ['slice', [0], { axis: 1, start: -2, end: 3 }]), /a part of/],
    ['a slice of no axis', graph(x, ['slice', [0], { axis: 7, start: 0, end: 1 }]), /a part of/],
    ['a transpose with an axis twice', graph(x, ['transpose', [0], { permutation: [0, 1, 1] }]), /a permutation/],
    ['negative padding', graph(x, ['pad', [0], { before: [0, -9, 0], after: [0, 0, 0], value: 0 }]), /widths/],
    ['a reduction over no axes', graph(x, ['reduceSum', [0], { from: 2, to: 1 }]), /axes of/],
    ['a concatenation along no axis', graph(x, ['concat', [0, 0], { axis: 3 }]), /an axis of/],
    ['a constant with too few values', graph(['constant', [], { values: [1], shape: [1000], dtype: 'f32' }]), /values/],
    ['a huge tensor', graph(['full', [], { value: 0, shape: [2 ** 20, 2 ** 20], dtype: 'f32' }]), /at most/],
    ['a dimension of 0', graph(['full', [], { value: 0, shape: [0], dtype: 'f32' }]), /dimensions/],
    [
      'more memory than allowed',
      graph(['full', [], { value: 0, shape: [2 ** 29], dtype: 'f32' }]),
      /bytes of activations/,
    ],
    [
      'a literal that fills the memory',
      graph(['constant', [], { value: 1, shape: [2 ** 28], dtype: 'f32' }]),
      /calls and constants/,
    ],
    [
      'millions of products in a line',
      graph(
        ['full', [], { value: 1, shape: [2 ** 23, 1, 1], dtype: 'f32' }],
        ['batchMatmul', [0, 0], { transA: false, transB: false }],
      ),
      /calls and constants/,
    ],
    ['windows beside the image', graph(image, ['avgPool', [0], { ...pool, out: [3, 2] }]), /do not fit/],
    ['a pooled image that is another', graph(image, ['maxPool', [0], { ...pool, image: [8, 8] }]), /do not fit/],
    ['a pool of channels only', graph(x, ['maxPool', [0], pool]), /do not fit/],
    ['a filter beside the image', graph(image, filter, ['conv2d', [0, 1], { ...conv, out: [4, 5] }]), /do not fit/],
    ['groups that are no number', graph(image, filter, ['conv2d', [0, 1], { ...conv, groups: 0.5 }]), /do not fit/],
    ['negative pads', graph(image, filter, ['conv2d', [0, 1], { ...conv, pads: [0, -1, 0, 0] }]), /list of 4 sizes/],
    ['a filter for other channels', graph(image, filter, ['conv2d', [1, 1], conv]), /do not fit/],
    ['a random op', graph(x, ['dropout', [0], { rate: 0.5, salt: 0 }]), /occurs in evaluation/],
    ['a gradient op', graph(x, ['reluGrad', [0, 0], { alpha: 0 }]), /occurs in evaluation/],
    ['a kernel argument of another type', graph(x, ['scale', [0], { alpha: 'two' }]), /no number/],
  ])('with %s is refused', (_, forged, message) => {
    expect(refusal(forged)).toMatch(message);
  });

  it.each([
    ['time', { sizes: [6, 2, 4, 3] }],
    ['features', { sizes: [5, 2, 400, 3] }],
    ['a cell', { cell: 'gru' }],
    ['a cell of the prototype', { cell: 'toString' }],
    ['a mask that is not there', { masked: true }],
    ['a tape', { size: 16 }],
    ['a fraction', { sizes: [5, 2, 4, 2.5] }],
  ])('whose recurrent layer claims %s is refused', (_, claim) => {
    const [{ rows, nodes, outputs }] = pack(
      ({ x }) => ({ last: lstm(3)(x) }),
      [{ name: 'x', dtype: 'f32', shape: [5, 4] }],
      [2],
    ).model;
    const forged = nodes.map((n) =>
      n !== 0 && n[0].startsWith('recurrent') ? [n[0], n[1], { ...n[2], ...claim }] : n,
    );
    expect(refusal([{ rows, nodes: forged as typeof nodes, outputs }])).toMatch(/recurrent/);
  });

  it('of random changes compiles or is refused, within bounds', () => {
    const nodes = packed.model[0].nodes;
    const value = fc.oneof(
      fc.integer({ min: -3, max: 30 }),
      fc.array(fc.integer({ min: -1, max: 40 }), { maxLength: 4 }),
      fc.constantFrom('relu', true, null, 1e9),
    );
    fc.assert(
      fc.property(fc.nat(nodes.length - 1), fc.nat(5), fc.nat(3), value, (at, attr, what, replacement) => {
        const forged = structuredClone(packed.model);
        const node = forged[0].nodes[at];
        if (node === 0) return;
        const keys = Object.keys(node[2]);
        if (what === 0 && keys.length > 0) node[2][keys[attr % keys.length]] = replacement;
        else if (what === 1) node[1] = node[1].map((i) => Math.max(0, i - attr));
        else if (what === 2) node[1] = node[1].slice(1);
        else
          node[0] =
            packed.model[0].nodes[attr % nodes.length] === 0
              ? 'relu'
              : String((packed.model[0].nodes[attr % nodes.length] as Node)[0]);
        refusal(forged);
      }),
      { numRuns: 1000 },
    );
  });
});
