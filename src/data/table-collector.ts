import { closest, LockstepError } from '../errors.ts';
import type { RawTable, Spill } from './raw.ts';
import { ScratchFile } from './scratch-file.ts';
import { LISTS_IN_MEMORY, type ListMaker, type NumberList, spilledLists } from './spilled.ts';
import { type ColumnType, TableColumn } from './table-column.ts';
import type { TableSource } from './table-options.ts';

/** A cell as a file has it: text, a number, or nothing. */
export type FileCell = string | number | undefined;

export interface CollectorOptions {
  readonly file: string;
  readonly source: TableSource;
  /** What the numbers of `record` count, for messages: 'line', 'row'. */
  readonly unit: 'line' | 'row';
  readonly header: readonly string[];
  /** Types that the file itself declares, by column. */
  readonly declared?: ReadonlyMap<string, ColumnType>;
  /** What to do if a column is not there; `certain`: even if another one has a similar name. */
  readonly hint: { readonly text: string; readonly certain: boolean };
}

/** What to do about a value that training cannot use. */
const ADVICE = {
  missing: "fill it in, or let csv's option `missing` replace it ('mean') or leave the row out ('drop')",
  wrong: "correct the value; `types: { column: 'category' }` or `ignore` treats the column otherwise",
};

/** Takes the records of one file in order, and makes columns of them. Throws E_DATA_MISSING for columns that the file does not have. */
export class TableCollector {
  readonly #options: CollectorOptions;
  readonly #missing: ReadonlySet<string>;
  readonly #spill: Spill | undefined;
  readonly #lists: ListMaker;
  readonly #numbers: NumberList;
  /** By position in the record; undefined for ignored columns. */
  readonly #columns: readonly (TableColumn | undefined)[];

  constructor(options: CollectorOptions) {
    this.#options = options;
    const { memory, missingValues } = options.source;
    this.#missing = new Set(missingValues);
    this.#spill = memory === undefined ? undefined : { file: new ScratchFile(), memory };
    const columns = options.header.length + 1;
    this.#lists = this.#spill ? spilledLists(this.#spill.file, columns, this.#spill.memory / 4) : LISTS_IN_MEMORY;
    this.#numbers = this.#lists.i32();
    this.#columns = this.#makeColumns();
  }

  /** `number`: the line or row of the file. */
  record(cells: readonly FileCell[], number: number): void {
    if (this.#options.source.missing === 'drop' && this.#lacks(cells)) return;
    const row = this.#numbers.length;
    this.#numbers.push(number);
    for (let i = 0; i < this.#columns.length; i++) this.#columns[i]?.push(cells[i], row);
  }

  /** Throws E_DATA_EMPTY if there was no record, or none is left. */
  finish(): RawTable {
    const size = this.#numbers.length;
    if (size === 0) throw emptyFile(this.#options.file, 'a header only, or only rows with missing values');
    const columns = new Map(this.#columns.flatMap((c) => (c ? [[c.name, c] as const] : [])));
    const place = (row: number, column: string) => this.#place(row, column);
    const table = { size, columns, place: Object.assign(place, { advice: ADVICE }) };
    return this.#spill ? { ...table, spill: this.#spill } : table;
  }

  #place(row: number, column: string): string {
    const { file, unit } = this.#options;
    return `${file} ${unit} ${this.#numbers.at(row)}, column "${column}"`;
  }

  #makeColumns(): (TableColumn | undefined)[] {
    const { source, header, declared } = this.#options;
    const { target, ignore, types, task, maxCategories } = source;
    this.#require(target, 'target');
    for (const name of ignore) this.#require(name, 'ignore');
    for (const name of Object.keys(types)) this.#require(name, 'types');
    return header.map((name) => {
      if (ignore.includes(name)) return undefined;
      const regression = name === target && task === 'regression' ? 'number' : undefined;
      return new TableColumn({
        name,
        type: types[name] ?? declared?.get(name) ?? regression,
        maxValues: maxCategories,
        missing: this.#missing,
        place: (row) => this.#place(row, name),
        lists: this.#lists,
      });
    });
  }

  #require(name: string, option: string): void {
    const { file, header, hint } = this.#options;
    if (header.includes(name)) return;
    const near = closest(name, header);
    throw new LockstepError('E_DATA_MISSING', {
      where: `${file}: option ${option}`,
      expected: `a column among ${header.slice(0, 30).join(', ')}${header.length > 30 ? ', ...' : ''}`,
      got: JSON.stringify(name),
      fix: near === undefined || hint.certain ? hint.text : `did you mean "${near}"?`,
    });
  }

  #lacks(cells: readonly FileCell[]): boolean {
    return cells.some((cell, i) => {
      if (this.#columns[i] === undefined) return false;
      return cell === undefined || Number.isNaN(cell) || (typeof cell === 'string' && this.#missing.has(cell));
    });
  }
}

export function emptyFile(file: string, got: string): LockstepError {
  return new LockstepError('E_DATA_EMPTY', {
    where: file,
    expected: 'at least one row',
    got,
    fix: 'check that it is the right file',
  });
}
