import { describe, expect, expectTypeOf, it } from 'vitest';
import { arrays } from '../../src/data/arrays.ts';
import type { Source } from '../../src/data/contract.ts';
import { dataset } from '../../src/data/dataset.ts';
import { loadData } from '../../src/data/load.ts';
import { failure } from './folder.ts';

const options = { seed: 1, baseDir: '.' };
const spec = { x: { dtype: 'f32', shape: [2] }, y: { dtype: 'i32', size: 3 } } as const;
const source = dataset({
  size: 10,
  spec,
  read(id, out, random) {
    expectTypeOf(out.x).toEqualTypeOf<Float32Array>();
    expectTypeOf(out.y).toEqualTypeOf<Int32Array>();
    out.x[0] = id + random();
    out.y[0] = id % 3;
  },
});

describe('dataset', () => {
  it('is cut into splits by ids, and its rows stay with the workers', async () => {
    expectTypeOf(source).toExtend<Source<{ x: 'f32'; y: 'i32' }>>();
    const data = await loadData({ train: source, validation: 0.2, test: 0.1 }, options);
    expect(data.fields).toEqual([
      { name: 'x', dtype: 'f32', shape: [2] },
      { name: 'y', dtype: 'i32', shape: [], size: 3 },
    ]);
    const splits = [data.train, data.validation, data.test].map((split) => {
      if (split?.kind !== 'computed') throw new Error('expected computed rows');
      expect(split.read).toBe(source.read);
      expect(split.ids?.length).toBe(split.size);
      return Array.from(split.ids ?? []);
    });
    expect(splits.map((ids) => ids.length)).toEqual([7, 2, 1]);
    expect(splits.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 10 }, (_, i) => i));
    const whole = await loadData({ train: source }, options);
    expect(whole.train).not.toHaveProperty('ids');
  });

  it('goes together with tables of the same fields only', async () => {
    const table = arrays({ x: [[1, 2]], y: Int32Array.of(2) });
    expect((await loadData({ train: source, test: table }, options)).test?.size).toBe(1);
    await failure('E_LABEL', () =>
      loadData({ train: source, test: arrays({ x: [[1, 2]], y: Int32Array.of(3) }) }, options),
    );
    const other = dataset({ size: 1, spec: { x: { dtype: 'f32' } }, read() {} });
    await failure('E_SHAPE', () => loadData({ train: source, test: other as Source }, options));
    await failure('E_DATA_MISSING', () =>
      loadData({ train: source, test: dataset({ size: 1, spec: { x: spec.x }, read() {} }) as Source }, options),
    );
  });

  it('checks its options', async () => {
    await failure('E_OPTION', () => dataset({ size: 0, spec, read() {} }));
    const sizeless = await failure('E_OPTION', () => dataset({ size: 1, spec: { y: { dtype: 'i32' } }, read() {} }));
    expect(sizeless.message).toContain('spec.y.size');
    await failure('E_OPTION', () => dataset({ size: 1, spec, read: undefined as unknown as () => void }));
  });
});
