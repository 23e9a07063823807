import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions } from '../optim/options.ts';
import type { LoadOptions, Source } from './contract.ts';
import { type FilePath, pathText, resolveFile } from './files.ts';
import { MEMORY_SIZE, type MemorySize } from './memory-size.ts';
import type { RawTable, Spill, WindowColumn } from './raw.ts';
import type { SourceReader } from './reader.ts';
import { ScratchFile } from './scratch-file.ts';
import { LISTS_IN_MEMORY, spilledLists } from './spilled.ts';
import { readTokens } from './token-list.ts';
import { BYTE_TOKENS, type TokenKind, UNKNOWN_TOKEN } from './tokens.ts';
import type { Transform } from './transforms.ts';

export interface TextOptions {
  /** What the text is cut into: Unicode code points (default), UTF-8 bytes, or words with the white space between them. */
  readonly tokens?: TokenKind;
  /** Tokens in a row. Default 64. */
  readonly length?: number;
  /** Tokens from the start of one training row to the next. Default 1: a row begins at every token. */
  readonly stride?: number;
  /** Keep the most frequent ones of the training text only; the others become the unknown token. Default: all. Not for bytes. */
  readonly vocabulary?: number;
  /** Add a token that stands for all that the training text lacks. Default false: such a token is an error; true with `vocabulary`. */
  readonly unknown?: boolean;
  /**
   * Memory for the tokens, for texts that are larger: '500MB', 2e9. They are then kept in a temporary file and brought into memory in windows
   * ahead of the training (docs/data.md says how rows are shuffled). Default: all are in memory.
   */
  readonly memory?: MemorySize;
}

const OPTIONS = z.strictObject({
  tokens: z.enum(['characters', 'bytes', 'words']).default('characters'),
  length: z.number().int().positive().default(64),
  stride: z.number().int().positive().default(1),
  vocabulary: z.number().int().min(2).optional(),
  unknown: z.boolean().optional(),
  memory: MEMORY_SIZE.optional(),
});
const SOURCE = OPTIONS.extend({ kind: z.literal('text'), path: z.string() });

/**
 * A text file for models that predict the next token. Fields: `x` i32 [length], tokens in a row; `y` i32 [length], the token after
 * each. Validation and test as fractions are the end of the text, so no training row overlaps them, and their own rows follow one
 * another without overlap. The vocabulary, in code point order, is that of the training text, and is saved with the model. Rows
 * are windows over one array of tokens: 8 bytes a token in memory, whatever `length` is.
 *
 * @throws LockstepError E_OPTION for options; when loaded E_DATA_MISSING, E_DATA_FORMAT (not UTF-8), E_DATA_EMPTY (a part shorter than a
 * row), E_DATA_VALUE (a token that the training text lacks, with its line).
 */
export function text(
  path: FilePath,
  options: TextOptions = {},
): Source<{ x: 'i32'; y: 'i32' }> & { readonly kind: 'text' } {
  const parsed = parseOptions(OPTIONS, options, 'text');
  if (parsed.tokens === 'bytes' && (parsed.vocabulary !== undefined || parsed.unknown !== undefined)) {
    throw new LockstepError('E_OPTION', {
      where: 'text',
      expected: 'no vocabulary and no unknown token for bytes, which are always 256',
      got: parsed.vocabulary === undefined ? 'unknown' : 'vocabulary',
      fix: 'leave it out',
    });
  }
  return { kind: 'text', path: pathText(path, 'text'), ...parsed };
}

export const textReader: SourceReader = { read, fit, cut, whole };

async function read(source: Source, { baseDir, signal }: LoadOptions): Promise<RawTable> {
  const { path, tokens: kind, length, stride, memory } = parseOptions(SOURCE, source, 'text');
  const file = resolveFile(path, baseDir);
  const spill = memory === undefined ? undefined : { file: new ScratchFile(), memory };
  const lists = spill ? spilledLists(spill.file, 1, spill.memory / 8) : LISTS_IN_MEMORY;
  const { tokens, dictionary } = await readTokens(file, kind, lists.i32(), signal);
  const all = { begin: 0, end: tokens.length, length, stride };
  return windows({ tokens, dictionary, unit: kind, file, spill }, all);
}

interface Text extends Pick<WindowColumn, 'tokens' | 'dictionary'> {
  readonly unit: TokenKind;
  readonly file: string;
  readonly spill: Spill | undefined;
}

interface Range {
  /** First token and the one behind the last. */
  readonly begin: number;
  readonly end: number;
  readonly length: number;
  readonly stride: number;
}

/** Rows that begin every `stride` tokens of a range and end, with the token after them, inside of it. */
function windows(text: Text, { begin, end, length, stride }: Range): RawTable {
  const size = Math.max(0, Math.floor((end - begin - length - 1) / stride) + 1);
  const { tokens, dictionary, unit, file, spill } = text;
  const column = (from: number): WindowColumn => ({
    kind: 'windows', tokens, dictionary, unit, from, end, length, stride, where: (i) => `${file}, line ${lineOf(text, i)}`,
  }); // biome-ignore format: a record
  return {
    size,
    columns: new Map([
      ['text', column(begin)],
      ['next', column(begin + 1)],
    ]),
    place: (row, name) => `${file}, line ${lineOf(text, begin + row * stride)}, column "${name}"`,
    ...(spill && { spill }),
  };
}

function lineOf({ tokens, dictionary }: Text, token: number): number {
  let line = 1;
  for (let i = 0; i < token; i++) line += dictionary[tokens.at(i)].split('\n').length - 1;
  return line;
}

function columnOf(raw: RawTable): WindowColumn {
  const column = raw.columns.get('text');
  if (column?.kind !== 'windows') throw new TypeError('text: no windows');
  return column;
}

/** Validation, then test, are the last tokens: the rest trains. */
function cut(
  source: Source,
  raw: RawTable,
  fractions: { readonly validation?: number; readonly test?: number },
): { train: RawTable; validation?: RawTable; test?: RawTable } {
  const { path } = parseOptions(SOURCE, source, 'text');
  const column = columnOf(raw);
  const text: Text = { ...column, file: path, spill: raw.spill };
  const total = column.tokens.length;
  const count = (name: 'validation' | 'test'): number => {
    const fraction = fractions[name];
    if (fraction === undefined) return 0;
    if (fraction > 0 && fraction < 1) return Math.round(fraction * total);
    throw new LockstepError('E_OPTION', {
      where: `data.${name}`,
      expected: 'a fraction between 0 and 1 of the text, or a source',
      got: String(fraction),
      fix: `write 0.1 for the last tenth; leave ${name} out if there is none`,
    });
  };
  const [validation, test] = [count('validation'), count('test')];
  const part = (name: string, begin: number, end: number, stride: number): RawTable =>
    filled(name, windows(text, { begin, end, length: column.length, stride }), end - begin, column);
  const train = total - validation - test;
  return {
    train: part('train', 0, train, column.stride),
    ...(validation > 0 && { validation: part('validation', train, train + validation, column.length) }),
    ...(test > 0 && { test: part('test', train + validation, total, column.length) }),
  };
}

/** All of a file that is validation or test: rows without overlap. */
function whole(source: Source, raw: RawTable): RawTable {
  const { path } = parseOptions(SOURCE, source, 'text');
  const column = columnOf(raw);
  const end = column.tokens.length;
  return windows(
    { ...column, file: path, spill: raw.spill },
    { begin: 0, end, length: column.length, stride: column.length },
  );
}

function filled(name: string, part: RawTable, tokens: number, { length, unit }: WindowColumn): RawTable {
  if (part.size > 0) return part;
  throw new LockstepError('E_DATA_EMPTY', {
    where: `data.${name} (text)`,
    expected: `at least ${length + 1} ${unit}: a row of ${length} and the one after it`,
    got: String(Math.max(0, tokens)),
    fix: 'choose other fractions, a smaller length, or a longer text',
  });
}

function fit(source: Source, raw: RawTable): Transform[] {
  const { tokens, vocabulary, unknown = vocabulary !== undefined, length } = parseOptions(SOURCE, source, 'text');
  const column = columnOf(raw);
  const kept = tokens === 'bytes' ? BYTE_TOKENS : mostFrequent(column, (vocabulary ?? Infinity) - Number(unknown));
  const all = unknown ? [...kept, UNKNOWN_TOKEN] : kept;
  const part = { kind: 'text', tokens, vocabulary: [...all], length } as const;
  const place = unknown ? { unknown: all.length - 1 } : {};
  return [
    { ...part, ...place, field: 'x', column: 'text' },
    { ...part, ...place, field: 'y', column: 'next' },
  ];
}

/** The `most` tokens that are most frequent in the training text (the earlier one of equals), in code point order. */
function mostFrequent({ tokens, dictionary, from, end }: WindowColumn, most: number): string[] {
  const counts = new Int32Array(dictionary.length);
  for (let i = from; i < end; i++) counts[tokens.at(i)] += 1;
  const seen = Array.from(counts.keys()).filter((id) => counts[id] > 0 && dictionary[id] !== UNKNOWN_TOKEN);
  if (seen.length > most) seen.sort((a, b) => counts[b] - counts[a] || a - b);
  const kept = seen.slice(0, most === Infinity ? undefined : most).map((id) => dictionary[id]);
  return kept.sort((a, b) => (a < b ? -1 : 1));
}
