import { type ColumnType, typeOfCounts } from './table-column.ts';
import { MISSING_VALUES } from './table-options.ts';
import { parseBoolean, parseNumber } from './transforms.ts';

/** What a table in a file looks like, before anybody has said what it is for. */
export interface TableProfile {
  readonly rows: number;
  /** Of a CSV file. */
  readonly delimiter?: string;
  readonly columns: readonly ColumnProfile[];
}

export interface ColumnProfile {
  readonly name: string;
  readonly type: ColumnType;
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

/** One column while its cells pass by. */
export class ColumnCounter {
  readonly #name: string;
  readonly #declared: ColumnType | undefined;
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

  /** `type`: what the file itself says that the column is. */
  constructor(name: string, type?: ColumnType) {
    this.#name = name;
    this.#declared = type;
  }

  /** undefined is no value. */
  add(text: string | undefined): void {
    if (text === undefined || MISSING_VALUES.includes(text)) {
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
    const type = this.#declared ?? typeOfCounts(this.#count, this.#numbers, this.#booleans);
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
