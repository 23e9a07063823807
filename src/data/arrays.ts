import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions, unknownOption } from '../optim/options.ts';
import type { FieldType, Source } from './contract.ts';
import { describeValue } from './describe.ts';
import { fitIndex, fitNumbers } from './fit.ts';
import { valuesOf } from './number-column.ts';
import { type Cell, type RawArray, type RawColumn, type RawTable, sharedArray, type TensorColumn } from './raw.ts';
import { type SourceReader, tensorColumn } from './reader.ts';
import type { Transform } from './transforms.ts';

type Typed = Float32Array | Float64Array | Int32Array | Uint8Array;
/** One row after the other: numbers, typed arrays, or lists of lists. */
export type Nested = readonly number[] | readonly Typed[] | readonly Nested[];

/** The rows of one field: nested lists, one typed array (a scalar a row), texts (labels), or flat data with a shape (rows first). */
export type ArrayField =
  | Nested
  | readonly string[]
  | Typed
  | {
      readonly data: Typed | readonly number[];
      /** Rows first: [1000, 28, 28]. */
      readonly shape: readonly number[];
      /** i32: indices are in [0, size). Default: the largest training value + 1. */
      readonly size?: number;
    };

type TypeOf<V> = V extends Int32Array | readonly string[] | { readonly data: Int32Array } ? 'i32' : 'f32';

export interface ArraysOptions<K extends string = string> {
  /** Element types that differ from the data's own: `{ y: 'i32' }` makes labels of a list of integers. */
  readonly dtypes?: { readonly [N in K]?: FieldType };
  /** f32 fields to normalise, each element for itself, fitted on the training rows. Default: none. */
  readonly normalize?: { readonly [N in K]?: 'standard' | 'minmax' | false };
  /** Lets NaN and infinite values pass. Default false. */
  readonly allowNonFinite?: boolean;
}

type FieldsOf<D, T> = {
  [K in keyof D]: K extends keyof T ? (T[K] extends FieldType ? T[K] : TypeOf<D[K]>) : TypeOf<D[K]>;
};

const OPTIONS = z.strictObject({
  dtypes: z.record(z.string(), z.enum(['f32', 'i32'])).default({}),
  normalize: z.record(z.string(), z.enum(['standard', 'minmax']).or(z.literal(false))).default({}),
  allowNonFinite: z.boolean().default(false),
});

type ArraysSource = z.output<typeof OPTIONS> & { readonly data: Readonly<Record<string, unknown>> };

/**
 * Data that is in memory already, a list of rows per field: `arrays({ x: [[0, 1], [1, 1]], y: Int32Array.of(0, 1) })`.
 *
 * Element types: Int32Array is i32; texts become i32 labels with class names (sorted, from the training rows); everything else,
 * a list of integers too, is f32 unless `dtypes` says i32. Bytes (Uint8Array) stay bytes in memory. Nothing is copied
 * before the training starts.
 *
 * @throws LockstepError E_OPTION; when loaded E_SHAPE (ragged rows, counts that differ), E_DATA_VALUE (not finite), E_LABEL (negative).
 */
export function arrays<
  const D extends Readonly<Record<string, ArrayField>>,
  const T extends { readonly [K in keyof D]?: FieldType } = Record<never, never>,
>(
  data: D,
  options: Omit<ArraysOptions<Extract<keyof D, string>>, 'dtypes'> & { readonly dtypes?: T } = {},
): Source<FieldsOf<D, T>> & { readonly kind: 'arrays' } {
  const parsed = parseOptions(OPTIONS, options, 'arrays');
  const names = Object.keys(data);
  for (const [option, fields] of [
    ['dtypes', parsed.dtypes],
    ['normalize', parsed.normalize],
  ] as const) {
    for (const name of Object.keys(fields)) {
      if (!names.includes(name)) throw unknownOption(name, names, `arrays: option ${option}`);
    }
  }
  return { kind: 'arrays', data, ...parsed };
}

export const arraysReader: SourceReader = {
  read: async (source) => readArrays(checkSource(source)),
  fit: (source, raw, ids) => fitArrays(checkSource(source), raw, ids),
};

/** The one place where a description becomes typed again. */
function checkSource(source: Source): ArraysSource {
  const { kind: _, data, ...options } = source;
  if (typeof data === 'object' && data !== null && Object.keys(data).length > 0) {
    return { data: { ...data }, ...parseOptions(OPTIONS, options, 'arrays') };
  }
  throw new LockstepError('E_OPTION', {
    where: 'arrays',
    expected: 'at least one field: arrays({ x, y })',
    got: describeValue(data),
    fix: 'give the rows of each field by name',
  });
}

function readArrays(source: ArraysSource): RawTable {
  const columns = new Map<string, RawColumn>();
  let size: number | undefined;
  let firstName = '';
  for (const [name, value] of Object.entries(source.data)) {
    const { rows, column } = readField(name, value, source);
    if (size !== undefined && rows !== size) {
      throw shapeError(`arrays: field "${name}"`, `${size} rows, as field "${firstName}" has`, `${rows} rows`);
    }
    if (size === undefined) [size, firstName] = [rows, name];
    columns.set(name, column);
  }
  return { size: size ?? 0, columns, place: (row, column) => `arrays: field "${column}", row ${row}` };
}

function readField(name: string, value: unknown, source: ArraysSource): { rows: number; column: RawColumn } {
  const where = `arrays: field "${name}"`;
  if (isTyped(value)) return { rows: value.length, column: flat(name, value, [], source) };
  if (Array.isArray(value)) {
    if (typeof value[0] === 'string') {
      const cells: readonly unknown[] = value;
      const bad = cells.findIndex((cell) => typeof cell !== 'string');
      if (bad >= 0) throw valueError(`${where}, row ${bad}`, 'a text, as in row 0', cells[bad]);
      const at = (row: number): Cell => String(cells[row]);
      return { rows: value.length, column: { kind: 'cells', at } };
    }
    return readNested(name, value, source);
  }
  if (typeof value !== 'object' || value === null || !('data' in value) || !('shape' in value)) {
    throw valueError(where, 'a list, a typed array or { data, shape }', value);
  }
  const { data, shape } = value;
  const given: readonly unknown[] = Array.isArray(shape) ? shape : [];
  const dims = given.filter((d): d is number => typeof d === 'number' && Number.isInteger(d) && d >= 0);
  if (dims.length === 0 || dims.length !== given.length) {
    throw shapeError(where, 'a shape with the rows first, such as [1000, 28, 28]', JSON.stringify(shape) ?? 'nothing');
  }
  if (!isTyped(data) && !Array.isArray(data)) throw valueError(`${where}: data`, 'a typed array or a list', data);
  const count = dims.reduce((a, b) => a * b, 1);
  if (data.length !== count)
    throw shapeError(where, `${count} numbers for [${dims.join(', ')}]`, `${data.length} numbers`);
  const [rows, ...rowShape] = dims;
  const values = isTyped(data) ? data : numbersOf(data, (i) => `${where}, row ${Math.floor((i * rows) / count)}`);
  return { rows, column: flat(name, values, rowShape, source) };
}

/** Nested lists: the first row gives the shape, every other must have it. */
function readNested(
  name: string,
  value: readonly unknown[],
  source: ArraysSource,
): { rows: number; column: TensorColumn } {
  const shape: number[] = [];
  for (let first = value[0]; Array.isArray(first) || isTyped(first); first = first[0]) {
    shape.push(first.length);
    if (isTyped(first)) break;
  }
  const width = shape.reduce((a, b) => a * b, 1);
  const values = new Float64Array(value.length * width);
  let at = 0;
  const index: number[] = [];
  const where = (depth: number): string => `arrays: field "${name}", row ${index.slice(0, depth + 1).join(', ')}`;
  const walk = (v: unknown, depth: number): void => {
    if (depth === shape.length) {
      if (typeof v !== 'number') throw valueError(where(depth), 'a number', v);
      values[at++] = v;
      return;
    }
    const length = shape[depth];
    if (!Array.isArray(v) && !isTyped(v)) {
      throw shapeError(where(depth), `a list of ${length}, as in row 0`, describeValue(v));
    }
    if (v.length !== length) throw shapeError(where(depth), `${length} entries, as in row 0`, `${v.length}: ragged`);
    for (let i = 0; i < length; i++) {
      index[depth + 1] = i;
      walk(v[i], depth + 1);
    }
  };
  for (let row = 0; row < value.length; row++) {
    index[0] = row;
    walk(value[row], 0);
  }
  return { rows: value.length, column: flat(name, values, shape, source) };
}

/** A tensor column of the field's element type. Rows of doubles stay doubles until they are normalised. */
function flat(name: string, values: RawArray, shape: readonly number[], source: ArraysSource): TensorColumn {
  if (shape.includes(0)) {
    throw shapeError(`arrays: field "${name}"`, 'rows of at least one number', `rows of shape [${shape.join(', ')}]`);
  }
  const integer = source.dtypes[name] === 'i32' && !(values instanceof Int32Array);
  return { kind: 'tensor', shape, data: integer ? toIntegers(name, values, shape) : values };
}

function toIntegers(name: string, values: RawArray, shape: readonly number[]): Int32Array {
  const width = shape.reduce((a, b) => a * b, 1);
  const out = sharedArray('i32', values.length);
  for (let i = 0; i < values.length; i++) {
    out[i] = values[i];
    if (out[i] !== values[i]) {
      throw valueError(`arrays: field "${name}", row ${Math.floor(i / width)}`, 'an i32 integer', values[i]);
    }
  }
  return out;
}

function numbersOf(data: readonly unknown[], where: (index: number) => string): Float64Array {
  return Float64Array.from(data, (v, i) => {
    if (typeof v !== 'number') throw valueError(where(i), 'a number', v);
    return v;
  });
}

function fitArrays(source: ArraysSource, raw: RawTable, ids: Int32Array | undefined): Transform[] {
  return Object.entries(source.data).map(([name, value]): Transform => {
    if (raw.columns.get(name)?.kind === 'cells') {
      if (source.dtypes[name] === 'f32') throw notNumeric('dtypes', name);
      if (source.normalize[name]) throw notNumeric('normalize', name);
      return fitLabels(name, raw, ids);
    }
    const column = tensorColumn(raw, name);
    const dtype = source.dtypes[name] ?? (column.data instanceof Int32Array ? 'i32' : 'f32');
    if (dtype === 'f32') return fitField(source, name, column, ids);
    if (source.normalize[name]) throw notNumeric('normalize', name);
    return fitIndex(name, column, ids?.length ?? raw.size, ids, declaredSize(value));
  });
}

function notNumeric(option: string, name: string): LockstepError {
  return new LockstepError('E_OPTION', {
    where: `arrays: option ${option}.${name}`,
    expected: 'a field of f32 numbers',
    got: 'labels or indices (i32)',
    fix: 'leave the option out for this field',
  });
}

function fitField(source: ArraysSource, name: string, column: TensorColumn, ids: Int32Array | undefined): Transform {
  const { shape, data } = column;
  const base = { field: name, column: name, shape };
  const mode = source.normalize[name] ?? false;
  if (mode !== false) {
    const width = shape.reduce((a, b) => a * b, 1);
    return fitNumbers(mode, base, ids?.length ?? data.length / width, width, valuesOf(column, ids));
  }
  if (data instanceof Uint8Array) return { kind: 'bytes', ...base, scale: 1, shift: 0 };
  return { kind: 'tensor', ...base, dtype: 'f32', allowNonFinite: source.allowNonFinite };
}

function fitLabels(name: string, raw: RawTable, ids: Int32Array | undefined): Transform {
  const column = raw.columns.get(name);
  if (column?.kind !== 'cells') throw new TypeError(`no texts in column ${name}`);
  const values = new Set<string>();
  for (let i = 0; i < (ids?.length ?? raw.size); i++) values.add(String(column.at(ids ? ids[i] : i)));
  return { kind: 'labels', field: name, column: name, type: 'category', values: [...values].sort() };
}

function declaredSize(value: unknown): number | undefined {
  const size = typeof value === 'object' && value !== null ? Reflect.get(value, 'size') : undefined;
  return typeof size === 'number' && Number.isInteger(size) && size > 0 ? size : undefined;
}

function isTyped(value: unknown): value is Typed {
  return (
    value instanceof Float32Array ||
    value instanceof Float64Array ||
    value instanceof Int32Array ||
    value instanceof Uint8Array
  );
}

function shapeError(where: string, expected: string, got: string): LockstepError {
  return new LockstepError('E_SHAPE', {
    where,
    expected,
    got,
    fix: 'give every row the same shape, and every field all rows',
  });
}

function valueError(where: string, expected: string, got: unknown): LockstepError {
  return new LockstepError('E_DATA_VALUE', { where, expected, got: describeValue(got), fix: 'correct the value' });
}
