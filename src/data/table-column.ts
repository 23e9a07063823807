import { LockstepError } from '../errors.ts';
import type { Cell, CellColumn } from './raw.ts';
import type { ListMaker, NumberList } from './spilled.ts';
import { parseBoolean, parseNumber } from './transforms.ts';

/** What a column is. */
export type ColumnType = 'number' | 'category' | 'boolean';

/** Where a cell stands, for messages: "iris.csv line 7, column "petal"". */
export type CellPlace = (row: number) => string;

/**
 * One column of a table in memory: few different texts are kept once, with a code a row; more than `maxValues` of
 * them that are all numbers become f64. So text never takes more than its dictionary.
 */
export class TableColumn implements CellColumn {
  readonly kind = 'cells';
  readonly name: string;
  readonly #declared: ColumnType | undefined;
  readonly #maxValues: number;
  readonly #missing: ReadonlySet<string>;
  readonly #place: CellPlace;
  readonly #texts: (string | undefined)[] = [];
  readonly #codeOf = new Map<string | undefined, number>();
  readonly #lists: ListMaker;
  #codes: NumberList;
  #numbers: NumberList | undefined;

  constructor(options: {
    name: string;
    type: ColumnType | undefined;
    maxValues: number;
    missing: ReadonlySet<string>;
    place: CellPlace;
    lists: ListMaker;
  }) {
    this.name = options.name;
    this.#declared = options.type;
    this.#maxValues = options.maxValues;
    this.#missing = options.missing;
    this.#place = options.place;
    this.#lists = options.lists;
    this.#codes = options.lists.i32();
    if (this.#declared === 'number') this.#numbers = options.lists.f64();
  }

  /** Adds the cell of row `row` (rows come in order); undefined is no value. */
  push(cell: string | number | undefined, row: number): void {
    if (this.#numbers) {
      this.#numbers.push(this.#numberOf(cell, row));
      return;
    }
    const text = cell === undefined ? undefined : String(cell);
    let code = this.#codeOf.get(text);
    if (code === undefined) {
      if (this.#texts.length >= this.#maxValues) {
        this.#becomeNumbers(row);
        this.push(cell, row);
        return;
      }
      code = this.#texts.push(text) - 1;
      this.#codeOf.set(text, code);
    }
    this.#codes.push(code);
  }

  /** The cell: text, or the number that it was; undefined where there is none. */
  at(row: number): Cell {
    if (!this.#numbers) {
      const text = this.#texts[this.#codes.at(row)];
      return text === undefined || this.#missing.has(text) ? undefined : text;
    }
    const x = this.#numbers.at(row);
    return Number.isNaN(x) ? undefined : x;
  }

  /** The cell as a number, NaN where there is none. Throws E_DATA_VALUE for a text that is no number. */
  numberAt(row: number): number {
    const cell = this.at(row);
    if (cell === undefined) return Number.NaN;
    const x = typeof cell === 'number' ? cell : parseNumber(String(cell));
    if (!Number.isFinite(x)) throw this.#noNumber(String(cell), row);
    return x;
  }

  /**
   * The declared type, else what the cells of `rows` are: booleans if all are, numbers if at least half are (the
   * others are then mistakes to report, not categories), else categories.
   */
  typeIn(rows: Iterable<number>): ColumnType {
    if (this.#declared) return this.#declared;
    if (this.#numbers) return 'number';
    const counts = this.#countTexts(rows);
    let [all, numbers, booleans] = [0, 0, 0];
    for (const [text, count] of counts) {
      all += count;
      if (isNumber(text)) numbers += count;
      if (parseBoolean(text) !== undefined) booleans += count;
    }
    return typeOfCounts(all, numbers, booleans);
  }

  #countTexts(rows: Iterable<number>): Map<string, number> {
    const counts = new Array<number>(this.#texts.length).fill(0);
    for (const row of rows) counts[this.#codes.at(row)] += 1;
    return new Map(
      this.#texts.flatMap((t, i) =>
        counts[i] > 0 && t !== undefined && !this.#missing.has(t) ? [[t, counts[i]]] : [],
      ),
    );
  }

  #numberOf(cell: string | number | undefined, row: number): number {
    if (cell === undefined || Number.isNaN(cell)) return Number.NaN;
    if (typeof cell === 'string' && this.#missing.has(cell)) return Number.NaN;
    const x = typeof cell === 'number' ? cell : parseNumber(cell);
    if (!Number.isFinite(x)) throw this.#noNumber(String(cell), row);
    return x;
  }

  /** More different texts than a category may have: numbers, or an error that says which cell or what to do. */
  #becomeNumbers(row: number): void {
    const declared = this.#declared !== undefined;
    const typed = declared ? this.#declared : this.typeIn(range(row));
    if (typed !== 'number') {
      throw new LockstepError('E_DATA_VALUE', {
        where: this.#place(row),
        expected: `a ${typed} column of at most ${this.#maxValues} different values`,
        got: 'one more',
        fix: `leave the column out (ignore: ['${this.name}']), or raise maxCategories`,
      });
    }
    const numbers = this.#lists.f64();
    for (let r = 0; r < row; r++) numbers.push(this.#numberOf(this.#texts[this.#codes.at(r)], r));
    this.#numbers = numbers;
    this.#texts.length = 0;
    this.#codeOf.clear();
    this.#codes = this.#lists.i32();
  }

  #noNumber(text: string, row: number): LockstepError {
    return new LockstepError('E_DATA_VALUE', {
      where: this.#place(row),
      expected: 'a finite number',
      got: JSON.stringify(text),
      fix: `correct the cell; or types: { '${this.name}': 'category' }, ignore: ['${this.name}'], or missingValues: [${JSON.stringify(text)}]`,
    });
  }
}

/** The type of `all` cells of which so many are numbers and so many booleans. */
export function typeOfCounts(all: number, numbers: number, booleans: number): ColumnType {
  if (all > 0 && booleans === all) return 'boolean';
  return all > 0 && numbers * 2 >= all ? 'number' : 'category';
}

function isNumber(text: string): boolean {
  return Number.isFinite(parseNumber(text));
}

function* range(end: number): Generator<number> {
  for (let i = 0; i < end; i++) yield i;
}
