import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { csv } from '../../src/data/csv.ts';
import { loadData } from '../../src/data/load.ts';
import { optionalPackage } from '../../src/data/optional.ts';
import { type ParquetOptions, parquet } from '../../src/data/parquet.ts';
import { applyTransforms } from '../../src/data/transforms.ts';
import { field, rowsOf, values } from './columns.ts';
import { failure, temporaryFolder } from './folder.ts';

const { dir, write } = temporaryFolder();
const options = { seed: 1, baseDir: dir };
type Columns = Parameters<typeof parquetWriteBuffer>[0]['columnData'];

/** A file by an independent writer. */
function file(
  columnData: Columns,
  more: { codec?: 'UNCOMPRESSED' | 'SNAPPY'; rowGroupSize?: number } = {},
): Uint8Array {
  return new Uint8Array(parquetWriteBuffer({ columnData, ...more }));
}
const load = (bytes: Uint8Array, given: ParquetOptions, name = 'data.parquet') =>
  loadData({ train: parquet(write(name, bytes), given) }, options);

const pets: Columns = [
  { name: 'age', data: [1, 3, 5, 7], type: 'INT32' },
  { name: 'weight', data: [0.5, 1.5, 2.5, 3.5], type: 'DOUBLE' },
  { name: 'kind', data: ['cat', 'dog', 'cat', 'bird'], type: 'STRING' },
  { name: 'tame', data: [true, false, true, false], type: 'BOOLEAN' },
  { name: 'chip', data: [1n, 2n, 3n, 4n], type: 'INT64' },
];

describe('parquet', () => {
  it('reads numbers, categories and booleans as csv does', async () => {
    const data = await load(file(pets), { target: 'kind', normalize: false });
    expect(rowsOf(data.train, 'x')).toEqual([
      [1, 0.5, 1, 1],
      [3, 1.5, 0, 2],
      [5, 2.5, 1, 3],
      [7, 3.5, 0, 4],
    ]);
    expect(field(data, 'y').classNames).toEqual(['bird', 'cat', 'dog']);
    expect(values(data.train, 'y')).toEqual([1, 2, 1, 0]);
    expect(data.transforms.length).toBeGreaterThan(4);
    const [first] = rowsOf(data.train, 'x');
    const row = { age: 1, weight: 0.5, tame: true, chip: 1 };
    expect(Array.from(applyTransforms(data.transforms, row, ['x']).x)).toEqual(first);
  });

  it.each([
    ['uncompressed', { codec: 'UNCOMPRESSED' as const }],
    ['in row groups', { rowGroupSize: 7 }],
  ])('gives what csv gives for the same table, %s', async (_, more) => {
    const n = 40;
    const number = Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i) * 3));
    const kind = Array.from({ length: n }, (_, i) => ['a', 'b', 'c'][i % 3]);
    const y = Array.from({ length: n }, (_, i) => (i * 7) % 5);
    const bytes = file(
      [
        { name: 'number', data: number, type: 'FLOAT' },
        { name: 'kind', data: kind, type: 'STRING' },
        { name: 'y', data: y, type: 'INT32' },
      ],
      more,
    );
    const text = `number,kind,y\n${number.map((v, i) => `${v},${kind[i]},${y[i]}`).join('\n')}\n`;
    const spec = { target: 'y', task: 'classification' } as const;
    const given = { validation: 0.25 };
    const a = await loadData({ train: parquet(write('same.parquet', bytes), spec), ...given }, options);
    const b = await loadData({ train: csv(write('same.csv', text), spec), ...given }, options);
    expect(a.transforms).toEqual(b.transforms);
    for (const split of ['train', 'validation'] as const) {
      expect(values(a[split], 'x')).toEqual(values(b[split], 'x'));
      expect(values(a[split], 'y')).toEqual(values(b[split], 'y'));
    }
  });

  it('makes days since 1970 of dates and timestamps', async () => {
    const day = 86_400_000;
    const bytes = file([
      { name: 'when', data: [new Date(0), new Date(day * 1.5)], type: 'TIMESTAMP' },
      { name: 'y', data: [1.5, 2.5], type: 'DOUBLE' },
    ]);
    const data = await load(bytes, { target: 'y', normalize: false });
    expect(values(data.train, 'x')).toEqual([0, 1.5]);
  });

  it('treats nulls and NaN as missing values', async () => {
    const bytes = file([
      { name: 'a', data: [1, null, 3, Number.NaN], type: 'DOUBLE' },
      { name: 'b', data: ['u', 'v', null, 'u'], type: 'STRING' },
      { name: 'y', data: [0, 1, 0, 1], type: 'INT32' },
    ]);
    const filled = await load(bytes, { target: 'y', normalize: false, missing: 'mean' });
    expect(rowsOf(filled.train, 'x')).toEqual([
      [1, 1, 0],
      [2, 0, 1],
      [3, 1, 0],
      [2, 1, 0],
    ]);
    const dropped = await load(bytes, { target: 'y', missing: 'drop' });
    expect(dropped.train.size).toBe(1);
    const error = await failure('E_DATA_VALUE', () => load(bytes, { target: 'y' }));
    expect(error.message).toMatch(/data\.parquet row 1, column "a": expected a finite number, got no value/);
  });

  it('treats a number as a category where the user says so', async () => {
    const data = await load(file(pets), {
      target: 'kind',
      ignore: ['weight', 'tame', 'chip'],
      types: { age: 'category' },
    });
    expect(rowsOf(data.train, 'x')[1]).toEqual([0, 1, 0, 0]);
  });

  it('says which column does not exist, holds lists, or is infinite', async () => {
    const missing = await failure('E_DATA_MISSING', () => load(file(pets), { target: 'kinds' }));
    expect(missing.message).toMatch(/data\.parquet: option target: .* did you mean "kind"\?/);
    const lists = file([
      { name: 'l', data: [[1, 2], [3]] },
      { name: 'y', data: [0, 1], type: 'INT32' },
    ]);
    expect((await failure('E_DATA_VALUE', () => load(lists, { target: 'y' }))).message).toMatch(
      /row 0, column "l".*ignore: \['l'\]/,
    );
    const infinite = file([
      { name: 'a', data: [1, Number.POSITIVE_INFINITY], type: 'DOUBLE' },
      { name: 'y', data: [0, 1], type: 'INT32' },
    ]);
    const error = await failure('E_DATA_VALUE', () => load(infinite, { target: 'y' }));
    expect(error.message).toMatch(/data\.parquet row 1, column "a": expected a finite number, got "Infinity"/);
  });

  it('explains what is no Parquet file, and a file cut anywhere', async () => {
    await failure('E_DATA_FORMAT', () => load(Buffer.from('a,b\n1,2\n'), { target: 'b' }));
    const bytes = file(pets);
    for (let cut = 0; cut < bytes.length; cut += 13) {
      const error = await failure('E_DATA_FORMAT', () => load(bytes.subarray(0, cut), { target: 'kind' }));
      expect(error.message).toContain('data.parquet');
    }
  });

  it('ends what a damaged page would keep busy for ever', async () => {
    const damaged = file(pets);
    damaged[11] = 0; // in the header of the first page: its data has no end
    const error = await failure('E_DATA_FORMAT', () => load(damaged, { target: 'kind' }));
    expect(error.message).toContain('data.parquet');
  });

  it('says how to install what is missing', async () => {
    const missing = () => import(`${'hyparquet'}-that-is-not-there`);
    const error = await failure('E_DATA_MISSING', () =>
      optionalPackage(missing, 'hyparquet hyparquet-compressors', 'reading a.parquet'),
    );
    expect(error.message).toMatch(/reading a\.parquet: .* run: npm install hyparquet hyparquet-compressors/);
  });

  it('reads what is compressed otherwise with hyparquet-compressors, and says where it is missing how to install it', async () => {
    const compressors = { GZIP: (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes)) };
    const bytes = new Uint8Array(parquetWriteBuffer({ columnData: pets, codec: 'GZIP', compressors }));
    const data = await load(bytes, { target: 'kind', normalize: false });
    expect(rowsOf(data.train, 'x').map(([age]) => age)).toEqual([1, 3, 5, 7]);
    // The same in a process in which nobody can import the package.
    const hooks = `export const resolve = (name, context, next) => {
      if (name === 'hyparquet-compressors') throw Object.assign(new Error(name), { code: 'ERR_MODULE_NOT_FOUND' });
      return next(name, context);
    };`;
    const code = `import { register } from 'node:module';
      register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});
      const { loadData, parquet } = await import('lockstep/data');
      const source = parquet(${JSON.stringify(join(dir, 'data.parquet'))}, { target: 'kind' });
      const { code, message } = await loadData({ train: source }, { seed: 1, baseDir: '.' }).catch((error) => error);
      process.stdout.write(JSON.stringify([code, message]));`;
    const cwd = new URL('../..', import.meta.url);
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { cwd });
    const [missing, message]: [string, string] = JSON.parse(stdout);
    expect(missing).toBe('E_DATA_MISSING');
    expect(message).toMatch(
      /data\.parquet, which is compressed with GZIP: .* got none; run: npm install hyparquet-compressors/,
    );
  });
});
