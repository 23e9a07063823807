import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { profileCsv } from '../../src/data/csv-profile.ts';
import { failure, temporaryFolder } from './folder.ts';

const { dir, write } = temporaryFolder();
const profile = (text: string, options = {}, name = 'data.csv') => profileCsv(join(dir, write(name, text)), options);

describe('the profile of a CSV file', () => {
  it('says what each column is, how many values it has and how many are missing', async () => {
    const { rows, columns } = await profile(
      'n,kind,ok,odd,empty\n1,a,yes,1.5,\n2,b,no,NA,\n4,a,TRUE,about 3,?\n-3,,false,2.5,null\n',
    );
    expect(rows).toBe(4);
    expect(columns.map(({ name, type, count, missing, distinct }) => [name, type, count, missing, distinct])).toEqual([
      ['n', 'number', 4, 0, 4],
      ['kind', 'category', 3, 1, 2],
      ['ok', 'boolean', 4, 0, 4],
      ['odd', 'number', 3, 1, 3],
      ['empty', 'category', 0, 4, 0],
    ]);
    expect(columns[0].numbers).toEqual({ min: -3, max: 4, mean: 1, std: Math.sqrt(26 / 4), integers: true });
    expect(columns[1].values).toEqual([
      ['a', 2],
      ['b', 1],
    ]);
    expect(columns[3]).toMatchObject({ odd: [['about 3', 1]], numbers: { min: 1.5, max: 2.5, integers: false } });
  });

  it.each([
    ['a;b\n1,5;2\n', ';'],
    ['a\tb\n1\t2\n', '\t'],
    ['"a;b;c",d\n1,2\n', ','],
    ['a\n1\n', ','],
  ])('finds the delimiter of %j', async (text, delimiter) => {
    expect((await profile(text)).delimiter).toBe(delimiter);
  });

  it('takes the first line as data where there is no header', async () => {
    const { rows, columns } = await profile('1,x\n2,y\n', { header: false });
    expect([rows, columns.map((c) => c.name)]).toEqual([2, ['0', '1']]);
  });

  it('refuses what csv refuses, with the place', async () => {
    expect((await failure('E_DATA_EMPTY', () => profile('a,b\n'))).detail.got).toBe('a header only');
    expect((await failure('E_DATA_FORMAT', () => profile('a,b\n1,2\n3\n'))).detail.where).toMatch(
      /line 3, column "b"$/,
    );
    expect((await failure('E_DATA_FORMAT', () => profileCsv(tmpdir()))).detail.got).toBe('a folder');
  });
});
