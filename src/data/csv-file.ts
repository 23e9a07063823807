import { closest, LockstepError } from '../errors.ts';
import { ChunkedNumbers } from './chunks.ts';
import type { CsvSource } from './csv.ts';
import { CsvColumn } from './csv-column.ts';
import { type CsvRecord, CsvRecords } from './csv-records.ts';
import type { RawTable } from './raw.ts';
import { parseNumber } from './transforms.ts';

/** Reads a CSV file in a stream into columns. Throws errors with file, line and column. */
export async function readCsv(file: string, source: CsvSource, signal: AbortSignal | undefined): Promise<RawTable> {
  const records = new CsvRecords(file, source.delimiter);
  const collector = new Collector(records, source);
  await records.each((record) => collector.record(record), signal);
  return collector.finish();
}

/** Takes the records of one file in order. */
class Collector {
  readonly #records: CsvRecords;
  readonly #file: string;
  readonly #source: CsvSource;
  readonly #missing: ReadonlySet<string>;
  readonly #lines = new ChunkedNumbers((n) => new Int32Array(n));
  #begun = false;
  /** By position in the record; undefined for ignored columns. */
  #columns: readonly (CsvColumn | undefined)[] = [];

  constructor(records: CsvRecords, source: CsvSource) {
    this.#records = records;
    this.#file = records.file;
    this.#source = source;
    this.#missing = new Set(source.missingValues);
  }

  record(record: CsvRecord): void {
    const { cells, line } = record;
    if (!this.#begun) {
      this.#begun = true;
      this.#columns = this.#makeColumns(this.#records.readHeader(record, this.#source.header));
      if (this.#source.header === true) return;
    }
    this.#records.checkLength(record);
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
        got: this.#begun ? 'a header only, or only rows with missing values' : 'an empty file',
        fix: this.#begun ? 'add rows' : 'check that it is the right file',
      });
    }
    const columns = new Map(this.#columns.flatMap((c) => (c ? [[c.name, c] as const] : [])));
    return { size, columns, place: (row, column) => this.#place(row, column) };
  }

  #place(row: number, column: string): string {
    return `${this.#file} line ${this.#lines.at(row)}, column "${column}"`;
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
}
