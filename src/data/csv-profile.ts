import { readFileSync } from 'node:fs';
import { LockstepError } from '../errors.ts';
import { MISSING_VALUES } from './csv.ts';
import { type CsvType, typeOfCounts } from './csv-column.ts';
import { CsvRecords } from './csv-records.ts';
import { parseBoolean, parseNumber } from './transforms.ts';

/** What a CSV file looks like, before anybody has said what it is for. */
export interface CsvProfile {
  readonly rows: number;
  readonly delimiter: string;
  readonly columns: readonly ColumnProfile[];
}

export interface ColumnProfile {
  readonly name: string;
  readonly type: CsvType;
  /** Cells with a value. */
  readonly count: number;
  readonly missing: number;
  /** Different values; Infinity where there were too many to count. */
  readonly distinct: number;
  /** Values as texts with their counts, most frequent first; empty where there were too many. */
  readonly values: readonly (readonly [text: string, count: number])[];
  /** In number columns: texts that are no numbers, with their counts. */
  readonly odd: readonly (readonly [text: string, count: number])[];
  /** Of the numbers; absent without any. */
  readonly numbers?: {
    readonly min: number;
    readonly max: number;
    readonly mean: number;
    readonly std: number;
    readonly integers: boolean;
  };
}

/** Different values of a column that are counted. */
const MOST_VALUES = 100_000;
/** Bytes in which the first line is looked for. */
const HEAD_BYTES = 65_536;

/**
 * Reads a CSV file once and describes its columns by the rules by which `csv` will read them, in bounded memory.
 *
 * @param options.delimiter default: the one that comes most often in the first line (tab for .tsv).
 * @throws E_DATA_FORMAT, E_DATA_EMPTY, as `csv`.
 */
export async function profileCsv(
  file: string,
  options: { readonly delimiter?: string; readonly header?: boolean; readonly signal?: AbortSignal } = {},
): Promise<CsvProfile> {
  const delimiter = options.delimiter ?? guessDelimiter(file);
  const records = new CsvRecords(file, delimiter);
  let columns: Counter[] | undefined;
  let rows = 0;
  await records.each((record) => {
    if (!columns) {
      columns = records.readHeader(record, options.header ?? true).map((name) => new Counter(name));
      if (options.header !== false) return;
    }
    records.checkLength(record);
    rows += 1;
    for (const [i, cell] of record.cells.entries()) columns[i].add(cell);
  }, options.signal);
  if (rows > 0) return { rows, delimiter, columns: (columns ?? []).map((c) => c.finish()) };
  throw new LockstepError('E_DATA_EMPTY', {
    where: file,
    expected: 'at least one row',
    got: columns ? 'a header only' : 'an empty file',
    fix: 'check that it is the right file',
  });
}

function guessDelimiter(file: string): string {
  if (/\.tsv(\.gz)?$/i.test(file)) return '\t';
  if (/\.gz$/i.test(file)) return ',';
  const [line] = readFileSync(file)
    .subarray(0, HEAD_BYTES)
    .toString('utf8')
    .split(/[\r\n]/, 1);
  const bare = line.replace(/"[^"]*"/g, '');
  const times = (delimiter: string) => bare.split(delimiter).length;
  return [',', ';', '\t', '|'].reduce((best, d) => (times(d) > times(best) ? d : best));
}

/** One column while its cells pass by. */
class Counter {
  readonly #name: string;
  readonly #counts = new Map<string, number>();
  readonly #odd = new Map<string, number>();
  #overflowed = false;
  #count = 0;
  #missing = 0;
  #numbers = 0;
  #booleans = 0;
  #integers = true;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  #mean = 0;
  /** Sum of squared distances from the mean (Welford 1962). */
  #squares = 0;

  constructor(name: string) {
    this.#name = name;
  }

  add(text: string): void {
    if (MISSING_VALUES.includes(text)) {
      this.#missing += 1;
      return;
    }
    this.#count += 1;
    const counted = this.#counts.get(text);
    if (counted !== undefined || this.#counts.size < MOST_VALUES) this.#counts.set(text, (counted ?? 0) + 1);
    else this.#overflowed = true;
    if (parseBoolean(text) !== undefined) this.#booleans += 1;
    const x = parseNumber(text);
    if (Number.isFinite(x)) this.#addNumber(x);
    else if (this.#odd.size < 100 || this.#odd.has(text)) this.#odd.set(text, (this.#odd.get(text) ?? 0) + 1);
  }

  #addNumber(x: number): void {
    this.#numbers += 1;
    this.#integers &&= Number.isInteger(x);
    this.#min = Math.min(this.#min, x);
    this.#max = Math.max(this.#max, x);
    const distance = x - this.#mean;
    this.#mean += distance / this.#numbers;
    this.#squares += distance * (x - this.#mean);
  }

  finish(): ColumnProfile {
    const byCount = (counts: ReadonlyMap<string, number>) => [...counts].sort(([, a], [, b]) => b - a);
    const type = typeOfCounts(this.#count, this.#numbers, this.#booleans);
    const std = this.#numbers > 0 ? Math.sqrt(this.#squares / this.#numbers) : 0;
    return {
      name: this.#name,
      type,
      count: this.#count,
      missing: this.#missing,
      distinct: this.#overflowed ? Number.POSITIVE_INFINITY : this.#counts.size,
      values: this.#overflowed ? [] : byCount(this.#counts),
      odd: type === 'number' ? byCount(this.#odd) : [],
      ...(type === 'number'
        ? { numbers: { min: this.#min, max: this.#max, mean: this.#mean, std, integers: this.#integers } }
        : {}),
    };
  }
}
