import { describe, expect, expectTypeOf, it } from 'vitest';
import { arrays } from '../../src/data/arrays.ts';
import type { Source } from '../../src/data/contract.ts';
import { loadData } from '../../src/data/load.ts';
import { column, field, rowsOf, values } from './columns.ts';
import { failure } from './folder.ts';

const options = { seed: 1, baseDir: '.' };
const load = (source: Source) => loadData({ train: source }, options);

describe('arrays', () => {
  it('takes nested lists, typed arrays and flat data with a shape', async () => {
    const data = await load(
      arrays({
        x: [[[1, 2]], [[3, 4]]],
        row: [Float32Array.of(1, 2), Float32Array.of(3, 4)],
        flat: { data: Float64Array.of(1, 2, 3, 4), shape: [2, 2, 1] },
        bytes: { data: Uint8Array.of(0, 255), shape: [2, 1] },
        weight: Float32Array.of(0.5, 2),
        y: Int32Array.of(0, 3),
      }),
    );
    expect(data.fields).toEqual([
      { name: 'x', dtype: 'f32', shape: [1, 2] },
      { name: 'row', dtype: 'f32', shape: [2] },
      { name: 'flat', dtype: 'f32', shape: [2, 1] },
      { name: 'bytes', dtype: 'f32', shape: [1] },
      { name: 'weight', dtype: 'f32', shape: [] },
      { name: 'y', dtype: 'i32', shape: [], size: 4 },
    ]);
    for (const name of ['x', 'row', 'flat']) expect(values(data.train, name)).toEqual([1, 2, 3, 4]);
    expect(column(data.train, 'bytes').data).toBeInstanceOf(Uint8Array);
    expect(values(data.train, 'bytes')).toEqual([0, 255]);
    expect(values(data.train, 'y')).toEqual([0, 3]);
    for (const f of data.fields) expect(column(data.train, f.name).data.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('makes labels of texts, and of integers only where dtypes says so', async () => {
    const texts = await load(arrays({ x: [1, 2, 3], y: ['b', 'a', 'b'] }));
    expect(field(texts, 'y')).toMatchObject({ dtype: 'i32', size: 2, classNames: ['a', 'b'] });
    expect(values(texts.train, 'y')).toEqual([1, 0, 1]);
    expect(field(await load(arrays({ x: [1, 2], y: [0, 1] })), 'y').dtype).toBe('f32');
    const integers = await load(arrays({ x: [1, 2], y: [0, 1] }, { dtypes: { y: 'i32' } }));
    expect(field(integers, 'y')).toEqual({ name: 'y', dtype: 'i32', shape: [], size: 2 });
    expect(field(await load(arrays({ id: { data: Int32Array.of(1, 2), shape: [2], size: 9 } })), 'id').size).toBe(9);
  });

  it('carries names and element types in its type', () => {
    const plain = arrays({ x: [[1, 2]], y: Int32Array.of(1), label: ['a'] });
    expectTypeOf(plain).toExtend<Source<{ x: 'f32'; y: 'i32'; label: 'i32' }>>();
    const typed = arrays({ x: [[1, 2]], y: [1] }, { dtypes: { y: 'i32' } });
    expectTypeOf(typed).toExtend<Source<{ x: 'f32'; y: 'i32' }>>();
    expectTypeOf(typed).not.toExtend<Source<{ x: 'f32'; y: 'f32' }>>();
  });

  it('normalises each element for itself on request', async () => {
    const data = await load(
      arrays(
        {
          x: [
            [1, 10],
            [3, 10],
          ],
          z: [5, 9],
        },
        { normalize: { x: 'standard', z: 'minmax' } },
      ),
    );
    expect(rowsOf(data.train, 'x')).toEqual([
      [-1, 0],
      [1, 0],
    ]);
    expect(values(data.train, 'z')).toEqual([0, 1]);
  });

  it('names field and row of what is wrong', async () => {
    const ragged = await failure('E_SHAPE', () => load(arrays({ x: [[1, 2], [3]] })));
    expect(ragged.message).toMatch(/field "x", row 1: expected 2 entries, as in row 0, got 1: ragged/);
    const deep = await failure('E_SHAPE', () =>
      load(
        arrays({
          x: [
            [[1], [2]],
            [[1], [2, 3]],
          ],
        }),
      ),
    );
    expect(deep.message).toContain('row 1, 1');
    await failure('E_SHAPE', () => load(arrays({ x: [[1, 2], 3] as unknown as number[][] })));
    const nan = await failure('E_DATA_VALUE', () => load(arrays({ x: [[1], [2], [Number.NaN]] })));
    expect(nan.message).toContain('field "x", row 2');
    await failure('E_DATA_VALUE', () => load(arrays({ x: Float32Array.of(1, Number.POSITIVE_INFINITY) })));
    const allowed = await load(arrays({ x: [1, Number.NaN] }, { allowNonFinite: true }));
    expect(values(allowed.train, 'x')).toEqual([1, Number.NaN]);
    const rows = await failure('E_SHAPE', () => load(arrays({ x: [1, 2, 3], y: [1, 2] })));
    expect(rows.message).toMatch(/field "y": expected 3 rows, as field "x" has, got 2 rows/);
    await failure('E_SHAPE', () => load(arrays({ x: { data: [1, 2, 3], shape: [2, 2] } })));
    const negative = await failure('E_LABEL', () => load(arrays({ x: [1, 2], y: Int32Array.of(0, -1) })));
    expect(negative.message).toContain('field "y", row 1');
    const half = await failure('E_DATA_VALUE', () => load(arrays({ y: [0, 0.5] }, { dtypes: { y: 'i32' } })));
    expect(half.message).toContain('row 1');
    await failure('E_DATA_EMPTY', () => load(arrays({ x: [] })));
    await failure('E_OPTION', () => load(arrays({})));
    await failure('E_OPTION', () => load(arrays({ y: Int32Array.of(1) }, { normalize: { y: 'minmax' } })));
    const typo = { dtypes: { yy: 'i32' } } as unknown as Record<never, never>;
    expect((await failure('E_OPTION', () => arrays({ y: [1] }, typo))).message).toContain("did you mean 'y'");
  });
});
