import { LockstepError } from '../../src/errors.ts';

/** More hosts than any cluster has: what asks for more is a mistake, and would only fill memory. */
const MOST_HOSTS = 100_000;

/**
 * The hosts of a Slurm node list, in its order: `gpu[01-03,7],login` is gpu01, gpu02, gpu03, gpu7, login. Several brackets in one
 * name multiply, the last one fastest (`rack[1-2]n[1-2]`); leading zeros are kept.
 *
 * @throws E_PLACE that names the place in the text.
 */
export function parseNodelist(text: string): string[] {
  const reader = new Reader(text);
  const hosts: string[] = [];
  do {
    for (const host of reader.entry()) hosts.push(host);
    if (hosts.length > MOST_HOSTS) throw reader.wrong(`at most ${MOST_HOSTS} hosts`, 'more');
  } while (reader.take(','));
  reader.end();
  return hosts;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text.trim();
  }

  /** `name`, `name[1-3]`, `a[1-2]b[3]c`: every combination. */
  entry(): string[] {
    let names = [''];
    const start = this.#at;
    for (;;) {
      const literal = this.#match(/[^[\],\s]+/y);
      if (literal !== undefined) names = names.map((name) => name + literal);
      else if (this.take('['))
        names = combined(names, this.#brackets(), () => this.wrong(`at most ${MOST_HOSTS} hosts`, 'more'));
      else break;
    }
    if (this.#at === start) throw this.wrong('a host name', this.#next());
    return names;
  }

  take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  end(): void {
    if (this.#at < this.#text.length) throw this.wrong('"," or the end', this.#next());
  }

  wrong(expected: string, got: string): LockstepError {
    return new LockstepError('E_PLACE', {
      where: `node list "${this.#text}", character ${this.#at + 1}`,
      expected,
      got,
      fix: 'Slurm writes it as host[1-3,7]; see scontrol show hostnames',
    });
  }

  /** Behind "[": numbers and ranges up to "]". */
  #brackets(): string[] {
    const numbers: string[] = [];
    do {
      const first = this.#number();
      const last = this.take('-') ? this.#number() : first;
      if (Number(last) < Number(first)) throw this.wrong(`a range that ends at ${first} or later`, last);
      if (Number(last) - Number(first) + numbers.length >= MOST_HOSTS)
        throw this.wrong(`at most ${MOST_HOSTS} hosts`, 'more');
      for (let n = Number(first); n <= Number(last); n++) numbers.push(String(n).padStart(first.length, '0'));
    } while (this.take(','));
    if (!this.take(']')) throw this.wrong('"," or "]"', this.#next());
    return numbers;
  }

  #number(): string {
    const digits = this.#match(/\d{1,15}/y);
    if (digits === undefined) throw this.wrong('a number', this.#next());
    return digits;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #next(): string {
    return this.#at < this.#text.length ? `"${this.#text[this.#at]}"` : 'the end';
  }
}

function combined(left: readonly string[], right: readonly string[], tooMany: () => Error): string[] {
  if (left.length * right.length > MOST_HOSTS) throw tooMany();
  return left.flatMap((a) => right.map((b) => a + b));
}
