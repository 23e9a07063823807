import { describe, expect, test } from 'vitest';
import { accumulatingProgram } from '../../src/graph/accumulate.ts';
import { compileProgram } from '../../src/graph/compile.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import { groupProgram } from '../../src/graph/row-groups.ts';
import { referenceExecutor } from '../../src/testing.ts';
import { philox } from '../fixtures/philox.ts';

const [ROWS, USERS, ITEMS, WIDTH] = [6, 9, 7, 3];
const fields = [
  { name: 'user', dtype: 'i32', shape: [] },
  { name: 'seen', dtype: 'i32', shape: [2] },
  { name: 'y', dtype: 'f32', shape: [WIDTH] },
] as const;

function tables(sparse: boolean) {
  const init = { kind: 'constant', value: 0 } as const;
  return layoutTensors([
    { name: 'user', shape: [USERS, WIDTH], init, sparse },
    { name: 'mix', shape: [WIDTH, WIDTH], init },
    { name: 'item', shape: [ITEMS, WIDTH], init, sparse },
  ]);
}

/** Users are looked up once, items three times by two lookups of a row. */
function program(sparse: boolean, rows = ROWS) {
  const [user, seen] = [ops.input('user', [rows], 'i32'), ops.input('seen', [rows, 2], 'i32')];
  const item = ops.parameter('item', [ITEMS, WIDTH]);
  const taste = ops.add(
    ops.gather(ops.parameter('user', [USERS, WIDTH]), user),
    ops.sum(ops.gather(item, seen), { axis: 1 }),
  );
  const z = ops.tanh(ops.matmul(ops.mul(taste, ops.gather(item, user)), ops.parameter('mix', [WIDTH, WIDTH])));
  const { entries } = tables(sparse);
  const loss = { value: ops.square(ops.sub(z, ops.input('y', [rows, WIDTH]))) };
  return { entries, program: compileProgram({ rows, fields, tensors: entries, outputs: {}, loss, gradients: true }) };
}

function gradients(sparse: boolean): Record<string, number[]> {
  const { entries, program: compiled } = program(sparse);
  const executor = referenceExecutor(compiled, entries);
  const random = philox(3);
  const draw = (array: { fill(x: number): unknown; length: number } & Record<number, number>, of: () => number) => {
    for (let i = 0; i < array.length; i++) array[i] = of();
  };
  draw(executor.field('user') ?? [], () => Math.floor(ITEMS * random()));
  draw(executor.field('seen') ?? [], () => Math.floor(ITEMS * random()));
  draw(executor.field('y') ?? [], random);
  for (const { name } of entries) draw(executor.parameter(name), () => 2 * random() - 1);
  executor.run();
  return Object.fromEntries(entries.map(({ name }) => [name, [...executor.gradient(name)]]));
}

describe('sparse tables', () => {
  test('lie behind all others and have no place in flat gradients', () => {
    const { entries, flatSize, gradientSize } = tables(true);
    const [user, mix, item] = entries.map(({ offset }) => offset);
    expect([mix, gradientSize, user, item, flatSize]).toEqual([0, 16, 16, 48, 80]);
  });

  test('have the gradient that flat ones have', () => {
    const [rows, flat] = [gradients(true), gradients(false)];
    for (const [name, values] of Object.entries(flat)) {
      expect(values.some((x) => x !== 0)).toBe(true);
      values.forEach((x, i) => {
        expect(rows[name][i]).toBeCloseTo(x, 12);
      });
    }
  });

  test('have a list for each lookup, and a table begins at a power of two of them', () => {
    const { program: compiled } = program(true);
    expect(compiled.rowLists.map(({ name, list, ids }) => [name, list, ids])).toEqual([
      ['user', 0, ROWS],
      ['item', 1, ROWS],
      ['item', 2, 2 * ROWS],
    ]);
    expect(program(false).program.rowLists).toEqual([]);
  });

  test('take no part in accumulation, and go shard by shard in groups', () => {
    const { entries, program: compiled } = program(true);
    const lists = compiled.calls.filter(({ kernel }) => kernel === 'listRows');
    const accumulating = accumulatingProgram(compiled, entries);
    expect(accumulating.calls.filter(({ kernel }) => kernel === 'listRows')).toEqual(lists);
    expect(compiled.rowLocal).toBe(true);
    const single = (rows: number) => program(true, rows).program;
    const { pieces } = groupProgram(compiled, single, [2, 4], [false, false], entries);
    const [first, second] = [0, 1].map((shard) =>
      pieces
        .filter((piece) => piece.shard === shard)
        .flatMap(({ calls }) => calls.filter((c) => c.kernel === 'listRows')),
    );
    const counts = (calls: typeof first) => calls.map(({ args }) => args[3]);
    const full = lists.map(({ args }) => Number(args[3]));
    expect(counts(first)).toEqual(full.map((n) => n / 3));
    expect(counts(second)).toEqual(full.map((n) => (2 * n) / 3));
    second.forEach(({ args: [, ids, dy, , width] }, i) => {
      const [idsOfAll, dyOfAll] = lists[i].args.slice(1, 3);
      const shift = (a: unknown, b: unknown) =>
        Number(Reflect.get(Object(a), 'offset')) - Number(Reflect.get(Object(b), 'offset'));
      expect(shift(ids, idsOfAll)).toBe((4 * full[i]) / 3);
      expect(shift(dy, dyOfAll)).toBe((4 * full[i] * Number(width)) / 3);
    });
  });
});
