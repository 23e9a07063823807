import { describe, expect, test } from 'vitest';
import type { FieldInfo } from '../../src/data/contract.ts';
import { mul, reshape, sigmoid, softmax, square, sub, sum } from '../../src/graph/ops/index.ts';
import { parameter } from '../../src/graph/ops/leaf.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import type { LossDef, Model } from '../../src/nn/contract.ts';
import {
  activation,
  binaryCrossEntropy,
  crossEntropy,
  dense,
  dropout,
  huber,
  meanAbsoluteError,
  meanSquaredError,
  sequential,
} from '../../src/nn/index.ts';
import { applyLoss, lossWarnings } from '../../src/nn/losses.ts';
import { gradCheck } from '../../src/testing.ts';
import { philox } from '../fixtures/philox.ts';
import { evaluate, f32, i32, trace } from './harness.ts';

const asIs: Model = ({ x }) => x;

function lossOf(loss: LossDef, x: { info: FieldInfo; data: number[] }, y: { info: FieldInfo; data: number[] }): number {
  const rows =
    x.data.length /
    Math.max(
      1,
      x.info.shape.reduce((a, b) => a * b, 1),
    );
  return evaluate({
    fields: [x.info, y.info],
    rows,
    data: { x: x.data, y: y.data },
    model: asIs,
    loss,
  }).loss;
}

/** The mean over batch and elements of the plain formula. */
function nll(logits: number[], label: number): number {
  const largest = Math.max(...logits);
  return largest + Math.log(logits.reduce((s, z) => s + Math.exp(z - largest), 0)) - logits[label];
}

function chunk(values: number[], width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));
}

describe('cross-entropy', () => {
  // torch.nn.functional.cross_entropy(z, y, weight=w, label_smoothing=0.125) of PyTorch 1.13 in float64.
  const z = [0.5, -1.25, 2, 1.5, 0.25, -0.75, -2, 0.125, 1, 0, 3, -1];
  const y = [2, 0, 1, 2];
  const classWeights = [0.5, 2, 4];
  const x = { info: f32('x', 3), data: z };
  const labels = { info: i32('y', 3), data: y };
  test.each([
    ['plain', {}, 1.4717896907570094],
    ['smoothed', { labelSmoothing: 0.125 }, 1.5186646907570094],
    ['weighted', { classWeights }, 1.8928876557775394],
    ['weighted and smoothed', { classWeights, labelSmoothing: 0.125 }, 1.8391300002326574],
  ])('%s is what PyTorch gives', (_, options, expected) => {
    expect(lossOf(crossEntropy(options), x, labels)).toBeCloseTo(expected, 12);
  });

  test('is the plain formula on random logits, smoothed and weighted', () => {
    const random = philox(5);
    const [rows, classes, eps] = [17, 4, 0.25];
    const logits = Array.from({ length: rows * classes }, () => 6 * random() - 3);
    const target = Array.from({ length: rows }, () => Math.floor(random() * classes));
    const w = [0.5, 1, 2, 8];
    let [value, weight] = [0, 0];
    chunk(logits, classes).forEach((row, i) => {
      value += (1 - eps) * w[target[i]] * nll(row, target[i]);
      for (let c = 0; c < classes; c++) value += (eps / classes) * w[c] * nll(row, c);
      weight += w[target[i]];
    });
    const loss = crossEntropy({ labelSmoothing: eps, classWeights: w });
    const got = lossOf(loss, { info: f32('x', classes), data: logits }, { info: i32('y', classes), data: target });
    expect(got).toBeCloseTo(value / weight, 12);
  });

  test('takes a label for each position', () => {
    const got = lossOf(crossEntropy(), { info: f32('x', 2, 3), data: z }, { info: i32('y', 3, 2), data: y });
    expect(got).toBeCloseTo(1.4717896907570094, 12);
  });

  test('takes labels in a column', () => {
    expect(lossOf(crossEntropy(), x, { info: i32('y', 3, 1), data: y })).toBeCloseTo(1.4717896907570094, 12);
  });

  test('a class of weight 0 counts for nothing', () => {
    const all = lossOf(crossEntropy({ classWeights: [1, 0, 1] }), x, labels);
    const others = chunk(z, 3).flatMap((row, i) => (y[i] === 1 ? [] : [nll(row, y[i])]));
    expect(all).toBeCloseTo(others.reduce((s, v) => s + v, 0) / 3, 12);
  });

  test.each([
    ['plain', {}],
    ['weighted and smoothed', { classWeights, labelSmoothing: 0.125 }],
  ])('%s: a mask leaves labels out', (_, options) => {
    const fields = [f32('x', 2, 3), i32('y', 3, 2), f32('keep', 2, 1)];
    const model: Model = ({ x }) => x;
    const run = (loss: LossDef, keep: readonly number[]) =>
      evaluate({ fields, rows: 2, data: { x: z, y, keep: [...keep] }, model, loss }).loss;
    const masked = run(crossEntropy({ ...options, mask: 'keep' }), [1, 0, 1, 1]);
    const [a, , c, d] = chunk(z, 3);
    const three = { info: f32('x', 3), data: [...a, ...c, ...d] };
    expect(masked).toBeCloseTo(
      lossOf(crossEntropy(options), three, { info: i32('y', 3), data: [y[0], y[2], y[3]] }),
      12,
    );
    expect(run(crossEntropy({ ...options, mask: 'keep' }), [1, 1, 1, 1])).toBeCloseTo(
      run(crossEntropy(options), [0, 0, 0, 0]),
      12,
    );
  });

  test('a mask that is no field, or of another shape, is refused', () => {
    const of = (mask: string) => () =>
      evaluate({
        fields: [f32('x', 2, 3), i32('y', 3, 2), f32('keep', 3)],
        rows: 2,
        data: { x: z, y, keep: [1, 1, 1, 1, 1, 1] },
        model: ({ x }) => x,
        loss: crossEntropy({ mask }),
      });
    expect(of('kept')).toThrow(/did you mean/);
    expect(of('keep')).toThrow(/a number for each label/);
  });

  test('large logits do not overflow', () => {
    const got = lossOf(crossEntropy(), { info: f32('x', 2), data: [1000, -1000] }, { info: i32('y', 2), data: [1] });
    expect(got).toBe(2000);
  });
});

describe('the others are their formulas', () => {
  const random = philox(9);
  const p = Array.from({ length: 24 }, () => 6 * random() - 3);
  const t = Array.from({ length: 24 }, () => 6 * random() - 3);
  const mean = (f: (p: number, t: number) => number, target = t) =>
    p.reduce((s, v, i) => s + f(v, target[i]), 0) / p.length;
  const bits = t.map((v) => (v > 0 ? 1 : 0));
  const bce = (z: number, y: number) =>
    -(y * Math.log(1 / (1 + Math.exp(-z))) + (1 - y) * Math.log(1 / (1 + Math.exp(z))));
  const hub = (delta: number) => (a: number, b: number) =>
    Math.abs(a - b) <= delta ? (a - b) ** 2 / 2 : delta * (Math.abs(a - b) - delta / 2);

  test.each([
    ['meanSquaredError', meanSquaredError(), mean((a, b) => (a - b) ** 2)],
    ['meanAbsoluteError', meanAbsoluteError(), mean((a, b) => Math.abs(a - b))],
    ['huber', huber(), mean(hub(1))],
    ['huber, delta 0.5', huber({ delta: 0.5 }), mean(hub(0.5))],
  ])('%s, in every shape that a target may have', (_, loss, expected) => {
    for (const [output, target] of [
      [f32('x'), f32('y')],
      [f32('x', 1), f32('y')],
      [f32('x'), f32('y', 1)],
      [f32('x', 3), f32('y', 3)],
      [f32('x', 2, 1, 3), f32('y', 2, 3)],
    ]) {
      expect(lossOf(loss, { info: output, data: p }, { info: target, data: t })).toBeCloseTo(expected, 12);
    }
  });

  test('binaryCrossEntropy', () => {
    const x = { info: f32('x', 1), data: p };
    const expected = mean(bce, bits);
    expect(lossOf(binaryCrossEntropy(), x, { info: i32('y', 2), data: bits })).toBeCloseTo(expected, 12);
    expect(lossOf(binaryCrossEntropy(), x, { info: f32('y'), data: bits })).toBeCloseTo(expected, 12);
    const soft = bits.map((b) => 0.25 + b / 2);
    expect(lossOf(binaryCrossEntropy(), x, { info: f32('y'), data: soft })).toBeCloseTo(mean(bce, soft), 12);
  });

  test('integer targets of a regression are converted', () => {
    const integers = t.map((v) => Math.abs(Math.round(v)));
    const got = lossOf(meanSquaredError(), { info: f32('x'), data: p }, { info: i32('y', 4), data: integers });
    expect(got).toBeCloseTo(
      mean((a, b) => (a - b) ** 2, integers),
      12,
    );
  });
});

describe('gradients', () => {
  /** The sum that is differentiated, for predictions that are a parameter. */
  function check(loss: LossDef, shape: number[], target: FieldInfo, low = -2, high = 2) {
    const rows = shape[0];
    const numbers =
      target.dtype === 'i32'
        ? { dtype: 'i32' as const, shape: [rows, ...target.shape], size: target.size ?? 2 }
        : { shape: [rows, ...target.shape], low, high };
    return gradCheck(
      ({ p }, inputs) =>
        applyLoss(loss, {
          outputs: { output: p },
          inputs,
          info: { y: { ...target, size: target.size ?? 0 } },
          parameters: [],
          buffers: [],
          statistics: [],
          layers: [],
        }),
      { parameters: { p: { shape, low: -2, high: 2 } }, inputs: { y: numbers }, seed: 3 },
    );
  }
  test.each([
    ['crossEntropy', crossEntropy(), [5, 4], i32('y', 4)],
    ['crossEntropy of positions', crossEntropy(), [3, 2, 4], i32('y', 4, 2)],
    ['crossEntropy, smoothed', crossEntropy({ labelSmoothing: 0.2 }), [5, 4], i32('y', 4)],
    ['crossEntropy, weighted', crossEntropy({ classWeights: [1, 2, 0, 3] }), [5, 4], i32('y', 4)],
    ['crossEntropy, both', crossEntropy({ classWeights: [1, 2, 4, 3], labelSmoothing: 0.2 }), [5, 4], i32('y', 4)],
    ['binaryCrossEntropy', binaryCrossEntropy(), [6, 1], i32('y', 2)],
    ['meanSquaredError', meanSquaredError(), [6, 1], f32('y')],
    ['meanAbsoluteError', meanAbsoluteError(), [4, 2], f32('y', 2)],
    ['huber', huber({ delta: 0.7 }), [12], f32('y')],
  ])('%s agrees with finite differences', (_, loss, shape, target) => {
    expect(check(loss, shape, target).error).toBeLessThan(1e-6);
  });
});

describe('custom losses', () => {
  const fields = [f32('x', 2), f32('y', 2), f32('w')];
  const data = { x: [1, 2, 3, 4], y: [0, 0, 1, 1], w: [1, 3] };
  const run = (loss: LossDef) => evaluate({ fields, rows: 2, data, model: asIs, loss }).loss;
  const rowError = ({ output }: Record<string, Tensor>, { y }: Record<string, Tensor>) =>
    sum(square(sub(output, y)), { axis: 1 });

  test('a tensor has weight 1, a pair is a weighted mean', () => {
    expect(run(rowError)).toBe((5 + 13) / 2);
    expect(run((outputs, f) => ({ value: rowError(outputs, f), weight: f.w }))).toBe((5 + 3 * 13) / 4);
  });

  test('get info, and several outputs by name', () => {
    const model: Model = ({ x }) => ({ a: x, b: mul(x, 2) });
    const loss: LossDef = ({ a, b }, _, info) => {
      expect(info.x.shape).toEqual([2]);
      return sum(sub(b, a), { axis: 1 });
    };
    expect(evaluate({ fields, rows: 2, data, model, loss }).loss).toBe((3 + 7) / 2);
  });

  test.each([
    ['nothing', (() => undefined) as unknown as LossDef, 'E_LOSS', /got nothing.*not their mean/],
    ['a number', (() => 1) as unknown as LossDef, 'E_LOSS', /got 1/],
    ['a value that is none', (() => ({ value: 3 })) as unknown as LossDef, 'E_LOSS', /no tensor/],
    ['an unknown output', ({ outptu }) => outptu, 'E_LOSS', /'outptu'.*did you mean 'output'/],
    ['an unknown field', (_, { z }) => z, 'E_LOSS', /fields x, y, w.*'z'/],
    [
      'a weight of another shape',
      ({ output }, { w }) => ({ value: output, weight: w }),
      'E_SHAPE',
      /weight of shape \[2, 2\].*\[2\]/,
    ],
  ] as [string, LossDef, string, RegExp][])('%s is refused', (_, loss, code, text) => {
    expect(() => applyLoss(loss, trace(asIs, fields))).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(text) }),
    );
  });
});

describe('outputs and targets by name', () => {
  const fields = [f32('x', 3), i32('kind', 3), f32('price')];
  const model: Model = ({ x }) => ({ kind: x, price: sum(x, { axis: 1 }) });
  const data = { x: [0.5, -1.25, 2, 1.5, 0.25, -0.75], kind: [2, 0], price: [1, 2] };
  test('are used', () => {
    const ce = evaluate({ fields, rows: 2, data, model, loss: crossEntropy({ output: 'kind', target: 'kind' }) });
    expect(ce.loss).toBeCloseTo((nll([0.5, -1.25, 2], 2) + nll([1.5, 0.25, -0.75], 0)) / 2, 12);
    const mse = evaluate({
      fields,
      rows: 2,
      data,
      model,
      loss: meanSquaredError({ output: 'price', target: 'price' }),
    });
    expect(mse.loss).toBeCloseTo((0.25 ** 2 + 1) / 2, 12);
  });
  test('must be given where there are several, and must exist', () => {
    const apply = (loss: LossDef) => () => applyLoss(loss, trace(model, fields));
    expect(apply(crossEntropy())).toThrow(/outputs kind, price.*crossEntropy\(\{ output: 'kind' \}\)/);
    expect(apply(crossEntropy({ output: 'kid' }))).toThrow(/'kid'.*did you mean 'kind'/);
    expect(apply(crossEntropy({ output: 'kind' }))).toThrow(/fields x, kind, price.*'y'.*target: /);
    expect(apply(crossEntropy({ output: 'kind', target: 'kin' }))).toThrow(/did you mean 'kind'/);
  });
  test('the only output, or the one called output, is the default', () => {
    const two: Model = ({ x }) => ({ output: x, other: x });
    expect(
      evaluate({ fields, rows: 2, data, model: two, loss: crossEntropy({ target: 'kind' }) }).loss,
    ).toBeGreaterThan(0);
  });
});

describe('what does not fit is refused', () => {
  const apply = (loss: LossDef, x: FieldInfo, y: FieldInfo) => () => applyLoss(loss, trace(asIs, [x, y]));
  test.each([
    [
      'fewer classes than labels',
      crossEntropy(),
      f32('x', 9),
      i32('y', 10),
      'E_LOSS',
      /10 classes in output 'output'.*field 'y'.*got 9.*dense\(10\)/,
    ],
    ['labels that are no integers', crossEntropy(), f32('x', 3), f32('y'), 'E_DTYPE', /field 'y'.*got f32/],
    [
      'one label for several vectors',
      crossEntropy(),
      f32('x', 28, 10),
      i32('y', 10),
      'E_SHAPE',
      /\[n, classes\].*\[n, 28, 10\].*flatten/,
    ],
    ['several labels for one vector', crossEntropy(), f32('x', 10), i32('y', 10, 4), 'E_SHAPE', /\[n, 4, classes\]/],
    ['a number where a vector belongs', crossEntropy(), f32('x'), i32('y', 2), 'E_SHAPE', /got \[n\]/],
    [
      'class weights of another number',
      crossEntropy({ classWeights: [1, 2] }),
      f32('x', 3),
      i32('y', 3),
      'E_OPTION',
      /3 weights.*got 2/,
    ],
    [
      'three classes for a binary loss',
      binaryCrossEntropy(),
      f32('x', 1),
      i32('y', 3),
      'E_LOSS',
      /labels 0 and 1.*0 to 2.*dense\(3\)/,
    ],
    ['two logits for a binary loss', binaryCrossEntropy(), f32('x', 2), i32('y', 2), 'E_SHAPE', /\[n\].*got \[n, 2\]/],
    [
      'a prediction that would broadcast',
      meanSquaredError(),
      f32('x', 1),
      f32('y', 3),
      'E_SHAPE',
      /output 'output'.*field 'y', \[n, 3\].*got \[n, 1\]/,
    ],
    ['a target that would broadcast', huber(), f32('x', 3), f32('y'), 'E_SHAPE', /\[n\].*got \[n, 3\]/],
  ] as [string, LossDef, FieldInfo, FieldInfo, string, RegExp][])('%s', (_, loss, x, y, code, text) => {
    expect(apply(loss, x, y)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(text) }));
  });

  test('a column of n predictions against n targets does not become n by n, even for one row', () => {
    const traced = trace(({ x }) => x, [f32('x', 1), f32('y')], 1);
    expect(applyLoss(meanSquaredError(), traced).value.shape).toEqual([1]);
    const scalar = { ...traced, outputs: { output: reshape(parameter('p', [1]), []) } };
    expect(() => applyLoss(meanSquaredError(), scalar)).toThrow(/got \[\]/);
  });

  const loose = { crossEntropy, binaryCrossEntropy, huber, meanSquaredError } as unknown as Record<
    string,
    (o: object) => LossDef
  >;
  test.each([
    ['crossEntropy', { labelSmoothing: 1 }, /labelSmoothing.*got 1/],
    ['crossEntropy', { labelSmoothing: '0.1' }, /got "0.1"/],
    ['crossEntropy', { labelsmoothing: 0.1 }, /did you mean 'labelSmoothing'/],
    ['crossEntropy', { classWeights: [1, -1] }, /classWeights/],
    ['crossEntropy', { classWeights: [0, 0] }, /not all of them 0/],
    ['crossEntropy', { classWeights: [0, 1], labelSmoothing: 0.1 }, /above 0 where labels are smoothed/],
    ['huber', { delta: 0 }, /delta.*got 0/],
    ['huber', { dleta: 1 }, /did you mean 'delta'/],
    ['binaryCrossEntropy', { labelSmoothing: 0.1 }, /unknown option/],
    ['meanSquaredError', { outptu: 'a' }, /did you mean 'output'/],
  ])('%s(%j)', (name, options, text) => {
    expect(() => loose[name](options)).toThrow(
      expect.objectContaining({ code: 'E_OPTION', message: expect.stringMatching(text) }),
    );
  });
});

describe('warnings', () => {
  const warn = (model: Model, loss: LossDef) => lossWarnings(trace(model, [f32('x', 4), i32('y', 3)]).outputs, loss);
  test.each([
    [
      'softmax layer',
      sequential(dense(3), activation('softmax')),
      crossEntropy(),
      /^softmax directly before crossEntropy/,
    ],
    ['dense with softmax', sequential(dense(3, 'softmax')), crossEntropy(), /in layer dense/],
    ['logSoftmax', sequential(dense(3, 'logSoftmax')), crossEntropy(), /^logSoftmax/],
    [
      'softmax under a reshape and dropout',
      sequential(dense(3, 'softmax'), (t) => reshape(t, [-1, 3]), dropout(0.1)),
      crossEntropy(),
      /^softmax/,
    ],
    ['softmax op', (({ x }) => softmax(dense(3)(x))) as Model, crossEntropy(), /^softmax/],
    [
      'fused sigmoid',
      sequential(dense(1, 'sigmoid')),
      binaryCrossEntropy(),
      /^sigmoid directly before binaryCrossEntropy/,
    ],
    ['sigmoid without bias', sequential(dense(1, 'sigmoid', { bias: false })), binaryCrossEntropy(), /^sigmoid/],
    ['sigmoid op', (({ x }) => sigmoid(dense(1)(x))) as Model, binaryCrossEntropy(), /^sigmoid/],
  ] as [string, Model, LossDef, RegExp][])('%s', (_, model, loss, text) => {
    const warnings = warn(model, loss);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(text);
  });

  test.each([
    ['logits', sequential(dense(8, 'sigmoid'), dense(3)), crossEntropy()],
    ['fused relu', sequential(dense(3, 'relu')), crossEntropy()],
    ['softmax with a custom loss', sequential(dense(3, 'softmax')), () => parameter('p', [1])],
    ['sigmoid in a regression', sequential(dense(1, 'sigmoid')), meanSquaredError()],
    [
      'softmax of another output',
      (({ x }) => ({ a: dense(3)(x), b: softmax(x) })) as Model,
      crossEntropy({ output: 'a' }),
    ],
  ] as [string, Model, LossDef][])('not for %s', (_, model, loss) => {
    expect(warn(model, loss)).toEqual([]);
  });
});
