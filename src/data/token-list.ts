import { createReadStream } from 'node:fs';
import { TextDecoder } from 'node:util';
import { LockstepError } from '../errors.ts';
import { readError } from './files.ts';
import type { NumberList } from './spilled.ts';
import { BYTE_TOKENS, splitTokens, type TokenKind } from './tokens.ts';

/** The tokens of a text as places in a dictionary, which has them in the order in which they first come. */
export interface TokenList {
  readonly tokens: NumberList;
  readonly dictionary: readonly string[];
}

/** Bytes that are read at once: what is made of larger pieces waits longer for the collector. */
const PIECE = 1 << 16;

/**
 * Reads a text file piece by piece and appends its tokens to `tokens`.
 *
 * @throws E_DATA_FORMAT for what is not UTF-8; E_DATA_MISSING, E_ABORTED.
 */
export async function readTokens(
  file: string,
  kind: TokenKind,
  tokens: NumberList,
  signal: AbortSignal | undefined,
): Promise<TokenList> {
  const places = new Map<string, number>();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  const take = (text: string, last: boolean): void => {
    const parts = splitTokens(kind, rest + text);
    // What comes next may belong to the last word.
    rest = kind === 'words' && !last ? (parts.pop() ?? '') : '';
    for (const part of parts) {
      const place = places.get(part) ?? places.size;
      if (place === places.size) places.set(part, place);
      tokens.push(place);
    }
  };
  try {
    for await (const piece of createReadStream(file, { signal, highWaterMark: PIECE })) {
      if (!(piece instanceof Uint8Array)) throw new TypeError('readTokens: not bytes');
      if (kind === 'bytes') for (const byte of piece) tokens.push(byte);
      else take(decode(decoder, file, piece), false);
    }
    if (kind === 'bytes') return { tokens, dictionary: BYTE_TOKENS };
    take(decode(decoder, file), true);
    return { tokens, dictionary: [...places.keys()] };
  } catch (error) {
    throw readError(error, file);
  }
}

function decode(decoder: TextDecoder, file: string, bytes?: Uint8Array): string {
  try {
    return decoder.decode(bytes, { stream: bytes !== undefined });
  } catch (cause) {
    throw new LockstepError('E_DATA_FORMAT', {
      where: file,
      expected: 'UTF-8 text',
      got: 'bytes that are none',
      fix: "convert the file to UTF-8, or read it with tokens: 'bytes'",
      cause,
    });
  }
}
