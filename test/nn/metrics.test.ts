import { describe, expect, test } from 'vitest';
import type { FieldInfo } from '../../src/data/contract.ts';
import { sum } from '../../src/graph/ops/index.ts';
import type { LossDef, MetricDef, Model } from '../../src/nn/contract.ts';
import {
  accuracy,
  binaryCrossEntropy,
  crossEntropy,
  f1,
  huber,
  mae,
  meanAbsoluteError,
  meanSquaredError,
  mse,
  precision,
  r2,
  recall,
  rmse,
  topK,
} from '../../src/nn/index.ts';
import { resolveMetrics } from '../../src/nn/metrics.ts';
import { philox } from '../fixtures/philox.ts';
import { evaluate, f32, i32, trace } from './harness.ts';

const asIs: Model = ({ x }) => x;

/** The metric of x against y in parts of different size, whose sums are added as those of shards are. */
function sharded(metric: MetricDef, x: FieldInfo, y: FieldInfo, xs: number[], ys: number[]): number {
  const [widthX, widthY] = [x, y].map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const rows = xs.length / widthX;
  const cut = Math.max(1, Math.floor(rows / 3));
  const total: Record<string, number> = {};
  for (const [from, to] of rows === 1
    ? [[0, 1]]
    : [
        [0, cut],
        [cut, rows],
      ]) {
    // biome-ignore format: short
    const spy: MetricDef = {
      ...metric,
      finish(sums) {
        for (const [name, value] of Object.entries(sums)) total[name] = (total[name] ?? 0) + value;
        return 0;
      },
    };
    evaluate({
      fields: [x, y],
      rows: to - from,
      data: { x: xs.slice(from * widthX, to * widthX), y: ys.slice(from * widthY, to * widthY) },
      model: asIs,
      metrics: [spy],
    });
  }
  return metric.finish(total);
}

function chunk(values: number[], width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));
}

const random = philox(21);
const uniform = (count: number, low = -2, high = 2) =>
  Array.from({ length: count }, () => low + (high - low) * random());
const integers = (count: number, size: number) => Array.from({ length: count }, () => Math.floor(random() * size));
const average = (values: number[]) => values.reduce((s, v) => s + v, 0) / values.length;

describe('classes', () => {
  const [rows, classes] = [50, 7];
  const scores = uniform(rows * classes);
  const labels = integers(rows, classes);
  /** Place of the label among the scores of its row, from 0. */
  const places = chunk(scores, classes).map((row, i) => row.filter((v) => v > row[labels[i]]).length);

  test('what a loss masks, accuracy and topK do not count', () => {
    const fields = [f32('x', 2, 3), i32('y', 3, 2), f32('keep', 2)];
    const data = { x: [9, 0, 0, 0, 9, 0, 0, 9, 0, 0, 0, 9], y: [0, 0, 1, 0], keep: [1, 0, 1, 1] };
    const loss = crossEntropy({ mask: 'keep' });
    const result = evaluate({
      fields,
      rows: 2,
      data,
      model: asIs,
      loss,
      metrics: resolveMetrics(['accuracy', 'top3'], loss),
    });
    expect(result.metrics).toEqual({ accuracy: 2 / 3, top3: 1 }); // of positions 0, 2, 3 the last is wrong
  });

  test('accuracy is the share of rows whose largest logit is the label', () => {
    const expected = average(places.map((place) => (place === 0 ? 1 : 0)));
    expect(expected).toBeGreaterThan(0);
    expect(sharded(accuracy(), f32('x', classes), i32('y', classes), scores, labels)).toBeCloseTo(expected, 12);
    expect(sharded(accuracy(), f32('x', classes), i32('y', classes, 1), scores, labels)).toBeCloseTo(expected, 12);
    expect(sharded(accuracy(), f32('x', 5, classes), i32('y', classes, 5), scores, labels)).toBeCloseTo(expected, 12);
  });

  test.each([1, 3, 5, 7])('top%i is the share of rows whose label is among the k largest', (k) => {
    const expected = average(places.map((place) => (place < k ? 1 : 0)));
    expect(sharded(topK(k), f32('x', classes), i32('y', classes), scores, labels)).toBeCloseTo(expected, 12);
  });

  test('of two equal logits the first is the answer', () => {
    const at = (label: number) => sharded(accuracy(), f32('x', 3), i32('y', 3), [1, 4, 4], [label]);
    expect([at(0), at(1), at(2)]).toEqual([0, 1, 0]);
  });
});

describe('one logit', () => {
  const logits = uniform(60);
  const bits = integers(60, 2);
  const called = logits.map((z) => z > 0);
  const count = (f: (called: boolean, bit: number) => boolean) => called.filter((c, i) => f(c, bits[i])).length;
  const [hits, calls, positives] = [count((c, b) => c && b === 1), count((c) => c), count((_, b) => b === 1)];

  test.each([
    ['accuracy', accuracy(), count((c, b) => c === (b === 1)) / 60],
    ['precision', precision(), hits / calls],
    ['recall', recall(), hits / positives],
    ['f1', f1(), 2 / (calls / hits + positives / hits)],
  ])('%s counts the signs', (_, metric, expected) => {
    for (const [x, y] of [
      [f32('x'), i32('y', 2)],
      [f32('x', 1), i32('y', 2)],
      [f32('x', 1), f32('y')],
      [f32('x', 4), f32('y', 4)],
      [f32('x', 4), i32('y', 2, 4)],
    ]) {
      expect(sharded(metric, x, y, logits, bits)).toBeCloseTo(expected, 12);
    }
  });

  test('nothing called positive has no precision', () => {
    expect(sharded(precision(), f32('x'), i32('y', 2), [-1, -2], [1, 0])).toBeNaN();
    expect(sharded(recall(), f32('x'), i32('y', 2), [-1, -2], [1, 0])).toBe(0);
  });
});

describe('numbers', () => {
  const [p, y] = [uniform(60), uniform(60)];
  const d = p.map((v, i) => v - y[i]);
  test.each([
    ['mae', mae(), average(d.map(Math.abs))],
    ['mse', mse(), average(d.map((v) => v * v))],
    ['rmse', rmse(), Math.sqrt(average(d.map((v) => v * v)))],
  ])('%s is the mean over all elements', (_, metric, expected) => {
    expect(sharded(metric, f32('x', 1), f32('y'), p, y)).toBeCloseTo(expected, 12);
    expect(sharded(metric, f32('x', 3), f32('y', 3), p, y)).toBeCloseTo(expected, 12);
  });

  const plainR2 = (prediction: number[], target: number[]) => {
    const mean = average(target);
    const residual = prediction.reduce((s, v, i) => s + (target[i] - v) ** 2, 0);
    return 1 - residual / target.reduce((s, v) => s + (v - mean) ** 2, 0);
  };

  test('r2 is 1 - residual / spread, the mean of the columns', () => {
    expect(sharded(r2(), f32('x', 1), f32('y'), p, y)).toBeCloseTo(plainR2(p, y), 10);
    const column = (values: number[], j: number) => values.filter((_, i) => i % 3 === j);
    const expected = average([0, 1, 2].map((j) => plainR2(column(p, j), column(y, j))));
    expect(expected).not.toBeCloseTo(plainR2(p, y), 3);
    expect(sharded(r2(), f32('x', 3), f32('y', 3), p, y)).toBeCloseTo(expected, 10);
  });

  test('r2 survives a mean far from 0', () => {
    const far = y.map((v) => v + 1e4);
    const near = far.map((v, i) => v + 0.3 * p[i]);
    expect(sharded(r2(), f32('x'), f32('y'), near, far)).toBeCloseTo(plainR2(near, far), 6);
  });

  test('r2 of integers and of constants', () => {
    const whole = integers(30, 5);
    expect(sharded(r2(), f32('x'), i32('y', 5), p.slice(0, 30), whole)).toBeCloseTo(plainR2(p.slice(0, 30), whole), 10);
    const constant = [0.1, 0.1, 0.1];
    expect(sharded(r2(), f32('x'), f32('y'), constant, constant)).toBe(1);
    expect(sharded(r2(), f32('x'), f32('y'), [0.1, 0.2, 0.1], constant)).toBe(0);
  });
});

describe('resolveMetrics', () => {
  const namesOf = (metrics: (string | MetricDef)[] | undefined, loss: LossDef) =>
    resolveMetrics(metrics, loss).map((metric) => metric.name);

  test('without names gives those that fit the loss', () => {
    expect(namesOf(undefined, crossEntropy())).toEqual(['accuracy']);
    expect(namesOf(undefined, binaryCrossEntropy())).toEqual(['accuracy']);
    expect(namesOf(undefined, meanSquaredError())).toEqual(['mae', 'r2']);
    expect(namesOf(undefined, meanAbsoluteError())).toEqual(['r2']);
    expect(namesOf(undefined, huber())).toEqual(['mae', 'r2']);
    expect(namesOf(undefined, ({ output }) => output)).toEqual([]);
    expect(namesOf([], crossEntropy())).toEqual([]);
  });

  test('knows every metric by name, and the direction of each', () => {
    const all = ['accuracy', 'precision', 'recall', 'f1', 'r2', 'top5', 'top2', 'mae', 'mse', 'rmse'];
    const resolved = resolveMetrics(all, crossEntropy());
    expect(resolved.map((metric) => metric.name)).toEqual(all);
    expect(resolved.map((metric) => metric.mode)).toEqual([...Array(7).fill('max'), ...Array(3).fill('min')]);
  });

  test('named metrics compare what the loss compares, definitions what they say', () => {
    const fields = [f32('x', 2), i32('kind', 2), f32('price')];
    const model: Model = ({ x }) => ({ kind: x, price: sum(x, { axis: 1 }) });
    const loss = crossEntropy({ output: 'kind', target: 'kind' });
    const metrics = resolveMetrics(['accuracy', mae({ output: 'price', target: 'price', name: 'priceMae' })], loss);
    const data = { x: [1, 2, 3, 1], kind: [1, 1], price: [3, 5] };
    const result = evaluate({ fields, rows: 2, data, model, metrics });
    expect(result.metrics).toEqual({ accuracy: 0.5, priceMae: 0.5 });
  });

  const own: MetricDef = {
    name: 'own',
    mode: 'min',
    sums: ({ output }) => ({ s: { value: output } }),
    finish: (s) => s.s,
  };
  test.each([
    ['a misspelt name', ['acuracy'], /'acuracy'.*did you mean 'accuracy'/],
    ['top0', ['top0'], /topK/],
    ['two of one name', ['mae', mae({ output: 'b' })], /two of the name 'mae'/],
    ['a metric called loss', [{ ...own, name: 'loss' }], /loss/],
    ['a name with a dot', [{ ...own, name: 'val.own' }], /letters/],
    ['no finish', [{ ...own, finish: undefined as never }], /finish/],
    ['another mode', [{ ...own, mode: 'up' as never }], /'min' or 'max'/],
  ] as [string, (string | MetricDef)[], RegExp][])('%s is E_OPTION', (_, metrics, text) => {
    expect(() => resolveMetrics(metrics, crossEntropy())).toThrow(
      expect.objectContaining({ code: 'E_OPTION', message: expect.stringMatching(text) }),
    );
  });
});

describe('what does not fit is refused', () => {
  test.each([
    ['accuracy of numbers', accuracy(), f32('x', 3), f32('y'), 'E_DTYPE', /accuracy.*field 'y'/],
    ['top2 of one logit', topK(2), f32('x'), i32('y', 2), 'E_SHAPE', /top2/],
    ['mae of three against one', mae(), f32('x', 3), f32('y'), 'E_SHAPE', /mae.*got \[n, 3\]/],
    ['f1 of classes', f1(), f32('x', 3), i32('y', 3), 'E_SHAPE', /f1/],
  ] as [string, MetricDef, FieldInfo, FieldInfo, string, RegExp][])('%s', (_, metric, x, y, code, text) => {
    const { outputs, inputs } = trace(asIs, [x, y]);
    expect(() => metric.sums(outputs, inputs)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(text) }),
    );
  });

  const loose = { accuracy, mae } as unknown as Record<string, (options: object) => MetricDef>;
  test.each([
    ['accuracy', { taget: 'a' }, /did you mean 'target'/],
    ['mae', { name: 'val.mae' }, /name.*"val.mae"/],
  ])('%s(%j)', (name, options, text) => {
    expect(() => loose[name](options)).toThrow(
      expect.objectContaining({ code: 'E_OPTION', message: expect.stringMatching(text) }),
    );
  });
});
