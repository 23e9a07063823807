import { describe, expect, test } from 'vitest';
import { add, concat, mul, reshape } from '../../src/graph/ops/index.ts';
import type { Model } from '../../src/nn/contract.ts';
import { activation, dense, flatten, lambda, ones, scope, sequential } from '../../src/nn/index.ts';
import { evaluate, f32, i32, trace } from './harness.ts';

const FIELDS = [f32('x', 4), f32('z', 4), i32('y', 3)];

function names(model: Model): string[] {
  return trace(model, FIELDS).parameters.map((p) => p.name);
}

describe('parameter names', () => {
  test('follow kind and order', () => {
    const model = sequential(dense(8, 'relu'), flatten(), dense(8), dense(3, { bias: false }));
    expect(names(model)).toEqual(['dense/weight', 'dense/bias', 'dense_1/weight', 'dense_1/bias', 'dense_2/weight']);
  });

  test('are the same in every trace of the same layer objects', () => {
    const shared = dense(4);
    const model = sequential(shared, dense(3));
    expect(names(model)).toEqual(names(model));
    // In another model the same object is counted anew.
    expect(names(({ x }) => dense(2)(shared(x)))[0]).toBe('dense/weight');
    expect(names(({ x }) => shared(dense(4)(x)))[2]).toBe('dense_1/weight');
  });

  test('are given, and nested by named sequentials and scopes', () => {
    const tower = (name: string) => sequential(dense(5), sequential(dense(2), dense(2, { name: 'last' })), { name });
    const model: Model = ({ x, z }) =>
      scope('both', () => dense(1, { name: 'head' })(concat([tower('left')(x), tower('right')(z)])));
    const weights = names(model).filter((name) => name.endsWith('weight'));
    expect(weights).toEqual([
      'both/left/dense/weight',
      'both/left/dense_1/weight',
      'both/left/last/weight',
      'both/right/dense/weight',
      'both/right/dense_1/weight',
      'both/right/last/weight',
      'both/head/weight',
    ]);
  });

  test('a scope entered again counts on', () => {
    const model: Model = ({ x }) => {
      const h = scope('block', () => dense(4)(x));
      return scope('block', () => dense(4)(h));
    };
    expect(names(model)).toEqual([
      'block/dense/weight',
      'block/dense/bias',
      'block/dense_1/weight',
      'block/dense_1/bias',
    ]);
  });

  test('an automatic name avoids one that was given before', () => {
    expect(names(({ x }) => dense(4)(dense(4, { name: 'dense' })(x)))[2]).toBe('dense_1/weight');
  });

  test('duplicates are refused', () => {
    expect(() => names(sequential(dense(4, { name: 'a' }), dense(4, { name: 'a' })))).toThrow(
      expect.objectContaining({ code: 'E_MODEL', message: expect.stringContaining('layer a') }),
    );
    expect(() => names(sequential(dense(4), dense(4, { name: 'dense' })))).toThrow(/earlier layer without one/);
    expect(() => names(sequential(sequential(dense(4), { name: 'a' }), dense(4, { name: 'a' })))).toThrow(/layer a/);
  });
});

describe('one layer called twice', () => {
  test('has one set of weights, and is one row', () => {
    const twin = dense(2, { name: 'twin' });
    const traced = trace(({ x, z }) => add(twin(x), twin(z)), FIELDS);
    expect(traced.parameters.map((p) => p.name)).toEqual(['twin/weight', 'twin/bias']);
    expect(traced.layers).toEqual([{ name: 'twin', kind: 'dense', outputShape: [2, 2], parameters: 10 }]);
  });

  test('computes with the same numbers', () => {
    const twin = dense(1, { name: 'twin' });
    const { output } = evaluate({
      fields: [f32('x', 2), f32('z', 2)],
      rows: 1,
      data: { x: [1, 2], z: [10, 20] },
      model: ({ x, z }) => ({ a: twin(x), b: twin(z) }),
      parameters: { 'twin/weight': [3, 4], 'twin/bias': [0.5] },
    });
    expect([output('a'), output('b')]).toEqual([[11.5], [110.5]]);
  });

  test('keeps the path of its first call', () => {
    const shared = sequential(dense(4), { name: 'shared' });
    expect(names(({ x }) => scope('late', () => shared(scope('early', () => shared(x)))))).toEqual([
      'early/shared/dense/weight',
      'early/shared/dense/bias',
    ].map((name) => name.replace('early', 'late/early'))); // biome-ignore format: short
  });

  test('refuses another width', () => {
    const twin = dense(2, { name: 'twin' });
    expect(() => trace(({ x, z }) => add(twin(x), twin(concat([x, z]))), FIELDS)).toThrow(
      expect.objectContaining({ code: 'E_SHAPE', message: expect.stringMatching(/layer twin.*\[4, 2\].*\[8, 2\]/) }),
    );
  });
});

describe('what a model may be', () => {
  test('a tensor is called output, records keep their names', () => {
    expect(Object.keys(trace(({ x }) => dense(1)(x), FIELDS).outputs)).toEqual(['output']);
    expect(Object.keys(trace(({ x }) => ({ a: x, b: dense(1)(x) }), FIELDS).outputs)).toEqual(['a', 'b']);
  });

  test.each([
    ['nothing', () => undefined],
    ['a number', () => 3],
    ['a list', ({ x }: { x: unknown }) => [x]],
    ['an empty record', () => ({})],
    ['a promise', async ({ x }: { x: unknown }) => x],
    ['a record with a number', ({ x }: { x: unknown }) => ({ a: x, b: 1 })],
  ])('%s is E_MODEL', (_, model) => {
    expect(() => trace(model as unknown as Model, FIELDS)).toThrow(
      expect.objectContaining({ code: 'E_MODEL', message: expect.stringContaining('tensor') }),
    );
  });

  test('a field that does not exist is named, with a suggestion', () => {
    const fields = [f32('user', 2), f32('item', 2)];
    expect(() => trace(({ usr }) => dense(1)(usr), fields)).toThrow(/fields user, item.*'usr'.*did you mean 'user'/);
    expect(() => trace((_, info) => dense(info.itme.size)(dense(1) as never), fields)).toThrow(/did you mean 'item'/);
  });

  test('a sequential model without a field x says how to go on', () => {
    expect(() => trace(sequential(dense(1)), [f32('pixels', 4), i32('y', 2)])).toThrow(
      expect.objectContaining({ code: 'E_MODEL', message: expect.stringMatching(/field x.*pixels, y.*model: \(/) }),
    );
  });

  test('info gives what is known of the fields', () => {
    trace(({ x }, info) => {
      expect([info.y.size, info.x.shape]).toEqual([3, [4]]);
      return x;
    }, FIELDS);
  });

  test('layers outside of a model function are refused, also after a model that threw', () => {
    let x: Parameters<ReturnType<typeof dense>>[0] | undefined;
    const broken: Model = (inputs) => {
      x = inputs.x;
      throw new Error('broken');
    };
    expect(() => trace(broken, FIELDS)).toThrow('broken');
    const outside = expect.objectContaining({ code: 'E_MODEL', message: expect.stringContaining('outside') });
    expect(() => x && dense(1)(x)).toThrow(outside);
    expect(() => scope('a', () => 1)).toThrow(outside);
  });

  test('a trace inside of a trace leaves the outer one alone', () => {
    const outer: Model = ({ x }) => {
      const h = dense(4)(x);
      trace(sequential(dense(3), dense(3)), FIELDS);
      return dense(2)(h);
    };
    expect(names(outer).filter((name) => name.endsWith('weight'))).toEqual(['dense/weight', 'dense_1/weight']);
  });

  test('errors of ops name the layer', () => {
    const bad = lambda((t) => reshape(t, [7]), { name: 'odd' });
    expect(() => trace(sequential(bad, { name: 'tower' }), FIELDS)).toThrow(/layer tower\/odd/);
  });
});

test('a lambda has parameters of its own', () => {
  const rescale = lambda((x, { parameter }) => mul(x, parameter('scale', [x.shape[1]], ones())), { kind: 'rescale' });
  const traced = trace(sequential(rescale, activation('tanh'), rescale), FIELDS);
  expect(traced.parameters).toEqual([{ name: 'rescale/scale', shape: [4], init: { kind: 'constant', value: 1 } }]);
  expect(traced.layers.map((row) => [row.name, row.kind, row.parameters])).toEqual([
    ['rescale', 'rescale', 4],
    ['tanh', 'tanh', 0],
  ]);
});
