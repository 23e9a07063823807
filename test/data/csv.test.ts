import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CsvOptions, csv } from '../../src/data/csv.ts';
import { loadData } from '../../src/data/load.ts';
import { LockstepError } from '../../src/errors.ts';
import { field, rowsOf, values } from './columns.ts';
import { failure, temporaryFolder } from './folder.ts';

const { dir, write } = temporaryFolder();
const options = { seed: 1, baseDir: dir };
const load = (text: string | Uint8Array, given: CsvOptions, name = 'data.csv') =>
  loadData({ train: csv(write(name, text), given) }, options);

const pets = 'age,kind,tame,name,legs\n1,cat,yes,a,4\n3,dog,no,b,4\n5,cat,yes,c,3\n7,bird,no,d,2\n';

describe('csv', () => {
  it('infers numbers, categories and booleans, and encodes them in file order', async () => {
    const data = await load(pets, { target: 'kind', ignore: ['name'], normalize: false });
    expect(field(data, 'x')).toEqual({ name: 'x', dtype: 'f32', shape: [3] });
    expect(rowsOf(data.train, 'x')).toEqual([
      [1, 1, 4],
      [3, 0, 4],
      [5, 1, 3],
      [7, 0, 2],
    ]);
    expect(field(data, 'y')).toMatchObject({ dtype: 'i32', shape: [], size: 3, classNames: ['bird', 'cat', 'dog'] });
    expect(values(data.train, 'y')).toEqual([1, 2, 1, 0]);
  });

  it('standardises numbers and makes one-hot columns of categories', async () => {
    const data = await load(pets, { target: 'legs', ignore: ['name', 'tame'], task: 'regression' });
    const s = Math.sqrt(5); // ages 1, 3, 5, 7: mean 4, variance 5
    expect(rowsOf(data.train, 'x')).toEqual([
      [-3 / s, 0, 1, 0].map(Math.fround),
      [-1 / s, 0, 0, 1].map(Math.fround),
      [1 / s, 0, 1, 0].map(Math.fround),
      [3 / s, 1, 0, 0].map(Math.fround),
    ]);
    expect(field(data, 'y')).toEqual({ name: 'y', dtype: 'f32', shape: [] });
    expect(values(data.train, 'y')).toEqual([4, 4, 3, 2]);
  });

  it('brings the training range to [0, 1] with minmax, and constants to 0', async () => {
    const data = await load('a,b,y\n2,5,0\n4,5,1\n6,5,0\n', { target: 'y', normalize: 'minmax' });
    expect(rowsOf(data.train, 'x')).toEqual([
      [0, 0],
      [0.5, 0],
      [1, 0],
    ]);
  });

  it('takes few integers as classes in numeric order, and decimals or many integers as numbers', async () => {
    const classes = await load('a,y\n1,10\n2,9\n3,10\n', { target: 'y' });
    expect(field(classes, 'y').classNames).toEqual(['9', '10']);
    const decimals = await load('a,y\n1,0.5\n2,1\n', { target: 'y' });
    expect(field(decimals, 'y').dtype).toBe('f32');
    const many = Array.from({ length: 21 }, (_, i) => `${i},${i}`).join('\n');
    expect(field(await load(`a,y\n${many}\n`, { target: 'y' }), 'y').dtype).toBe('f32');
    expect(field(await load(`a,y\n${many}\n`, { target: 'y', task: 'classification' }), 'y').size).toBe(21);
  });

  it('reads files without header, with other delimiters, a BOM, CRLF and gzip', async () => {
    const bare = await load('1;x\n2;y\n', { target: 1, header: false, delimiter: ';', normalize: false });
    expect(values(bare.train, 'x')).toEqual([1, 2]);
    expect(field(bare, 'y').classNames).toEqual(['x', 'y']);
    const named = await load('1,x\n2,y\n', { target: 'label', header: ['a', 'label'], normalize: false });
    expect(values(named.train, 'y')).toEqual([0, 1]);
    const windows = await load('\ufeffa,y\r\n1,x\r\n\r\n2,y\r\n', { target: 'y', normalize: false });
    expect(values(windows.train, 'x')).toEqual([1, 2]);
    const tabs = await load(gzipSync('a\ty\n1\tx\n2\ty\n'), { target: 'y', normalize: false }, 'data.tsv.gz');
    expect(values(tabs.train, 'x')).toEqual([1, 2]);
  });

  it('gives back any texts, with quotes, delimiters and line breaks in them', async () => {
    const cell = fc.string({ unit: fc.constantFrom('a', 'b', '"', ',', '\n', '\r\n', ' ', 'é', "'"), maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(cell, { minLength: 1, maxLength: 12 }),
        fc.constantFrom('\n', '\r\n'),
        async (texts, end) => {
          const named = texts.map((t) => `t${t}`); // never a missing value
          const quoted = named.map((t, i) => `"${t.replaceAll('"', '""')}",${i}`);
          const data = await load(`text,n${end}${quoted.join(end)}${end}`, {
            target: 'text',
            types: { text: 'category' },
          });
          const names = field(data, 'y').classNames ?? [];
          expect(values(data.train, 'y').map((label) => names[label])).toEqual(named);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('either loads or explains a file cut at any byte', async () => {
    const text = 'a,"b ""q""",y\n1,"x\ny",p\n2,"z",q\n';
    for (let cut = 0; cut < text.length; cut++) {
      const outcome = await load(text.slice(0, cut), { target: 'y' }).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(LockstepError);
      else expect(outcome).toHaveProperty('train.size');
    }
  });

  it('turns a column of more than maxCategories different numbers into numbers', async () => {
    const n = 3000;
    const lines = Array.from({ length: n }, (_, i) => `${i / 8},${i % 2 ? 'u' : 'v'}`);
    const data = await load(`a,y\n${lines.join('\n')}\n`, { target: 'y', normalize: false });
    expect(values(data.train, 'x')).toEqual(Array.from({ length: n }, (_, i) => i / 8));
    lines[2500] = 'n.a.,u';
    const late = await failure('E_DATA_VALUE', () => load(`a,y\n${lines.join('\n')}\n`, { target: 'y' }));
    expect(late.message).toMatch(/data\.csv line 2502, column "a": expected a finite number, got "n\.a\."/);
  });

  describe('says file, line and column of', () => {
    const wrong = async (
      code: LockstepError['code'],
      text: string,
      pattern: RegExp,
      given: Partial<CsvOptions> = {},
    ) => {
      const error = await failure(code, () => load(text, { target: 'y', ...given }));
      expect(error.message).toMatch(pattern);
    };

    it('a cell that is no number', () =>
      wrong(
        'E_DATA_VALUE',
        'a,y\n1,u\n2,v\noops,u\n',
        /data\.csv line 4, column "a": expected a finite number, got "oops"/,
      ));
    it('a cell that is no decimal number', () =>
      wrong('E_DATA_VALUE', 'a,y\n0x10,u\n', /line 2, column "a"/, { types: { a: 'number' } }));
    it('an infinite number', () =>
      wrong('E_DATA_VALUE', 'a,y\n1,u\n1e999,v\n', /line 3, column "a": expected a finite number/));
    it('a number too large for f32', () =>
      wrong('E_DATA_VALUE', 'a,y\n1,u\n1e39,v\n', /line 3, column "a".*fits f32/, { normalize: false }));
    it('a missing value, behind a record of several lines', () =>
      wrong('E_DATA_VALUE', 'a,y\n1,"u\r\nu"\n2,v\n,v\n', /line 5, column "a".*no value/));
    it('a missing target', () =>
      wrong('E_DATA_VALUE', 'a,y\n1,u\n2,NA\n', /line 3, column "y".*no value/, { missing: 'mean' }));
    it('a row that is too short', () =>
      wrong('E_DATA_FORMAT', 'a,b,y\n1,2,u\n3,4\n', /line 3, column "y": expected 3 cells, got 2/));
    it('a row that is too long', () =>
      wrong('E_DATA_FORMAT', 'a,y\n1,u\n3,u,5\n', /line 3, column 3: expected 2 cells, got 3/));
    it('a quote that is not closed, where it opens', () =>
      wrong('E_DATA_FORMAT', 'a,y\n1,u\n2,"v\n3,u\n4,v\n', /line 3, column "y": expected a closing quote/));
    it('text after a closing quote', () => wrong('E_DATA_FORMAT', 'a,y\n1,u\n2,"v"w\n', /line 3, column "y"/));
    it('a quote within a bare cell', () => wrong('E_DATA_FORMAT', 'a,y\n1,u\n2,v"w"\n', /line 3, column "y"/));
    it('two columns of one name', () =>
      wrong(
        'E_DATA_FORMAT',
        'a,a,y\n1,2,u\n',
        /line 1: expected column names that differ, got "a" twice: columns 1 and 2/,
      ));
    it('an unknown target', () =>
      wrong('E_DATA_MISSING', 'age,species\n1,u\n', /option target.*got "specis"; did you mean "species"\?/, {
        target: 'specis',
      }));
    it('an unknown column to ignore', () =>
      wrong('E_DATA_MISSING', 'age,y\n1,u\n', /option ignore.*did you mean "age"/, { ignore: ['aeg'] }));
    it('a file without header', () => wrong('E_DATA_MISSING', '1,2\n3,4\n', /header: false/));
    it('a file without rows', () => wrong('E_DATA_EMPTY', 'a,y\n', /a header only/));
    it('an empty file', () => wrong('E_DATA_EMPTY', '', /an empty file/));
    it('too many categories', () =>
      wrong(
        'E_DATA_VALUE',
        'a,y\np,u\nq,u\nr,u\n',
        /line 4, column "a": expected a category column of at most 2.*ignore: \['a'\]/,
        {
          maxCategories: 2,
        },
      ));
    it('no column beside the target', () => wrong('E_OPTION', 'a,y\n1,u\n', /at least one column/, { ignore: ['a'] }));
    it('texts to predict as numbers', () =>
      wrong('E_DATA_VALUE', 'a,y\n1,u\n', /line 2, column "y": expected a finite number, got "u"/, {
        task: 'regression',
      }));
  });

  it('replaces or drops missing values on request', async () => {
    const text = 'a,k,y\n1,p,u\n,p,v\n3,,u\n5,q,v\n';
    const mean = await load(text, { target: 'y', missing: 'mean', normalize: false });
    expect(rowsOf(mean.train, 'x')).toEqual([
      [1, 1, 0],
      [3, 1, 0],
      [3, 1, 0],
      [5, 0, 1],
    ]);
    const drop = await load(text, { target: 'y', missing: 'drop', normalize: false });
    expect(rowsOf(drop.train, 'x')).toEqual([
      [1, 1, 0],
      [5, 0, 1],
    ]);
  });

  it('refuses categories and classes that only another split has, or encodes categories as zeros', async () => {
    const train = 'k,y\np,u\nq,v\n';
    write('train.csv', train);
    write('other.csv', 'k,y\np,u\nr,u\n');
    write('label.csv', 'k,y\np,u\nq,w\n');
    const given = { target: 'y' } as const;
    const category = await failure('E_DATA_VALUE', () =>
      loadData({ train: csv('train.csv', given), test: csv('other.csv', given) }, options),
    );
    expect(category.message).toMatch(/other\.csv line 3, column "k"/);
    const zeros = { ...given, unknown: 'zeros' } as const;
    const data = await loadData({ train: csv('train.csv', zeros), test: csv('other.csv', zeros) }, options);
    expect(rowsOf(data.test, 'x')).toEqual([
      [1, 0],
      [0, 0],
    ]);
    const label = await failure('E_LABEL', () =>
      loadData({ train: csv('train.csv', given), test: csv('label.csv', given) }, options),
    );
    expect(label.message).toMatch(/label\.csv line 3, column "y".*got "w"/);
  });

  it('checks its options with the closest name', async () => {
    const typo = { target: 'y', delimeter: ';' };
    expect((await failure('E_OPTION', () => csv('a.csv', typo))).message).toContain("did you mean 'delimiter'?");
    await failure('E_OPTION', () => csv('a.csv', { target: 'y', maxCategories: 0 }));
  });
});
