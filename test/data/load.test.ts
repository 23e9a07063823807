import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrays } from '../../src/data/arrays.ts';
import type { DataSpec, LoadedData } from '../../src/data/contract.ts';
import { csv } from '../../src/data/csv.ts';
import { idx } from '../../src/data/idx.ts';
import { loadData } from '../../src/data/load.ts';
import { splitRows } from '../../src/data/split.ts';
import { rowsOf, values } from './columns.ts';
import { failure, idxBytes, temporaryFolder } from './folder.ts';

const { dir, write } = temporaryFolder();
const options = { seed: 1, baseDir: dir };

describe('splitRows', () => {
  it('is disjoint, complete and ascending for every size, fraction and seed', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 400 }),
        fc.integer(),
        fc.constantFrom(0.1, 0.2, 1 / 3),
        (size, seed, f) => {
          const { train, validation, test } = splitRows(size, { validation: f, test: 0.1 }, seed);
          expect(validation?.length).toBe(Math.round(f * size));
          expect(test?.length).toBe(Math.round(size / 10));
          const all = [...train, ...(validation ?? []), ...(test ?? [])].sort((a, b) => a - b);
          expect(all).toEqual(Array.from({ length: size }, (_, i) => i));
          for (const ids of [train, validation ?? [], test ?? []]) {
            expect(Array.from(ids)).toEqual(Array.from(ids).sort((a, b) => a - b));
          }
        },
      ),
    );
  });

  it('depends on the seed, and the test rows on nothing else', () => {
    const a = splitRows(1000, { validation: 0.1, test: 0.1 }, 1);
    expect(splitRows(1000, { validation: 0.1, test: 0.1 }, 1)).toEqual(a);
    expect(splitRows(1000, { validation: 0.1, test: 0.1 }, 2).test).not.toEqual(a.test);
    expect(splitRows(1000, { validation: 0.3, test: 0.1 }, 1).test).toEqual(a.test);
  });

  it('refuses splits without rows and fractions that are none', async () => {
    expect((await failure('E_DATA_EMPTY', () => splitRows(4, { validation: 0.1 }, 1))).message).toContain(
      'data.validation',
    );
    expect((await failure('E_DATA_EMPTY', () => splitRows(4, { validation: 0.5, test: 0.5 }, 1))).message).toContain(
      'data.train',
    );
    for (const test of [0, 1, -0.1, Number.NaN]) await failure('E_OPTION', () => splitRows(100, { test }, 1));
  });
});

describe('loadData', () => {
  const table = (n: number, x: (i: number) => number | string, kind: (i: number) => string) =>
    `x,k,y\n${Array.from({ length: n }, (_, i) => `${x(i)},${kind(i)},${i % 2 ? 'odd' : 'even'}`).join('\n')}\n`;
  const given = { target: 'y', unknown: 'zeros' } as const;

  it('fits on the training rows alone: other rows may hold anything', async () => {
    const { validation, test } = splitRows(50, { validation: 0.2, test: 0.2 }, 1);
    const held = new Set([...(validation ?? []), ...(test ?? [])]);
    const kind = (i: number): string => (i % 3 ? 'p' : 'q');
    const fitted = async (text: string): Promise<LoadedData> =>
      loadData({ train: csv(write('all.csv', text), given), validation: 0.2, test: 0.2 }, options);
    const plain = await fitted(table(50, (i) => i * i, kind));
    const wild = await fitted(
      table(
        50,
        (i) => (held.has(i) ? 1e6 : i * i),
        (i) => (held.has(i) ? `only-${i}` : kind(i)),
      ),
    );
    expect(wild.transforms).toEqual(plain.transforms);
    expect(rowsOf(wild.train, 'x')).toEqual(rowsOf(plain.train, 'x'));
    expect(rowsOf(wild.validation, 'x')).not.toEqual(rowsOf(plain.validation, 'x'));
    const changed = await fitted(table(50, (i) => (held.has(i) ? i * i : i * i + 1), kind));
    expect(changed.transforms).not.toEqual(plain.transforms);
  });

  it('fits image moments on the training rows alone', async () => {
    const { validation } = splitRows(20, { validation: 0.2 }, 1);
    const held = new Set(validation);
    write(
      'labels',
      idxBytes(
        8,
        [20],
        Array.from({ length: 20 }, (_, i) => i % 2),
      ),
    );
    const load = (pixel: (i: number) => number) => {
      write(
        'images',
        idxBytes(
          8,
          [20, 1],
          Array.from({ length: 20 }, (_, i) => pixel(i)),
        ),
      );
      return loadData({ train: idx('images', 'labels'), validation: 0.2 }, options);
    };
    const plain = await load((i) => i);
    const wild = await load((i) => (held.has(i) ? 255 : i));
    expect(wild.transforms).toEqual(plain.transforms);
    const sum = values(plain.train, 'x').reduce((a, b) => a + b);
    expect(Math.abs(sum)).toBeLessThan(1e-5);
  });

  it('keeps splits in memory of their own, each row in exactly one', async () => {
    const x = Array.from({ length: 30 }, (_, i) => i);
    const data = await loadData({ train: arrays({ x, y: x }), validation: 0.1, test: 0.2 }, options);
    expect([data.train.size, data.validation?.size, data.test?.size]).toEqual([21, 3, 6]);
    const all = [data.train, data.validation, data.test];
    expect(all.flatMap((s) => values(s, 'x')).sort((a, b) => a - b)).toEqual(x);
    for (const split of all) expect(values(split, 'x')).toEqual(values(split, 'y'));
    const buffers = all.flatMap((s) => (s?.kind === 'table' ? s.columns.map((c) => c.data.buffer) : []));
    expect(new Set(buffers).size).toBe(6);
  });

  it('encodes a separate source with what the training rows gave', async () => {
    write('train.csv', 'x,k,y\n0,p,a\n2,q,b\n');
    write('test.csv', 'y,k,x\nb,q,4\n'); // columns are found by name
    const data = await loadData({ train: csv('train.csv', given), test: csv('test.csv', given) }, options);
    expect(rowsOf(data.test, 'x')).toEqual([[3, 0, 1]]);
    expect(values(data.test, 'y')).toEqual([1]);
  });

  it('explains a separate source with other fields', async () => {
    write('train.csv', 'x,kind,y\n0,p,a\n2,q,b\n');
    write('less.csv', 'x,kinds,y\n0,p,a\n');
    const missing = await failure('E_DATA_MISSING', () =>
      loadData({ train: csv('train.csv', given), test: csv('less.csv', given) }, options),
    );
    expect(missing.message).toMatch(/data\.test: expected a column "kind".*did you mean "kinds"/);
    write('i', idxBytes(8, [2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]));
    write('j', idxBytes(8, [2, 3], [1, 2, 3, 4, 5, 6]));
    write('f', idxBytes(13, [2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]));
    write('l', idxBytes(8, [2], [0, 1]));
    write('l5', idxBytes(8, [2], [0, 5]));
    const pair = (test: DataSpec['test']) => loadData({ train: idx('i', 'l'), test }, options);
    expect((await failure('E_SHAPE', () => pair(idx('j', 'l')))).message).toMatch(/data\.test.*\[2, 2\].*\[3\]/);
    await failure('E_DTYPE', () => pair(idx('f', 'l')));
    expect((await failure('E_LABEL', () => pair(idx('i', 'l5')))).message).toMatch(
      /l5, item 1: expected a label in \[0, 2\)/,
    );
  });

  it('refuses an unusable spec', async () => {
    const load = (spec: unknown) => loadData(spec as DataSpec, options);
    const train = arrays({ x: [1, 2] });
    expect((await failure('E_OPTION', () => load({ train, valdation: 0.1 }))).message).toContain(
      "did you mean 'validation'",
    );
    expect((await failure('E_OPTION', () => load({ train: 'train.csv' }))).message).toContain('data.train');
    expect((await failure('E_OPTION', () => load({ train: { kind: 'cvs' } }))).message).toContain('did you mean "csv"');
    await failure('E_OPTION', () => load({ validation: 0.1 }));
    await failure('E_OPTION', () => load(undefined));
    await failure('E_OPTION', () => load({ train, test: 'x' }));
  });
});
