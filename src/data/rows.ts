import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions, unknownOption } from '../optim/options.ts';
import { ChunkedNumbers } from './chunks.ts';
import type { LoadOptions, Source } from './contract.ts';
import { describeValue } from './describe.ts';
import { abortedError } from './files.ts';
import { fitIndex, fitNumbers } from './fit.ts';
import { valuesOf } from './number-column.ts';
import { type RawColumn, type RawTable, sharedArray } from './raw.ts';
import { type SourceReader, tensorColumn } from './reader.ts';
import { type FieldSpec, type ParsedSpec, parseSpec, type SpecFields } from './spec.ts';
import { elementsOf, type Transform } from './transforms.ts';

/** One field of a record: a number, or numbers of the field's shape, flat or nested. */
export type RowValue = number | ArrayLike<number> | readonly RowValue[];

type RowOf<S> = { readonly [K in keyof S]: RowValue };
type Generate<R> = (context: { readonly signal: AbortSignal }) => AsyncIterable<R> | Iterable<R>;

export interface RowsOptions<K extends string = string> {
  /** f32 fields to normalise, each element for itself, fitted on the training rows. Default: none. */
  readonly normalize?: { readonly [N in K]?: 'standard' | 'minmax' | false };
}

const OPTIONS = z.strictObject({
  normalize: z.record(z.string(), z.enum(['standard', 'minmax']).or(z.literal(false))).default({}),
});

interface RowsSource {
  readonly spec: Readonly<Record<string, ParsedSpec>>;
  readonly normalize: Readonly<Record<string, 'standard' | 'minmax' | false>>;
  readonly generate: Generate<unknown>;
}

/**
 * Rows that a generator yields: a database cursor, a parser, a simulation. It runs once a node, on the loading side (not in the
 * workers), from its first row to its last; every record is checked against `spec` and kept as typed numbers. `signal` aborts
 * when the run is stopped: pass it on to whatever the generator waits for.
 *
 * ```ts
 * rows({ x: { dtype: 'f32', shape: [4] }, y: { dtype: 'i32' } }, async function* ({ signal }) {
 *   for await (const { a, b, c, d, label } of cursor(signal)) yield { x: [a, b, c, d], y: label };
 * })
 * ```
 *
 * @throws LockstepError E_OPTION; when loaded E_DATA_VALUE, E_SHAPE, E_DATA_MISSING or E_LABEL with the number of the row (from 0),
 * E_DATA_SOURCE if the generator throws, E_ABORTED, E_DATA_EMPTY.
 */
export function rows<const S extends Readonly<Record<string, FieldSpec>>>(
  spec: S,
  generate: Generate<RowOf<S>>,
  options: RowsOptions<Extract<keyof S, string>> = {},
): Source<SpecFields<S>> & { readonly kind: 'rows' } {
  const parsed = parseSpec(spec, 'rows');
  const { normalize } = parseOptions(OPTIONS, options, 'rows');
  for (const [name, mode] of Object.entries(normalize)) {
    if (!Object.hasOwn(parsed, name)) throw unknownOption(name, Object.keys(parsed), 'rows: option normalize');
    if (mode !== false && parsed[name].dtype === 'i32') {
      throw new LockstepError('E_OPTION', {
        where: `rows: option normalize.${name}`,
        expected: 'an f32 field',
        got: 'an i32 field',
        fix: 'leave it out for labels and indices',
      });
    }
  }
  if (typeof generate !== 'function') throw generatorError('rows', 'a generator function', describeValue(generate));
  return { kind: 'rows', spec: parsed, normalize, generate };
}

export const rowsReader: SourceReader = {
  read: (source, options) => readRows(checkSource(source), options),
  fit: (source, raw, ids) => fitRows(checkSource(source), raw, ids),
};

/** The one place where a description becomes typed again. */
function checkSource(source: Source): RowsSource {
  const { normalize } = parseOptions(OPTIONS, { normalize: source.normalize }, 'rows');
  const { generate } = source;
  if (typeof generate !== 'function') throw generatorError('rows', 'a generator function', describeValue(generate));
  return { spec: parseSpec(source.spec, 'rows'), normalize, generate: (context) => generate(context) };
}

const place = (row: number, column: string): string => `rows: row ${row}, field "${column}"`;

/** One field while its rows arrive. */
interface Growing {
  readonly name: string;
  readonly spec: ParsedSpec;
  /** Kept as f64 until it is normalised. */
  readonly double: boolean;
  readonly values: ChunkedNumbers<Int32Array | Float32Array | Float64Array>;
}

async function readRows(source: RowsSource, { signal }: LoadOptions): Promise<RawTable> {
  const fields = Object.entries(source.spec).map(([name, spec]): Growing => {
    const double = Boolean(source.normalize[name]);
    const Numbers = double ? Float64Array : spec.dtype === 'i32' ? Int32Array : Float32Array;
    return {
      name,
      spec,
      double,
      values: new ChunkedNumbers<Int32Array | Float32Array | Float64Array>((n) => new Numbers(n)),
    };
  });
  let size = 0;
  for await (const record of untilAborted(source.generate, signal, () => size)) {
    addRecord(fields, record, size);
    size += 1;
  }
  if (size === 0) {
    throw new LockstepError('E_DATA_EMPTY', {
      where: 'rows',
      expected: 'at least one row',
      got: 'a generator that yields none',
      fix: 'check the query',
    });
  }
  return { size, columns: new Map(fields.map((field) => [field.name, toColumn(field)])), place };
}

function toColumn({ spec, values, double }: Growing): RawColumn {
  const { length } = values;
  const out = double ? new Float64Array(length) : sharedArray(spec.dtype, length);
  return { kind: 'tensor', shape: spec.shape, data: values.drainInto(out) };
}

function addRecord(fields: readonly Growing[], record: unknown, row: number): void {
  if (typeof record !== 'object' || record === null) {
    throw generatorError(
      `rows: row ${row}`,
      `a record with ${fields.map((f) => f.name).join(', ')}`,
      describeValue(record),
    );
  }
  for (const { name, spec, values } of fields) {
    const value: unknown = Reflect.get(record, name);
    if (value === undefined) throw missingField(name, record, row);
    if (spec.shape.length === 0) {
      values.push(check(spec, value, name, row));
      continue;
    }
    const elements = elementsOf({ shape: spec.shape, column: name }, value, row, place);
    for (let i = 0; i < elements.length; i++) values.push(check(spec, elements[i], name, row));
  }
}

function check(spec: ParsedSpec, value: unknown, name: string, row: number): number {
  const integer = spec.dtype === 'i32';
  const fits = typeof value === 'number' && (integer ? (value | 0) === value : Number.isFinite(Math.fround(value)));
  if (!fits) {
    throw generatorError(
      place(row, name),
      integer ? 'an i32 integer' : 'a finite number that fits f32',
      describeValue(value),
    );
  }
  if (!integer || (value >= 0 && value < (spec.size ?? 2 ** 31))) return value;
  throw new LockstepError('E_LABEL', {
    where: place(row, name),
    expected: spec.size === undefined ? 'at least 0' : `a value in [0, ${spec.size})`,
    got: String(value),
    fix: 'i32 fields are labels or indices: correct the row, or the size in the spec',
  });
}

function missingField(name: string, record: object, row: number): LockstepError {
  return new LockstepError('E_DATA_MISSING', {
    where: place(row, name),
    expected: 'a value',
    got: `a record with ${Object.keys(record).join(', ') || 'no fields'}`,
    fix: 'yield every field of the spec',
  });
}

function generatorError(where: string, expected: string, got: string): LockstepError {
  return new LockstepError('E_DATA_VALUE', { where, expected, got, fix: 'correct what the generator yields' });
}

/** The records of the generator; ends with E_ABORTED as soon as the signal fires, even while the generator waits. */
async function* untilAborted(
  generate: Generate<unknown>,
  outer: AbortSignal | undefined,
  rowNumber: () => number,
): AsyncGenerator<unknown> {
  const signal = outer ?? new AbortController().signal;
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortedError(`rows: row ${rowNumber()}`, signal.reason));
  });
  aborted.catch(() => {}); // only `next` below reports it
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  let iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined;
  let finished = false;
  try {
    const made = iterate(generate({ signal }));
    iterator = made;
    while (true) {
      signal.throwIfAborted();
      const next = await Promise.race([Promise.resolve(made.next()), aborted]);
      if (next.done) {
        finished = true;
        return;
      }
      yield next.value;
    }
  } catch (error) {
    if (signal.aborted) throw abortedError(`rows: row ${rowNumber()}`, signal.reason);
    if (error instanceof LockstepError) throw error;
    throw new LockstepError('E_DATA_SOURCE', {
      where: `rows: row ${rowNumber()}`,
      expected: 'the generator to yield a record',
      got: error instanceof Error ? `${error.name}: ${error.message}` : describeValue(error),
      fix: 'see the cause; the generator is your code',
      cause: error,
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Not awaited: a generator that hangs must not hang the run. Its own failure while closing changes nothing.
    if (!finished) (async () => iterator?.return?.())().catch(() => {});
  }
}

function iterate(iterable: unknown): AsyncIterator<unknown> | Iterator<unknown> {
  if (isIterable(iterable, Symbol.asyncIterator)) return iterable[Symbol.asyncIterator]();
  if (isIterable(iterable, Symbol.iterator)) return iterable[Symbol.iterator]();
  throw generatorError('rows', 'a generator function (async function* or function*)', describeValue(iterable));
}

function isIterable<K extends typeof Symbol.asyncIterator | typeof Symbol.iterator>(
  value: unknown,
  key: K,
): value is Record<K, () => AsyncIterator<unknown> | Iterator<unknown>> {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, key) === 'function';
}

function fitRows(source: RowsSource, raw: RawTable, ids: Int32Array | undefined): Transform[] {
  return Object.entries(source.spec).map(([name, spec]): Transform => {
    const column = tensorColumn(raw, name);
    const count = ids?.length ?? raw.size;
    if (spec.dtype === 'i32') return fitIndex(name, column, count, ids, spec.size);
    const { shape } = column;
    const width = shape.reduce((a, b) => a * b, 1);
    const base = { field: name, column: name, shape };
    return fitNumbers(source.normalize[name] ?? false, base, count, width, valuesOf(column, ids));
  });
}
