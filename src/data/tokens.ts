import { LockstepError } from '../errors.ts';
import { describeValue } from './describe.ts';
import type { Place } from './raw.ts';

/**
 * What a text is cut into. 'characters': Unicode code points. 'bytes': of its UTF-8 form, 256 in all. 'words': words, numbers, runs of
 * white space and single other signs. Joining the tokens gives the text back.
 */
export type TokenKind = 'characters' | 'bytes' | 'words';

const WORD = /\p{L}[\p{L}\p{M}\p{N}'’]*|\p{N}+|\s+|[^\s]/gu;

/** Stands for what the vocabulary lacks: Unicode's replacement character. */
export const UNKNOWN_TOKEN = '\uFFFD';

/** Names of the 256 bytes: printable ASCII and line breaks are themselves, others `\xff`. */
export const BYTE_TOKENS: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  (byte >= 0x20 && byte < 0x7f && byte !== 0x5c) || byte === 9 || byte === 10 || byte === 13
    ? String.fromCharCode(byte)
    : `\\x${byte.toString(16).padStart(2, '0')}`,
);

export function splitTokens(kind: TokenKind, text: string): string[] {
  if (kind === 'characters') return Array.from(text);
  if (kind === 'words') return text.match(WORD) ?? [];
  return Array.from(new TextEncoder().encode(text), (byte) => BYTE_TOKENS[byte]);
}

export function joinTokens(kind: TokenKind, tokens: readonly string[]): string {
  if (kind !== 'bytes') return tokens.join('');
  return new TextDecoder().decode(Uint8Array.from(tokens, (token) => BYTE_TOKENS.indexOf(token)));
}

/** The fitted transform of a text: plain data. */
export interface TextPart {
  readonly kind: 'text';
  readonly field: string;
  readonly column: string;
  readonly tokens: TokenKind;
  readonly vocabulary: readonly string[];
  /** Place in the vocabulary of what stands for all others; absent: another token is an error. */
  readonly unknown?: number | undefined;
  /** Tokens in a row of the field. */
  readonly length: number;
}

const tables = new WeakMap<readonly string[], ReadonlyMap<string, number>>();

/** Place of a token in the vocabulary; of its unknown token; else -1. */
export function tokenId({ vocabulary, unknown = -1 }: TextPart, token: string): number {
  let table = tables.get(vocabulary);
  if (!table) {
    table = new Map(vocabulary.map((v, i) => [v, i]));
    tables.set(vocabulary, table);
  }
  return table.get(token) ?? unknown;
}

/**
 * Writes the ids of a text of at most `length` tokens to `out` from `offset` on, then zeros: a causal model looks at none of these
 * from where the text ends.
 */
export function encodeText(
  part: TextPart,
  value: unknown,
  out: Float32Array | Int32Array,
  offset: number,
  row: number,
  place: Place,
): void {
  if (typeof value !== 'string' || value === '') {
    const got = value === '' || value === undefined ? 'no text' : describeValue(value);
    throw new LockstepError('E_DATA_VALUE', {
      where: place(row, part.column),
      expected: 'a text',
      got,
      fix: 'give a string of at least one token',
    });
  }
  const tokens = splitTokens(part.tokens, value);
  if (tokens.length > part.length) {
    throw new LockstepError('E_SHAPE', {
      where: place(row, part.column),
      expected: `at most ${part.length} ${part.tokens}, the length that the model was trained on`,
      got: String(tokens.length),
      fix: `give the last ${part.length} of them, or train with a larger \`length\``,
    });
  }
  for (let i = 0; i < part.length; i++) {
    out[offset + i] = i < tokens.length ? known(part, tokens[i], place(row, part.column)) : 0;
  }
}

/** The id of a token. Throws E_DATA_VALUE for one that the vocabulary lacks, if it has none for unknown ones. */
export function known(part: TextPart, token: string, where: string): number {
  const id = tokenId(part, token);
  if (id >= 0) return id;
  throw new LockstepError('E_DATA_VALUE', {
    where,
    expected: `one of the ${part.vocabulary.length} ${part.tokens} of the training text`,
    got: describeValue(token),
    fix: 'leave it out; or train with text(file, { unknown: true }), which adds a token for all that the training text lacks',
  });
}
