import type { LoadOptions, Source } from './contract.ts';
import type { NumberColumn } from './number-column.ts';
import type { RawTable } from './raw.ts';
import type { Transform } from './transforms.ts';

export interface ReadOptions extends LoadOptions {
  /** All rows will be copied: columns need not lie in shared memory, and are given back by `RawTable.release`. */
  readonly apart?: boolean;
}

/**
 * How a kind of source is loaded. A new kind is one file that exports the function users call (a plain description, reads
 * nothing) and a reader, and one row in load.ts.
 */
export interface SourceReader {
  /** Reads everything. Throws LockstepErrors that name file and place. */
  read(source: Source, options: ReadOptions): Promise<RawTable>;
  /** Fits the transforms from rows `ids` of the table (all, if absent) and no others. */
  fit(source: Source, raw: RawTable, ids: Int32Array | undefined): Transform[];
  /** Where rows cannot be dealt out one by one: cuts the table for these fractions. Fitting sees `train`. */
  cut?(
    source: Source,
    raw: RawTable,
    fractions: { readonly validation?: number; readonly test?: number },
  ): { train: RawTable; validation?: RawTable; test?: RawTable };
  /** The table of a source that is validation or test itself, where that differs. */
  whole?(source: Source, raw: RawTable): RawTable;
}

/** The tensor column of a table that its own reader made. */
export function tensorColumn(raw: RawTable, name: string) {
  const column = raw.columns.get(name);
  if (column?.kind !== 'tensor') throw new TypeError(`no tensor column ${name}`);
  return column;
}

/** The same of a reader whose columns may lie on disk. */
export function numberColumn(raw: RawTable, name: string): NumberColumn {
  const column = raw.columns.get(name);
  if (column?.kind !== 'tensor' && column?.kind !== 'paged') throw new TypeError(`no column of numbers ${name}`);
  return column;
}
