import { describe, expect, it } from 'vitest';
import { arrays } from '../../src/data/arrays.ts';
import type { LoadedData } from '../../src/data/contract.ts';
import { csv } from '../../src/data/csv.ts';
import { idx } from '../../src/data/idx.ts';
import { loadData } from '../../src/data/load.ts';
import { applyTransforms, byteValue, type RawRow } from '../../src/data/transforms.ts';
import { column, rowsOf, values } from './columns.ts';
import { failure, idxBytes, temporaryFolder } from './folder.ts';

const { dir, write } = temporaryFolder();
const options = { seed: 1, baseDir: dir };

/** Every raw row must give the bits of the table's row; `-0` and NaN count. */
function expectSameBits(data: LoadedData, raw: readonly RawRow[]): void {
  for (const field of data.fields) {
    const table = rowsOf(data.train, field.name);
    expect(table.length).toBe(raw.length);
    // As a checkpoint keeps them: through JSON.
    const transforms: LoadedData['transforms'] = JSON.parse(JSON.stringify(data.transforms));
    for (const [i, row] of raw.entries()) {
      const encoded = Array.from(applyTransforms(transforms, row)[field.name]);
      expect(encoded.every((v, j) => Object.is(v, table[i][j]))).toBe(true);
      expect(encoded.length).toBe(table[i].length);
    }
  }
}

describe('applyTransforms', () => {
  const lines = Array.from({ length: 40 }, (_, i) => ({
    amount: String(i % 7 === 3 ? '' : (i * 0.37 + 1e6) / 3),
    country: ['DE', 'FR', '', 'IT'][i % 4],
    vip: i % 5 ? 'true' : 'No',
    zip: String(10000 + (i % 6)),
    y: i % 3 ? 'yes!' : 'no!',
  }));
  const text = `amount,country,vip,zip,y\n${lines.map((l) => Object.values(l).join(',')).join('\n')}\n`;

  it.each(['standard', 'minmax', false] as const)(
    'gives a raw CSV row the bits of the table (normalize: %s)',
    async (normalize) => {
      const source = csv(write('rows.csv', text), {
        target: 'y',
        types: { zip: 'category' },
        missing: 'mean',
        normalize,
      });
      const data = await loadData({ train: source }, options);
      expectSameBits(data, lines);
      const typed = lines.map((l) => ({
        ...l,
        amount: l.amount === '' ? null : Number(l.amount),
        vip: l.vip === 'true',
        zip: Number(l.zip),
      }));
      expectSameBits(data, typed);
    },
  );

  it('gives raw tensors the bits of the table', async () => {
    const x = Array.from({ length: 9 }, (_, i) => [
      [i / 3, i * i],
      [1e9 + i, -i / 7],
    ]);
    const y = x.map((_, i) => ['a', 'b', 'c'][i % 3]);
    for (const mode of ['standard', 'minmax', false] as const) {
      const data = await loadData({ train: arrays({ x, y }, { normalize: { x: mode } }) }, options);
      expectSameBits(
        data,
        x.map((v, i) => ({ x: v, y: y[i] })),
      );
      expectSameBits(
        data,
        x.map((v, i) => ({ x: v.flat(), y: y[i] })),
      );
      expectSameBits(
        data,
        x.map((v, i) => ({ x: Float64Array.from(v.flat()), y: y[i] })),
      );
    }
  });

  it('gives raw images the numbers that the gather kernel makes of the bytes', async () => {
    write('images', idxBytes(8, [4, 3], [0, 7, 255, 31, 64, 1, 99, 3, 200, 17, 18, 19]));
    write('labels', idxBytes(8, [4], [0, 1, 1, 0]));
    const data = await loadData({ train: idx('images', 'labels') }, options);
    const { data: bytes, scale, shift } = column(data.train, 'x');
    const raw = [0, 1, 2, 3].map((i) => ({ x: bytes.subarray(i * 3, i * 3 + 3), y: values(data.train, 'y')[i] }));
    expectSameBits(data, raw);
    // The kernel's arithmetic, from f32 arrays alone.
    const f32 = Float32Array.of(255, scale, 0);
    f32[2] = f32[0] * f32[1];
    f32[2] += shift;
    expect(byteValue(255, scale, shift)).toBe(f32[2]);
  });

  it('encodes only the fields that are asked for: a row to predict has no target', async () => {
    const { transforms } = await loadData(
      { train: csv(write('rows.csv', text), { target: 'y', missing: 'mean' }) },
      options,
    );
    const { y: _, ...row } = lines[0];
    expect(Object.keys(applyTransforms(transforms, row, ['x']))).toEqual(['x']);
    await failure('E_DATA_MISSING', () => applyTransforms(transforms, row));
  });

  it('names the column of what is wrong in a raw row', async () => {
    const { transforms } = await loadData(
      { train: csv(write('rows.csv', text), { target: 'y', missing: 'mean' }) },
      options,
    );
    const encode = (row: RawRow) => () => applyTransforms(transforms, row, ['x']);
    const good = { amount: 1, country: 'DE', vip: true, zip: 10000 };
    expect((await failure('E_DATA_VALUE', encode({ ...good, amount: 'much' }))).message).toContain('column "amount"');
    await failure('E_DATA_VALUE', encode({ ...good, amount: Number.POSITIVE_INFINITY }));
    await failure('E_DATA_VALUE', encode({ ...good, vip: 'perhaps' }));
    expect((await failure('E_DATA_VALUE', encode({ ...good, country: 'DF' }))).message).toContain('did you mean "DE"?');
    const { amount: _, ...lacking } = good;
    expect((await failure('E_DATA_MISSING', encode({ ...lacking, amonut: 1 }))).message).toContain(
      'did you mean "amonut"?',
    );
    const x = await loadData({ train: arrays({ x: [[1, 2]] }) }, options);
    await failure('E_SHAPE', () => applyTransforms(x.transforms, { x: [1, 2, 3] }));
    await failure('E_SHAPE', () => applyTransforms(x.transforms, { x: 1 }));
  });

  it('refuses what are no transforms', async () => {
    const broken = [{ kind: 'standardize', field: 'x', column: 'x', shape: [], mean: ['1'], std: [1] }];
    expect((await failure('E_DATA_FORMAT', () => applyTransforms(broken, { x: 1 }))).message).toContain('mean');
    await failure('E_DATA_FORMAT', () => applyTransforms([{ kind: 'pca' }], { x: 1 }));
  });
});
