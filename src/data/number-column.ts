import { LockstepError } from '../errors.ts';
import { ByteHistogram } from './byte-histogram.ts';
import { giveBack } from './give-back.ts';
import { makeArray, PagedColumn, type PagedElements } from './paged.ts';
import { type RawArray, type Spill, sharedArray, type TensorColumn } from './raw.ts';

/** Rows of numbers of a fixed shape: all in memory, or in a file with a page of them in memory. */
export type NumberColumn = TensorColumn | PagedColumn;

/** Where the elements of a file go, run after run in the order of rows. */
export interface ElementTarget {
  /** Takes elements that begin at element `at`. */
  take(values: RawArray, at: number): void;
}

/** What a column holds, and where it comes from, for messages. */
export interface ColumnForm {
  readonly elements: PagedElements;
  readonly rows: number;
  readonly shape: readonly number[];
  readonly where: string;
}

/** A column while it is filled. */
export interface OpenColumn extends ElementTarget {
  readonly column: NumberColumn;
  /** Gives its memory back, if it is not shared. */
  release(): void;
}

/**
 * A column to be filled: in memory, of its own where rows will be copied (`apart`), else shared; or in the file of `spill`, with `share` of its
 * memory for a page.
 *
 * @throws E_MEMORY where it does not fit into memory.
 */
export function openColumn(form: ColumnForm, { spill, share = 1, apart = false }: ColumnPlace = {}): OpenColumn {
  const { elements, rows, shape } = form;
  if (spill) {
    const column = new PagedColumn(spill.file, elements, rows, shape, spill.memory * share);
    return { column, take: (values, at) => column.write(sameElements(values, elements), at), release: () => undefined };
  }
  const data = allocate(form, apart);
  return {
    column: { kind: 'tensor', shape, data },
    take: (values, at) => data.set(values, at),
    release: () => giveBack(data),
  };
}

/** Where a column lies. */
export interface ColumnPlace {
  readonly spill?: Spill | undefined;
  readonly share?: number;
  readonly apart?: boolean | undefined;
}

/** Arrays of double precision are still to be normalised or rounded; all others may be used where they are, by all threads. */
function allocate({ elements, rows, shape, where }: ColumnForm, apart: boolean): RawArray {
  const length = shape.reduce((a, b) => a * b, rows);
  try {
    if (apart || elements === 'f64') return makeArray(elements, length);
    return elements === 'u8' ? sharedArray('u8', length) : sharedArray(elements, length);
  } catch (cause) {
    throw new LockstepError('E_MEMORY', {
      where,
      expected: 'rows that fit into memory',
      got: `${rows} rows of [${shape.join(', ')}] (${elements})`,
      fix: "read them in chunks: option memory: '1GB'",
      cause,
    });
  }
}

function sameElements(values: RawArray, elements: PagedElements): RawArray {
  const wanted = makeArray(elements, 0).constructor;
  if (values.constructor === wanted) return values;
  const converted = makeArray(elements, values.length);
  converted.set(values);
  return converted;
}

/** Element `element` of row `ids[row]` (`row`, if absent). */
export function valuesOf(column: NumberColumn, ids: Int32Array | undefined): (row: number, element: number) => number {
  if (column.kind === 'paged') return (row, element) => column.at(ids ? ids[row] : row, element);
  const { data } = column;
  const width = column.shape.reduce((a, b) => a * b, 1);
  return (row, element) => data[(ids ? ids[row] : row) * width + element];
}

export function elementType(column: NumberColumn): PagedElements {
  if (column.kind === 'paged') return column.elements;
  const { data } = column;
  if (data instanceof Uint8Array) return 'u8';
  if (data instanceof Int32Array) return 'i32';
  return data instanceof Float32Array ? 'f32' : 'f64';
}

/** How often each byte comes in `count` rows of a column of bytes: rows `ids`, if given. */
export function histogramOf(column: NumberColumn, count: number, ids: Int32Array | undefined): ByteHistogram {
  const histogram = new ByteHistogram();
  const width = column.shape.reduce((a, b) => a * b, 1);
  for (let i = 0; i < count; i++) {
    const row = ids ? ids[i] : i;
    const [data, begin] = column.kind === 'paged' ? [column.row(row), 0] : [column.data, row * width];
    if (!(data instanceof Uint8Array)) throw new TypeError('a histogram of what is no byte');
    histogram.add(data, begin, begin + width);
  }
  return histogram;
}
