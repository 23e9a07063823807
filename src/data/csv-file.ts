import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { closest, LockstepError } from '../errors.ts';
import { ChunkedNumbers } from './chunks.ts';
import type { CsvSource } from './csv.ts';
import { CsvColumn } from './csv-column.ts';
import { readError } from './files.ts';
import type { RawTable } from './raw.ts';
import { parseNumber } from './transforms.ts';

/** A record may not be longer: an unclosed quote would otherwise swallow the rest of the file. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024;

/** Reads a CSV file in a stream into columns. Throws errors with file, line and column. */
export async function readCsv(file: string, source: CsvSource, signal: AbortSignal | undefined): Promise<RawTable> {
  const collector = new Collector(file, source);
  const { parse } = await import('csv-parse');
  const parser = parse({
    bom: true,
    delimiter: source.delimiter ?? (/\.tsv(\.gz)?$/i.test(file) ? '\t' : ','),
    max_record_size: MAX_RECORD_BYTES,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
    on_record: (record: string[], context: { lines: number }) => {
      collector.record(record, context.lines);
      return null;
    },
  });
  parser.resume();
  try {
    const gzip = await isGzip(file);
    const stream = createReadStream(file);
    await (gzip ? pipeline(stream, createGunzip(), parser, { signal }) : pipeline(stream, parser, { signal }));
  } catch (error) {
    throw collector.parseError(error);
  }
  return collector.finish();
}

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await handle.close();
  }
}

/** Takes the records of one file in order. */
class Collector {
  readonly #file: string;
  readonly #source: CsvSource;
  readonly #missing: ReadonlySet<string>;
  readonly #lines = new ChunkedNumbers((n) => new Int32Array(n));
  #header: readonly string[] | undefined;
  /** By position in the record; undefined for ignored columns. */
  #columns: readonly (CsvColumn | undefined)[] = [];
  /** Line on which the next record starts. */
  #nextLine = 1;
  /** Lines that csv-parse counted twice: it counts the two bytes of CRLF within quotes one by one. */
  #overcounted = 0;

  constructor(file: string, source: CsvSource) {
    this.#file = file;
    this.#source = source;
    this.#missing = new Set(source.missingValues);
  }

  /** One record; `lastLine` is the line on which it ends, as csv-parse counts. */
  record(cells: readonly string[], lastLine: number): void {
    const line = this.#startLine(cells, lastLine);
    if (!this.#header) {
      this.#header = this.#readHeader(cells, line);
      this.#columns = this.#makeColumns(this.#header);
      if (this.#source.header === true) return;
    }
    if (cells.length !== this.#header.length) throw this.#wrongLength(cells, line);
    if (this.#source.missing === 'drop' && this.#lacks(cells)) return;
    const row = this.#lines.length;
    this.#lines.push(line);
    for (let i = 0; i < cells.length; i++) this.#columns[i]?.push(cells[i], row);
  }

  finish(): RawTable {
    const size = this.#lines.length;
    if (size === 0) {
      throw new LockstepError('E_DATA_EMPTY', {
        where: this.#file,
        expected: 'at least one row',
        got: this.#header ? 'a header only, or only rows with missing values' : 'an empty file',
        fix: this.#header ? 'add rows' : 'check that it is the right file',
      });
    }
    const columns = new Map(this.#columns.flatMap((c) => (c ? [[c.name, c] as const] : [])));
    return { size, columns, place: (row, column) => this.#place(row, column) };
  }

  #place(row: number, column: string): string {
    return `${this.#file} line ${this.#lines.at(row)}, column "${column}"`;
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

  #readHeader(cells: readonly string[], line: number): readonly string[] {
    const { header } = this.#source;
    const names = header === true ? cells : header === false ? cells.map((_, i) => String(i)) : header;
    const first = new Map<string, number>();
    for (const [i, name] of names.entries()) {
      const earlier = first.get(name);
      if (earlier !== undefined) {
        throw this.#formatError(
          line,
          'column names that differ',
          `"${name}" twice: columns ${earlier + 1} and ${i + 1}`,
          {
            fix: 'rename one of them, or name the columns yourself: header: [...]',
          },
        );
      }
      first.set(name, i);
    }
    return names;
  }

  #makeColumns(header: readonly string[]): (CsvColumn | undefined)[] {
    const { target, ignore, types, task, maxCategories } = this.#source;
    this.#require(target, 'target', header);
    for (const name of ignore) this.#require(name, 'ignore', header);
    for (const name of Object.keys(types)) this.#require(name, 'types', header);
    return header.map((name) => {
      if (ignore.includes(name)) return undefined;
      return new CsvColumn({
        name,
        type: types[name] ?? (name === target && task === 'regression' ? 'number' : undefined),
        maxValues: maxCategories,
        missing: this.#missing,
        place: (row) => this.#place(row, name),
      });
    });
  }

  #require(name: string, option: string, header: readonly string[]): void {
    if (header.includes(name)) return;
    const near = closest(name, header);
    const headless = this.#source.header === true && header.every((cell) => Number.isFinite(parseNumber(cell)));
    throw new LockstepError('E_DATA_MISSING', {
      where: `${this.#file}: option ${option}`,
      expected: `a column among ${header.slice(0, 30).join(', ')}${header.length > 30 ? ', ...' : ''}`,
      got: JSON.stringify(name),
      fix: headless
        ? 'the first line looks like data: with header: false, columns are named 0, 1, 2 ...'
        : near === undefined
          ? 'name a column of the file (check the delimiter)'
          : `did you mean "${near}"?`,
    });
  }

  #lacks(cells: readonly string[]): boolean {
    return cells.some((cell, i) => this.#columns[i] !== undefined && this.#missing.has(cell));
  }

  #wrongLength(cells: readonly string[], line: number): LockstepError {
    const expected = this.#header?.length ?? 0;
    const at = Math.min(cells.length, expected);
    const column = at < expected ? `, column "${this.#header?.[at]}"` : `, column ${at + 1}`;
    return this.#formatError(line, `${expected} cells`, `${cells.length}`, {
      column,
      fix: 'correct the line; a cell with a delimiter or a line break in it needs double quotes around it',
    });
  }

  /** What stopped the parser: an own error, a quote, or the file system. */
  parseError(error: unknown): LockstepError {
    if (error instanceof LockstepError || !(error instanceof Error)) return readError(error, this.#file);
    const code = String(Reflect.get(error, 'code'));
    const line = Number(Reflect.get(error, 'lines')) - this.#overcounted;
    const index = Number(Reflect.get(error, 'column'));
    const column = Number.isInteger(index) ? `, column ${JSON.stringify(this.#header?.[index] ?? index + 1)}` : '';
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
    return readError(error, this.#file);
  }

  #formatError(
    line: number,
    expected: string,
    got: string,
    more: { column?: string; fix: string; cause?: unknown },
  ): LockstepError {
    const { column = '', fix, cause } = more;
    return new LockstepError('E_DATA_FORMAT', {
      where: `${this.#file} line ${line}${column}`,
      expected,
      got,
      fix,
      cause,
    });
  }
}
