import { describe, expect, test } from 'vitest';
import { dense, dropout, flatten, type InitRule, lambda, sequential, zeros } from '../../src/nn/index.ts';
import { type ActivationName, activation } from '../../src/nn/layers/activation.ts';
import { philox } from '../fixtures/philox.ts';
import { evaluate, f32, i32, trace } from './harness.ts';

function numbers(count: number, seed = 1): number[] {
  const random = philox(seed);
  return Array.from({ length: count }, () => 2 * random() - 1);
}

const FUNCTIONS: Partial<Record<ActivationName, (z: number) => number>> = {
  linear: (z) => z,
  relu: (z) => Math.max(z, 0),
  leakyRelu: (z) => (z > 0 ? z : 0.01 * z),
  elu: (z) => (z > 0 ? z : Math.expm1(z)),
  tanh: Math.tanh,
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  silu: (z) => z / (1 + Math.exp(-z)),
  softplus: (z) => Math.log1p(Math.exp(z)),
};

/** Row sums of x w + b, plainly. x [rows, inputs], w [inputs, units]. */
function affine(x: number[], w: number[], b: number[], inputs: number): number[] {
  const units = b.length;
  return Array.from({ length: (x.length / inputs) * units }, (_, i) => {
    const [row, unit] = [Math.floor(i / units), i % units];
    let z = b[unit];
    for (let k = 0; k < inputs; k++) z += x[row * inputs + k] * w[k * units + unit];
    return z;
  });
}

describe('dense', () => {
  test.each(Object.entries(FUNCTIONS))('%s is f(x w + b), alone and fused', (name, f) => {
    const [x, w, b] = [numbers(12, 1), numbers(8, 2), numbers(2, 3)];
    const parameters = { 'dense/weight': w, 'dense/bias': b };
    const run = (model: ReturnType<typeof sequential>) =>
      evaluate({ fields: [f32('x', 4)], rows: 3, data: { x }, model, parameters }).output();
    const expected = affine(x, w, b, 4).map(f);
    for (const outputs of [
      run(sequential(dense(2, name as ActivationName))),
      run(sequential(dense(2), activation(name as ActivationName))),
    ]) {
      expect(outputs).toHaveLength(6);
      outputs.forEach((y, i) => {
        expect(y).toBeCloseTo(expected[i], 12);
      });
    }
  });

  test('softmax and logSoftmax work on the last axis', () => {
    const [x, w, b] = [numbers(4), numbers(6, 2), numbers(3, 3)];
    const run = (name: ActivationName) =>
      evaluate({
        fields: [f32('x', 2)],
        rows: 2,
        data: { x },
        model: sequential(dense(3, name)),
        parameters: { 'dense/weight': w, 'dense/bias': b },
      }).output();
    const e = affine(x, w, b, 2).map(Math.exp);
    const expected = e.map((v, i) => v / (i < 3 ? e[0] + e[1] + e[2] : e[3] + e[4] + e[5]));
    expected.forEach((p, i) => {
      expect(run('softmax')[i]).toBeCloseTo(p, 12);
      expect(run('logSoftmax')[i]).toBeCloseTo(Math.log(p), 12);
    });
  });

  test('keeps the axes before the last', () => {
    const [x, w] = [numbers(24), numbers(8, 2)];
    const { output, shape } = evaluate({
      fields: [f32('x', 3, 4)],
      rows: 2,
      data: { x },
      model: sequential(dense(2, { bias: false })),
      parameters: { 'dense/weight': w },
    });
    expect(shape()).toEqual([2, 3, 2]);
    affine(x, w, [0, 0], 4).forEach((z, i) => {
      expect(output()[i]).toBeCloseTo(z, 12);
    });
  });

  test('starts by He before rectifiers and by Xavier otherwise', () => {
    const initOf = (name: ActivationName) => trace(sequential(dense(6, name)), [f32('x', 24)]).parameters[0].init;
    expect(initOf('relu')).toEqual({ kind: 'normal', mean: 0, std: Math.sqrt(2 / 24) });
    const limit = Math.sqrt(6 / 30);
    for (const name of ['tanh', 'linear', 'softmax'] as const) {
      expect(initOf(name)).toEqual({ kind: 'uniform', low: -limit, high: limit });
    }
    expect(trace(sequential(dense(6)), [f32('x', 24)]).parameters[1].init).toEqual({ kind: 'constant', value: 0 });
  });

  test('takes its own initialisers', () => {
    const init: InitRule = (fanIn, fanOut) => ({ kind: 'constant', value: fanIn * 100 + fanOut });
    const { parameters } = trace(sequential(dense(3, 'relu', { init: zeros(), biasInit: init })), [f32('x', 5)]);
    expect(parameters.map((p) => p.init)).toEqual([
      { kind: 'constant', value: 0 },
      { kind: 'constant', value: 503 },
    ]);
  });
});

test('flatten makes one vector a row', () => {
  const shapes = [f32('x', 2, 3, 4), f32('x'), f32('x', 5)].map(
    (field) => trace(sequential(flatten()), [field], 7).outputs.output.shape,
  );
  expect(shapes).toEqual([[7, 24], [7, 1], [7, 5]]); // biome-ignore format: short
});

describe('dropout', () => {
  const x = Array.from({ length: 4000 }, () => 1);
  const run = (training: boolean) =>
    evaluate({
      fields: [f32('x', 1000)],
      rows: 4,
      data: { x },
      model: sequential(dropout(0.25)),
      training,
    }).output();

  test('drops its share in training and keeps the mean', () => {
    const y = run(true);
    const kept = y.filter((v) => v !== 0);
    expect(new Set(kept)).toEqual(new Set([1 / 0.75]));
    // Six standard deviations of the binomial distribution.
    expect(Math.abs(kept.length / 4000 - 0.75)).toBeLessThan(6 * Math.sqrt((0.75 * 0.25) / 4000));
  });

  test('passes on otherwise', () => {
    expect(run(false)).toEqual(x);
  });

  test('one layer called twice has two masks', () => {
    const layer = dropout(0.5);
    const { output } = evaluate({
      fields: [f32('x', 64)],
      rows: 1,
      data: { x: x.slice(0, 64) },
      model: (inputs) => ({ a: layer(inputs.x), b: layer(inputs.x) }),
      training: true,
    });
    expect(output('a')).not.toEqual(output('b'));
  });
});

test('sequential takes functions as layers', () => {
  const { layers } = trace(
    sequential((x) => x, dense(2)),
    [f32('x', 3)],
  );
  expect(layers.map((row) => row.name)).toEqual(['lambda', 'dense']);
});

describe('bad arguments', () => {
  const option = (text: RegExp) => expect.objectContaining({ code: 'E_OPTION', message: expect.stringMatching(text) });
  const loose = { dense, dropout, sequential, activation, lambda } as unknown as Record<
    string,
    (...args: unknown[]) => unknown
  >;
  test.each([
    ['dense', [0], /units.*at least 1, got 0/],
    ['dense', [2.5], /units.*got 2.5/],
    ['dense', ['8'], /units.*got "8"/],
    ['dense', [8, 'rleu'], /activation.*"rleu".*did you mean 'relu'/],
    ['dense', [8, 'relu', { nmae: 'a' }], /unknown option 'nmae'.*did you mean 'name'/],
    ['dense', [8, { name: 'a/b' }], /name.*"a\/b".*scope/],
    ['dense', [8, { name: '' }], /name/],
    ['lambda', [(x: unknown) => x, { kind: 'my layer' }], /kind/],
    ['dense', [8, { bias: 0 }], /bias.*true or false, got 0/],
    ['dropout', [1], /rate.*below 1, got 1/],
    ['dropout', [-0.1], /rate/],
    ['dropout', [Number.NaN], /rate/],
    ['dropout', ['0.5'], /rate/],
    ['sequential', [], /at least one layer/],
    ['sequential', [{ name: 'a' }], /at least one layer/],
    ['sequential', [dense(1), 'relu'], /argument 2.*"relu"/],
    ['sequential', [dense(1), { nam: 'a' }], /did you mean 'name'/],
    ['activation', ['rellu'], /did you mean 'relu'/],
    ['lambda', [3], /function/],
  ] as const)('%s(%j)', (name, args, text) => {
    expect(() => loose[name](...args)).toThrow(option(text));
  });

  test('an initialiser that was not called', () => {
    const mistaken = { init: zeros as unknown as InitRule };
    expect(() => trace(sequential(dense(1, mistaken)), [f32('x', 2)])).toThrow(
      option(/dense: init.*as in heNormal\(\)/),
    );
  });

  test('inputs that dense cannot take', () => {
    expect(() => trace(sequential(dense(1)), [f32('x')])).toThrow(
      expect.objectContaining({ code: 'E_SHAPE', message: expect.stringMatching(/layer dense: dense.*reshape/) }),
    );
    expect(() => trace(sequential(dense(1)), [i32('x', 5, 3)])).toThrow(
      expect.objectContaining({ code: 'E_DTYPE', message: expect.stringMatching(/layer dense.*cast/) }),
    );
    expect(() => trace(() => dense(1)(undefined as never), [f32('x', 3)])).toThrow(
      expect.objectContaining({ code: 'E_MODEL', message: expect.stringMatching(/dense.*got nothing/) }),
    );
  });
});
