import { StringDecoder } from 'node:string_decoder';

/** A line that does not end is given out in pieces of this length. */
const LONGEST_LINE = 16_384;
/** What another machine prints must not move our cursor; tabs may stay. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it is for
const CONTROL = /\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f]/g;

/** Cuts a stream of bytes into lines of plain text. Memory is bounded by the longest line. */
export class Lines {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(data: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(data)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#give(line);
    while (this.#rest.length > LONGEST_LINE) {
      this.#give(this.#rest.slice(0, LONGEST_LINE));
      this.#rest = this.#rest.slice(LONGEST_LINE);
    }
  }

  end(): void {
    const last = this.#rest + this.#decoder.end();
    this.#rest = '';
    if (last !== '') this.#give(last);
  }

  #give(line: string): void {
    this.#onLine(line.replace(CONTROL, ''));
  }
}
