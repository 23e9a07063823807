import {
  crossEntropy,
  defineJob,
  dense,
  embedding,
  flatten,
  type InitRule,
  sequential,
  sgd,
  train,
  zeros,
} from 'lockstep';
import { arrays, dataset } from 'lockstep/data';
import * as ops from 'lockstep/ops';
import { describe, expect, test } from 'vitest';
import type { Embedding } from '../../src/nn/layers/embedding.ts';
import { gradCheck } from '../../src/testing.ts';
import { philox } from '../fixtures/philox.ts';
import { evaluate, f32, i32, trace } from './harness.ts';

const random = philox(1);
const table = Array.from({ length: 15 }, () => 2 * random() - 1); // [5, 3]

describe('embedding', () => {
  test.each([
    ['[rows]', [], [4, 0, 4]],
    ['[rows, positions]', [2], [4, 0, 4, 1, 3, 3]],
  ] as const)('looks ids %s up', (_, shape, ids) => {
    const run = evaluate({
      fields: [i32('x', 5, ...shape)],
      rows: 3,
      data: { x: ids },
      model: sequential(embedding(5, 3)),
      parameters: { 'embedding/weight': table },
    });
    expect(run.shape()).toEqual([3, ...shape, 3]);
    expect(run.output()).toEqual(ids.flatMap((id) => table.slice(3 * id, 3 * id + 3)));
  });

  test('attends to the table that it looks up', () => {
    const layer = embedding(5, 3, { name: 'token' });
    const fields = [i32('x', 5, 2)];
    const model = (inputs: { x: Parameters<Embedding>[0] }) => layer.attend(layer(inputs.x));
    const run = evaluate({ fields, rows: 1, data: { x: [1, 4] }, model, parameters: { 'token/weight': table } });
    expect(run.shape()).toEqual([1, 2, 5]);
    const dot = (a: number, b: number) => [0, 1, 2].reduce((sum, i) => sum + table[3 * a + i] * table[3 * b + i], 0);
    [1, 4]
      .flatMap((a) => [0, 1, 2, 3, 4].map((b) => dot(a, b)))
      .forEach((y, i) => {
        expect(run.output()[i]).toBeCloseTo(y, 12);
      });
    const traced = trace(model, fields);
    expect(traced.parameters.map(({ name, shape }) => [name, shape])).toEqual([['token/weight', [5, 3]]]);
    expect(traced.layers).toEqual([{ name: 'token', kind: 'embedding', outputShape: [2, 2, 3], parameters: 15 }]);
  });

  test('has the gradient of both uses', () => {
    gradCheck(
      ({ weight }, { ids, target }) => {
        const looked = ops.gather(weight, ids);
        const scores = ops.matmul(ops.tanh(looked), ops.transpose(weight));
        return { value: ops.square(ops.sub(scores, target)) };
      },
      {
        parameters: { weight: { shape: [5, 3] } },
        inputs: { ids: { shape: [4, 2], dtype: 'i32', size: 5 }, target: { shape: [4, 2, 5] } },
      },
    );
  });

  test('starts as PyTorch does, or by its own rule', () => {
    const initOf = (init?: InitRule) =>
      trace(sequential(embedding(5, 3, init && { init })), [i32('x', 5)]).parameters[0].init;
    expect(initOf()).toEqual({ kind: 'normal', mean: 0, std: 1 });
    expect(initOf(zeros())).toEqual({ kind: 'constant', value: 0 });
    expect(initOf((fanIn, fanOut) => ({ kind: 'constant', value: 10 * fanIn + fanOut }))).toEqual({
      kind: 'constant',
      value: 53,
    });
  });

  const coded = (code: string, text: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(text) });

  test('refuses bad arguments', () => {
    const loose = embedding as unknown as (...args: unknown[]) => Embedding;
    expect(() => loose(0, 3)).toThrow(coded('E_OPTION', /size.*at least 1, got 0.*info\.user\.size/));
    expect(() => loose(undefined, 3)).toThrow(coded('E_OPTION', /size.*got nothing/));
    expect(() => loose(5, 2.5)).toThrow(coded('E_OPTION', /width.*got 2.5/));
    expect(() => loose(5, 3, { int: 1 })).toThrow(coded('E_OPTION', /did you mean 'init'/));
  });

  test('refuses ids that are no integers, and vectors of another width', () => {
    expect(() => trace(sequential(embedding(5, 3)), [f32('x')])).toThrow(coded('E_DTYPE', /layer embedding.*i32/));
    const layer = embedding(5, 3);
    expect(() => trace(({ x }) => layer.attend(x), [f32('x', 4)])).toThrow(
      coded('E_SHAPE', /layer embedding: embedding\.attend.*\[rows, ..., 3\], got \[2, 4\]/),
    );
  });
});

describe('a table that is too small for the data', () => {
  const job = (size: number, source: Parameters<typeof defineJob>[0]['data']['train'], validation?: number) =>
    defineJob({
      data: { train: source, ...(validation && { validation }) },
      model: ({ word }: { word: Parameters<Embedding>[0] }) =>
        sequential(embedding(size, 4, { name: 'words' }), flatten(), dense(2))(ops.slice(word, 1, 1, 3)),
      loss: crossEntropy(),
      optimizer: sgd({ lr: 0.1 }),
      steps: 1,
      batchSize: 3,
    });
  const rows = 20;
  const word = Int32Array.from({ length: 3 * rows }, (_, i) => (i === 3 * 13 + 2 ? 9 : i % 7));
  const y = Int32Array.from({ length: rows }, (_, i) => i % 2);
  const source = arrays({ word: { data: word, shape: [rows, 3], size: 10 }, y });
  const failure = async (run: Promise<unknown>) =>
    run.then(
      () => 'no error',
      (error: unknown) => error,
    );

  test.each([undefined, 0.5])('is refused with the row of the source (validation %s)', async (validation) => {
    const error = await failure(train(job(7, source, validation), { workers: 1 }));
    expect(error).toMatchObject({ code: 'E_LABEL' });
    expect(String(error)).toMatch(/row 13, field "word": expected ids in \[0, 7\) for .*words.*got 9;.*size is 10/);
  });

  test('is refused where rows are computed', async () => {
    const computed = dataset({
      size: rows,
      spec: { word: { dtype: 'i32', shape: [3], size: 10 }, y: { dtype: 'i32', size: 2 } },
      read: () => undefined,
    });
    expect(await failure(train(job(7, computed), { workers: 1 }))).toMatchObject({
      code: 'E_LABEL',
      message: expect.stringMatching(/data, field "word".*got ids in \[0, 10\)/),
    });
  });
});
