import { describe, expect, test } from 'vitest';
import type { Column, LoadedData, Split } from '../../src/data/contract.ts';
import { strideOf } from '../../src/data/contract.ts';
import { applyTransforms, loadData, type TextOptions, text } from '../../src/data/index.ts';
import { joinTokens, splitTokens } from '../../src/data/tokens.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { failure, temporaryFolder } from './folder.ts';

const { dir, write } = temporaryFolder();

const CONTENT = 'abcabd abbccd\nzwölf €uro\n'.repeat(4);

async function load(content: string | Uint8Array, options: TextOptions, more: object = {}): Promise<LoadedData> {
  return loadData({ train: text(write('t.txt', content), options), ...more }, { seed: 1, baseDir: dir });
}

function rowsOf(split: Split | undefined, name: string): number[][] {
  if (split?.kind !== 'table') throw new Error('no table');
  const column = split.columns.find((c) => c.name === name) as Column;
  const [length] = column.shape;
  return Array.from({ length: split.size }, (_, r) =>
    Array.from(column.data.subarray(r * strideOf(column), r * strideOf(column) + length)),
  );
}

function textsOf(data: LoadedData, split: Split | undefined, name: string): string[] {
  const names = data.fields.find((f) => f.name === name)?.classNames ?? [];
  return rowsOf(split, name).map((row) => row.map((id) => names[id]).join(''));
}

test('rows are windows over the text, targets one token on; the end of the text validates and tests without overlap', async () => {
  const data = await load(CONTENT, { length: 7 }, { validation: 0.2, test: 0.2 });
  const signs = Array.from(CONTENT);
  const fifth = Math.round(0.2 * signs.length);
  const end = signs.length - 2 * fifth;
  const window = (at: number): string => signs.slice(at, at + 7).join('');
  const starts = Array.from({ length: end - 7 }, (_, i) => i);
  expect(textsOf(data, data.train, 'x')).toEqual(starts.map(window));
  expect(textsOf(data, data.train, 'y')).toEqual(starts.map((i) => window(i + 1)));
  for (const [split, from] of [[data.validation, end], [data.test, end + fifth]] as const) {
    const own = Array.from({ length: Math.floor((fifth - 1) / 7) }, (_, i) => from + 7 * i);
    expect(textsOf(data, split, 'x')).toEqual(own.map(window));
    expect(textsOf(data, split, 'y')).toEqual(own.map((i) => window(i + 1)));
  } // biome-ignore format: a table
  const [x] = data.fields;
  expect(x).toMatchObject({ dtype: 'i32', shape: [7], size: new Set(signs).size });
  expect(x.classNames).toEqual([...new Set(signs)].sort());
});

test('memory is that of the text, whatever the length of rows', async () => {
  const { train } = await load('abcdefgh'.repeat(500), { length: 100 });
  if (train.kind !== 'table') throw new Error('no table');
  expect(train.size).toBe(3900);
  for (const column of train.columns) expect(column.data.length).toBe(3999);
});

test('a raw text is encoded as in training, a shorter one ends in zeros', async () => {
  const data = await load(CONTENT, { length: 7, stride: 3 });
  expect(data.examples?.slice(0, 2)).toEqual([
    { text: 'abcabd ', next: 'bcabd a' },
    { text: 'abd abb', next: 'bd abbc' },
  ]);
  const [first] = rowsOf(data.train, 'x');
  const encode = (value: unknown) => applyTransforms(data.transforms, { text: value }, ['x']).x;
  expect([...encode('abcabd ')]).toEqual(first);
  expect([...encode('abc')]).toEqual([...first.slice(0, 3), 0, 0, 0, 0]);
  expect(() => encode('abcabcabc')).toThrow(/column "text".*at most 7 characters.*got 9/);
  expect(() => encode('axb')).toThrow(/one of the 15 characters of the training text, got "x"/);
  expect(() => encode('')).toThrow(/expected a text, got no text/);
  expect(() => encode(7)).toThrow(/expected a text, got 7/);
});

describe('tokens', () => {
  test.each(['characters', 'bytes', 'words'] as const)('%s give the text back', (kind) => {
    const samples = ['a', "don't  stop\n\n€ 12.50 — naïve 🙂!", '\t\\x41\u0000é'];
    for (const sample of samples) expect(joinTokens(kind, splitTokens(kind, sample))).toBe(sample);
  });

  test('words', () => {
    expect(splitTokens('words', "I don't know, 42 times\n")).toEqual(["I", ' ', "don't", ' ', 'know', ',', ' ', '42', ' ', 'times', '\n']); // biome-ignore format: a list
  });

  test('bytes are always 256, of files in any encoding', async () => {
    const data = await load(Uint8Array.of(104, 255, 0, 105, 10, 104), { tokens: 'bytes', length: 3 });
    expect(data.fields[0].size).toBe(256);
    expect(rowsOf(data.train, 'x')).toEqual([[104, 255, 0], [255, 0, 105], [0, 105, 10]]); // biome-ignore format: a table
    await expect(load(Uint8Array.of(104, 255), { length: 1 })).rejects.toThrow(/t\.txt.*UTF-8.*tokens: 'bytes'/);
  });

  test('the most frequent words stay, the others are unknown', async () => {
    const data = await load('b a b a c b a d\n', { tokens: 'words', length: 3, vocabulary: 4 });
    expect(data.fields[0].classNames).toEqual([' ', 'a', 'b', '\uFFFD']);
    expect(rowsOf(data.train, 'x')[0]).toEqual([2, 0, 1]);
    expect([...applyTransforms(data.transforms, { text: 'zebra a' }, ['x']).x]).toEqual([3, 0, 1]);
  });
});

describe('refusals', () => {
  const validates = (content: string, options: TextOptions = {}) => load(content, { length: 2, ...options }, { validation: 0.5 }); // biome-ignore format: short
  test('a character that only the validation text has is named with its line', async () => {
    await expect(validates('ab\nab\nab\nQb\n')).rejects.toThrow(/t\.txt, line 4.*got "Q".*unknown: true/s);
    const data = await validates('ab\nab\nab\nQb\n', { unknown: true });
    expect(textsOf(data, data.validation, 'x')).toEqual(['ab', '\n\uFFFD']);
  });
  test.each<[string, ErrorCode, () => Promise<unknown>, RegExp]>([
    ['a text shorter than a row', 'E_DATA_EMPTY', () => load('abc', { length: 5 }), /data\.train/],
    ['a part shorter than a row', 'E_DATA_EMPTY', () => validates('abcd', { length: 2 }), /at least 3 characters.*got 2/],
    ['a fraction that is none', 'E_OPTION', () => load(CONTENT, {}, { validation: 1.5 }), /data\.validation.*between 0 and 1/],
    ['a file that is not there', 'E_DATA_MISSING', () => loadData({ train: text('no.txt') }, { seed: 1, baseDir: '.' }), /no\.txt/],
  ])('%s', async (_, code, run, message) => {
    expect((await failure(code, run)).message).toMatch(message);
  }); // biome-ignore format: a table
  test('options that mean nothing', () => {
    expect(() => text('t.txt', { tokens: 'bytes', vocabulary: 9 })).toThrow(/no vocabulary.*for bytes/);
    expect(() => Reflect.apply(text, undefined, ['t.txt', { lenght: 3 }])).toThrow(/length/);
  });
});
