import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { LockstepError } from '../errors.ts';
import { readError } from './files.ts';
import { isGzip } from './lines.ts';

/** A record may not be longer: an unclosed quote would otherwise swallow the rest of the file. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024;

/** One record of a CSV file, and the line on which it starts. */
export interface CsvRecord {
  readonly cells: readonly string[];
  readonly line: number;
}

/** The records of one CSV file (gzipped or not), in order and in bounded memory. Errors name file, line and column. */
export class CsvRecords {
  readonly file: string;
  /** Names of the columns, once they are known. */
  header: readonly string[] = [];
  readonly #delimiter: string;
  /** Line on which the next record starts. */
  #nextLine = 1;
  /** Lines that csv-parse counted twice: it counts the two bytes of CRLF within quotes one by one. */
  #overcounted = 0;

  /** The default delimiter is a comma, for .tsv a tab. */
  constructor(file: string, delimiter?: string) {
    this.file = file;
    this.#delimiter = delimiter ?? (/\.tsv(\.gz)?$/i.test(file) ? '\t' : ',');
  }

  /** Calls `take` with every record. Throws LockstepErrors, and what `take` throws. */
  async each(take: (record: CsvRecord) => void, signal: AbortSignal | undefined): Promise<void> {
    const parser = await this.#parser((cells, line) => {
      take({ cells, line });
      return null; // nothing goes on to readers
    });
    parser.resume();
    try {
      await this.#pipe(await this.#input(), parser, signal);
    } catch (error) {
      throw this.#parseError(error);
    }
  }

  /** The records one by one, read no faster than they are taken. `input` stands in for the file. */
  async *stream(signal: AbortSignal | undefined, input?: Readable): AsyncGenerator<CsvRecord> {
    const lines: number[] = []; // of the records that are parsed and not yet taken
    const parser = await this.#parser((cells, line) => {
      lines.push(line);
      return cells;
    });
    try {
      const piped = this.#pipe(input ? [input] : await this.#input(), parser, signal);
      piped.catch(() => undefined); // the loop throws it too, unless it was left early
      for await (const cells of parser) yield { cells, line: lines.shift() ?? 0 };
      await piped;
    } catch (error) {
      throw this.#parseError(error);
    }
  }

  async #parser(take: (cells: string[], line: number) => string[] | null) {
    const { parse } = await import('csv-parse');
    return parse({
      bom: true,
      delimiter: this.#delimiter,
      max_record_size: MAX_RECORD_BYTES,
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      skip_empty_lines: true,
      trim: true,
      on_record: (cells: string[], { lines }: { lines: number }) => take(cells, this.#startLine(cells, lines)),
    });
  }

  async #input(): Promise<NodeJS.ReadWriteStream[] | [Readable]> {
    const gzip = await isGzip(this.file);
    const stream = createReadStream(this.file);
    return gzip ? [stream as unknown as NodeJS.ReadWriteStream, createGunzip()] : [stream];
  }

  #pipe(
    input: readonly (NodeJS.ReadableStream | NodeJS.ReadWriteStream)[],
    parser: NodeJS.ReadWriteStream,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const [source, ...between] = input;
    return pipeline([source, ...(between as NodeJS.ReadWriteStream[]), parser], { signal });
  }

  #startLine(cells: readonly string[], lastLine: number): number {
    const end = lastLine - this.#overcounted;
    let breaks = 0;
    if (end > this.#nextLine) {
      for (const cell of cells) {
        const bytes = cell.match(/[\r\n]/g)?.length ?? 0;
        const lines = cell.match(/\r\n|[\r\n]/g)?.length ?? 0;
        breaks += bytes;
        this.#overcounted += bytes - lines;
      }
    }
    this.#nextLine = lastLine - this.#overcounted + 1;
    return end - breaks;
  }

  /** Sets the header from the first record: its cells, the positions (`false`), or the given names. Throws for equal names. */
  readHeader({ cells, line }: CsvRecord, header: boolean | readonly string[]): readonly string[] {
    const names = header === true ? cells : header === false ? cells.map((_, i) => String(i)) : header;
    const first = new Map<string, number>();
    for (const [i, name] of names.entries()) {
      const earlier = first.get(name);
      if (earlier !== undefined) {
        const got = `"${name}" twice: columns ${earlier + 1} and ${i + 1}`;
        const fix = 'rename one of them, or name the columns yourself: header: [...]';
        throw this.#formatError(line, 'column names that differ', got, { fix });
      }
      first.set(name, i);
    }
    this.header = names;
    return names;
  }

  /** Throws unless a record has as many cells as the header. */
  checkLength({ cells, line }: CsvRecord): void {
    const expected = this.header.length;
    if (cells.length === expected) return;
    const at = Math.min(cells.length, expected);
    const column = at < expected ? `, column "${this.header[at]}"` : `, column ${at + 1}`;
    throw this.#formatError(line, `${expected} cells`, `${cells.length}`, {
      column,
      fix: 'correct the line; a cell with a delimiter or a line break in it needs double quotes around it',
    });
  }

  /** What stopped the parser: an own error, a quote, or the file system. */
  #parseError(error: unknown): LockstepError {
    if (error instanceof LockstepError || !(error instanceof Error)) return readError(error, this.file);
    const code = String(Reflect.get(error, 'code'));
    const line = Number(Reflect.get(error, 'lines')) - this.#overcounted;
    const index = Number(Reflect.get(error, 'column'));
    const column = Number.isInteger(index) ? `, column ${JSON.stringify(this.header[index] ?? index + 1)}` : '';
    if (code === 'CSV_QUOTE_NOT_CLOSED' || code === 'CSV_MAX_RECORD_SIZE') {
      const end = code === 'CSV_QUOTE_NOT_CLOSED' ? 'the end of the file' : `more than ${MAX_RECORD_BYTES} bytes`;
      return this.#formatError(this.#nextLine, 'a closing quote in the record that starts here', end, {
        column,
        fix: 'close the quote; a quote inside quotes is written twice',
        cause: error,
      });
    }
    if (code.startsWith('CSV_') || code === 'INVALID_OPENING_QUOTE') {
      return this.#formatError(line, 'quotes around a whole cell', error.message, {
        column,
        fix: 'put the whole cell into quotes, and write a quote inside it twice',
        cause: error,
      });
    }
    return readError(error, this.file);
  }

  #formatError(
    line: number,
    expected: string,
    got: string,
    more: { column?: string; fix: string; cause?: unknown },
  ): LockstepError {
    const { column = '', fix, cause } = more;
    const where = `${this.file} line ${line}${column}`;
    return new LockstepError('E_DATA_FORMAT', { where, expected, got, fix, cause });
  }
}
