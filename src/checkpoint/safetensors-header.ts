import { damaged, quote } from './damage.ts';

/** Bytes of one element; the format's types of less than a byte are not among them. */
export const DTYPE_BYTES = {
  BOOL: 1, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, I16: 2, U16: 2, F16: 2, BF16: 2, I32: 4, U32: 4, F32: 4, I64: 8, U64: 8, F64: 8,
} as const; // biome-ignore format: a table
export type SafetensorsDType = keyof typeof DTYPE_BYTES;

/** One entry of a header as it stands there, with its place in the data. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly entries: readonly HeaderEntry[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** The key that holds free text, and so names no tensor. */
export const METADATA_KEY = '__metadata__';

/** What is wrong with a tensor's name, or undefined: it may become a path or a line on a terminal. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'an empty name';
  if (name === METADATA_KEY) return `the reserved name ${METADATA_KEY}`;
  if (/\p{Cc}/u.test(name)) return `control characters in ${quote(name)}`;
  if (/\p{Cs}/u.test(name)) return `half a character in ${quote(name)}`;
  if (name.split(/[/\\]/).includes('..')) return `".." in ${quote(name)}`;
  return undefined;
}

/**
 * Reads the JSON text of a header. It knows no JSON but that of the format, so a hostile header ends at its first wrong
 * character and cannot make the parser build anything larger than the header itself.
 *
 * @throws E_CHECKPOINT with the place of what is wrong, duplicate names included (JSON.parse would swallow them).
 */
export function parseHeader(text: string, where: string): Header {
  return new HeaderParser(text, where).header();
}

class HeaderParser {
  readonly #text: string;
  readonly #where: string;
  #at = 0;

  constructor(text: string, where: string) {
    this.#text = text;
    this.#where = where;
  }

  header(): Header {
    const entries = new Map<string, HeaderEntry>();
    let metadata: Map<string, string> | undefined;
    if (this.#text[0] !== '{') throw this.#wrong('"{" as the first character');
    this.#object((name) => {
      if (name === METADATA_KEY) {
        if (metadata) throw this.#wrong(`${METADATA_KEY} once`, 'a second one');
        metadata = this.#metadata();
        return;
      }
      const problem = nameProblem(name);
      if (problem) throw this.#wrong('a tensor name', problem);
      if (entries.has(name)) throw this.#wrong('every tensor once', `a second ${quote(name)}`);
      entries.set(name, this.#entry(name));
    });
    this.#space();
    if (this.#at < this.#text.length) throw this.#wrong('nothing but spaces after the header');
    return { entries: [...entries.values()], metadata: metadata ?? new Map() };
  }

  #metadata(): Map<string, string> {
    const metadata = new Map<string, string>();
    this.#object((key) => {
      if (metadata.has(key)) throw this.#wrong('every metadata key once', `a second ${quote(key)}`);
      metadata.set(key, this.#string());
    });
    return metadata;
  }

  #entry(name: string): HeaderEntry {
    let dtype: SafetensorsDType | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object((key) => {
      if (key === 'dtype' && dtype === undefined) dtype = this.#dtype();
      else if (key === 'shape' && shape === undefined) shape = this.#integers();
      else if (key === 'data_offsets' && offsets === undefined) offsets = this.#integers();
      else throw this.#wrong('dtype, shape and data_offsets, each once', quote(key));
    });
    if (dtype === undefined || shape === undefined || offsets?.length !== 2) {
      throw this.#wrong(`dtype, shape and two data_offsets of tensor ${quote(name)}`, 'less or more');
    }
    return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
  }

  #dtype(): SafetensorsDType {
    const name = this.#string();
    if (Object.hasOwn(DTYPE_BYTES, name)) return name as SafetensorsDType;
    throw this.#wrong(`a dtype of ${Object.keys(DTYPE_BYTES).join(', ')}`, quote(name));
  }

  #integers(): number[] {
    const values: number[] = [];
    this.#take('[');
    if (this.#takes(']')) return values;
    do values.push(this.#integer());
    while (this.#takes(','));
    this.#take(']');
    return values;
  }

  #integer(): number {
    this.#space();
    const digits = /(?:0|[1-9]\d*)(?![\d.eE])/y;
    digits.lastIndex = this.#at;
    const match = digits.exec(this.#text);
    const value = match ? Number(match[0]) : Number.NaN;
    if (!match || !Number.isSafeInteger(value)) throw this.#wrong('a whole number from 0 to 2^53 - 1');
    this.#at = digits.lastIndex;
    return value;
  }

  #object(entry: (key: string) => void): void {
    this.#take('{');
    if (this.#takes('}')) return;
    do {
      const key = this.#string();
      this.#take(':');
      entry(key);
    } while (this.#takes(','));
    this.#take('}');
  }

  #string(): string {
    this.#space();
    const start = this.#at;
    if (this.#text[start] !== '"') throw this.#wrong('a string');
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    this.#at = end + 1;
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      this.#at = start;
      throw this.#wrong('a string');
    }
  }

  #take(character: string): void {
    if (!this.#takes(character)) throw this.#wrong(`"${character}"`);
  }

  #takes(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #space(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? '?')) this.#at += 1;
  }

  #wrong(expected: string, got?: string): Error {
    const rest = this.#text.slice(this.#at, this.#at + 20);
    return damaged(`${this.#where}, header byte ${this.#at}`, expected, got ?? (rest === '' ? 'its end' : quote(rest)));
  }
}
