import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import type { FieldInfo, FittedTransform } from './contract.ts';
import { describeValue, didYouMean } from './describe.ts';
import type { Place } from './raw.ts';
import { encodeText } from './tokens.ts';

/**
 * The fitted transforms: plain data (numbers, texts) that turn raw columns into fields. They are fitted on the training rows,
 * travel with the model, and the same `encodePart` encodes a table and one raw row, so both give the same bytes.
 *
 * A part fills a whole field, or, with `at`, the elements from `at` on of a vector field that several columns share.
 * Arithmetic is f64 and rounded to f32 once; only `bytes` computes in f32, as the gather kernel does.
 */
const column = { field: z.string(), column: z.string(), at: z.number().int().nonnegative().optional() };
const shape = z.array(z.number().int().nonnegative()).readonly();
const numbers = z.array(z.number()).min(1).readonly();

const PART = {
  /** The numbers as they are. i32: within [0, size). */
  tensor: z.object({
    kind: z.literal('tensor'),
    ...column,
    dtype: z.enum(['f32', 'i32']),
    shape,
    size: z.number().int().optional(),
    allowNonFinite: z.boolean().optional(),
    /** A raw value may be { index: value } for what is not zero; the index of element 0. */
    sparseFrom: z.number().int().optional(),
  }),
  /** byte * scale + shift. */
  bytes: z.object({ kind: z.literal('bytes'), ...column, shape, scale: z.number(), shift: z.number() }),
  /** (x - mean) / std, one pair for all elements of a row or one for each. */
  standardize: z.object({ kind: z.literal('standardize'), ...column, shape, mean: numbers, std: numbers }),
  /** (x - min) / (max - min): the training range becomes [0, 1]. */
  minmax: z.object({ kind: z.literal('minmax'), ...column, shape, min: numbers, max: numbers }),
  /** true and yes are 1, false and no are 0. */
  boolean: z.object({ kind: z.literal('boolean'), ...column }),
  /** 1 at the value's place in `values`, else 0; a value that is not there is an error or all zeros. */
  oneHot: z.object({
    kind: z.literal('oneHot'),
    ...column,
    values: z.array(z.string()).readonly(),
    unknown: z.enum(['error', 'zeros']),
  }),
  /** The value's place in `values`, i32. */
  labels: z.object({
    kind: z.literal('labels'),
    ...column,
    type: z.enum(['number', 'category', 'boolean']),
    values: z.array(z.union([z.string(), z.number(), z.boolean()])).readonly(),
  }),
};

/** A text as ids of its tokens, i32 [length]. */
const TEXT = z.object({
  kind: z.literal('text'),
  ...column,
  tokens: z.enum(['characters', 'bytes', 'words']),
  vocabulary: z.array(z.string()).min(1).readonly(),
  unknown: z.number().int().nonnegative().optional(),
  length: z.number().int().positive(),
});

const TRANSFORM = z.discriminatedUnion('kind', [
  PART.tensor,
  PART.bytes,
  PART.standardize,
  PART.minmax,
  PART.boolean,
  PART.oneHot,
  PART.labels,
  TEXT,
  /** Texts that mean "no value". */
  z.object({ kind: z.literal('missing'), values: z.array(z.string()).readonly() }),
  /** What stands in for no value in a column. */
  z.object({ kind: z.literal('impute'), column: z.string(), value: z.union([z.string(), z.number(), z.boolean()]) }),
  /** A column of images: how an encoded one (PNG, JPEG) in a raw row becomes pixels. */
  z.object({
    kind: z.literal('image'),
    column: z.string(),
    size: z.tuple([z.number(), z.number()]).readonly(),
    channels: z.union([z.literal(1), z.literal(3)]),
    fit: z.enum(['cover', 'contain', 'fill']),
  }),
  /** Columns of the data that make no field: rows may have them. */
  z.object({ kind: z.literal('ignored'), columns: z.array(z.string()).readonly() }),
]);

export type Transform = z.output<typeof TRANSFORM>;
/** A transform that writes elements of a field. */
export type Part = Exclude<Transform, { kind: 'missing' | 'impute' | 'image' | 'ignored' }>;
/** How encoded images become pixels. */
export type ImageTransform = Extract<Transform, { kind: 'image' }>;
type NumericPart = Extract<Part, { shape: unknown }>;

/** One raw row by column name: numbers, texts, booleans; arrays (flat or nested) for tensors. */
export type RawRow = Readonly<Record<string, unknown>>;
/** One encoded row by field name. */
export type EncodedRow = Record<string, Float32Array | Int32Array>;

/** The transforms of a loaded data set, checked and grouped by field. */
export class Encoder {
  readonly fields: readonly FieldInfo[];
  /** Columns that make no field. */
  readonly ignored: readonly string[];
  /** Columns whose raw values may be encoded images. */
  readonly images: readonly ImageTransform[];
  readonly #parts = new Map<string, Part[]>();
  readonly #missing = new Set<string>();
  readonly #impute = new Map<string, string | number | boolean>();

  /** Throws E_DATA_FORMAT if `transforms` (read from a checkpoint, say) are none. */
  constructor(transforms: readonly FittedTransform[]) {
    const ignored: string[] = [];
    const images: ImageTransform[] = [];
    for (const transform of parseTransforms(transforms)) {
      if (transform.kind === 'missing') for (const text of transform.values) this.#missing.add(text);
      else if (transform.kind === 'impute') this.#impute.set(transform.column, transform.value);
      else if (transform.kind === 'ignored') ignored.push(...transform.columns);
      else if (transform.kind === 'image') images.push(transform);
      else this.#parts.set(transform.field, [...(this.#parts.get(transform.field) ?? []), transform]);
    }
    this.ignored = ignored;
    this.images = images;
    this.fields = [...this.#parts].map(([name, parts]) => fieldInfo(name, parts));
  }

  parts(field: string): readonly Part[] {
    return this.#parts.get(field) ?? [];
  }

  /** The value to encode: what the column has, or what stands in for a missing one; undefined if there is nothing. */
  valueOf(name: string, raw: unknown): unknown {
    const none =
      raw === undefined ||
      raw === null ||
      (typeof raw === 'string' && this.#missing.has(raw)) ||
      (typeof raw === 'number' && Number.isNaN(raw) && this.#missing.size > 0);
    return none ? this.#impute.get(name) : raw;
  }
}

const encoders = new WeakMap<readonly FittedTransform[], Encoder>();

/**
 * One raw row -> the fields of the model, the same numbers as in the table. `fields` limits it to some (a row to predict has no
 * target). Throws E_DATA_VALUE, E_LABEL or E_SHAPE, naming the column.
 */
export function applyTransforms(
  transforms: readonly FittedTransform[],
  row: RawRow,
  fields?: readonly string[],
): EncodedRow {
  const encoder = encoders.get(transforms) ?? new Encoder(transforms);
  encoders.set(transforms, encoder);
  const place: Place = (_, name) => `raw row, column "${name}"`;
  const encoded: EncodedRow = {};
  for (const field of encoder.fields) {
    if (fields && !fields.includes(field.name)) continue;
    const width = field.shape.reduce((a, b) => a * b, 1);
    const out = field.dtype === 'i32' ? new Int32Array(width) : new Float32Array(width);
    for (const part of encoder.parts(field.name)) {
      // An absent column is a mistake, `null` is a missing value: else a misspelt name would quietly become the mean.
      if (!Object.hasOwn(row, part.column)) throw lacks(part.column, row);
      const value = encoder.valueOf(part.column, row[part.column]);
      encodePart(part, value, out, part.at ?? 0, 0, place);
    }
    encoded[field.name] = out;
  }
  return encoded;
}

function lacks(name: string, row: RawRow): LockstepError {
  return new LockstepError('E_DATA_MISSING', {
    where: `raw row, column "${name}"`,
    expected: 'a value',
    got: `a row with ${Object.keys(row).slice(0, 20).join(', ') || 'no columns'}`,
    fix: didYouMean(
      name,
      Object.keys(row),
      'give every column that the model was trained on; null where there is no value',
    ),
  });
}

/** Writes the elements of one part of row `row` to `out` from `offset` on. `place` says where the row stands, for errors. */
export function encodePart(
  part: Part,
  value: unknown,
  out: Float32Array | Int32Array,
  offset: number,
  row: number,
  place: Place,
): void {
  switch (part.kind) {
    case 'boolean':
      out[offset] = Number(booleanOf(part, value, row, place));
      return;
    case 'oneHot':
      encodeOneHot(part, value, out, offset, row, place);
      return;
    case 'labels':
      out[offset] = labelOf(part, value, row, place);
      return;
    case 'text':
      encodeText(part, value, out, offset, row, place);
      return;
    default:
      encodeNumbers(part, value, out, offset, row, place);
  }
}

function encodeNumbers(
  part: NumericPart,
  value: unknown,
  out: Float32Array | Int32Array,
  offset: number,
  row: number,
  place: Place,
): void {
  if (part.shape.length === 0) {
    out[offset] = numeric(part, numberOf(part, value, row, place), 0, row, place);
    return;
  }
  const sparse = part.kind === 'tensor' && part.sparseFrom !== undefined ? part.sparseFrom : undefined;
  const elements =
    sparse !== undefined && isRecord(value)
      ? denseElements(part, value, sparse, row, place)
      : elementsOf(part, value, row, place);
  for (let i = 0; i < elements.length; i++) {
    out[offset + i] = numeric(part, numberOf(part, elements[i], row, place, i), i, row, place);
  }
}

/** The rule of a numeric part for element `i` of a row. */
function numeric(part: NumericPart, x: number, i: number, row: number, place: Place): number {
  let y = x;
  switch (part.kind) {
    case 'tensor':
      if (part.dtype === 'i32') return checkIndex(part, x, row, place);
      break;
    case 'bytes':
      y = byteValue(x, part.scale, part.shift);
      break;
    case 'standardize':
      y = (x - part.mean[i % part.mean.length]) / part.std[i % part.std.length];
      break;
    case 'minmax': {
      const low = part.min[i % part.min.length];
      y = (x - low) / (part.max[i % part.max.length] - low);
      break;
    }
    default:
      part satisfies never;
  }
  const rounded = Math.fround(y);
  if (!Number.isFinite(rounded) && !(part.kind === 'tensor' && part.allowNonFinite)) {
    const at = part.shape.length === 0 ? place : elementOf(place, i);
    throw notUsable(at, row, part, 'a finite number that fits f32', x);
  }
  return rounded;
}

/** As the gather kernel computes it: one f32 product, one f32 sum. */
export function byteValue(byte: number, scale: number, shift: number): number {
  return Math.fround(Math.fround(Math.fround(byte) * scale) + shift);
}

/** An i32 value must be an index: E_LABEL if it lies outside [0, size), E_DATA_VALUE if it is no integer. */
export function checkIndex(
  part: { readonly column: string; readonly size?: number | undefined },
  x: number,
  row: number,
  place: Place,
): number {
  if (Number.isInteger(x) && x >= 0 && x < (part.size ?? 2 ** 31)) return x;
  if (!Number.isInteger(x)) throw notUsable(place, row, part, 'an integer', x);
  throw new LockstepError('E_LABEL', {
    where: place(row, part.column),
    expected: part.size === undefined ? 'a label of at least 0' : `a label in [0, ${part.size})`,
    got: String(x),
    fix:
      x < 0
        ? 'labels count from 0; leave rows without a label out'
        : 'labels that the training rows do not have cannot be learnt: correct the row, or declare `size` if it is right',
  });
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** The number that a text is, or NaN. Decimal notation only: no hex, no thousands separators, no "Infinity". */
export function parseNumber(text: string): number {
  const trimmed = text.trim();
  return NUMBER.test(trimmed) ? Number(trimmed) : Number.NaN;
}

/** The truth value that a text is, or undefined. */
export function parseBoolean(text: string): boolean | undefined {
  const lower = text.trim().toLowerCase();
  if (lower === 'true' || lower === 'yes') return true;
  return lower === 'false' || lower === 'no' ? false : undefined;
}

function numberOf(part: Part, value: unknown, row: number, place: Place, element?: number): number {
  const x = typeof value === 'string' ? parseNumber(value) : value;
  if (typeof x === 'number' && Number.isFinite(x)) return x;
  if (typeof x === 'number' && typeof value === 'number' && part.kind === 'tensor' && part.allowNonFinite) return x;
  throw notUsable(element === undefined ? place : elementOf(place, element), row, part, 'a finite number', value);
}

/** Where element `i` of a row's array stands. */
export function elementOf(place: Place, i: number): Place {
  const at: Place = (row, column) => `${place(row, column)}, element ${i}`;
  return Object.assign(at, place.advice && { advice: place.advice });
}

function booleanOf(part: Part, value: unknown, row: number, place: Place): boolean {
  const truth = typeof value === 'string' ? parseBoolean(value) : value;
  if (typeof truth === 'boolean') return truth;
  throw notUsable(place, row, part, 'true or false', value);
}

function textOf(part: Part, value: unknown, row: number, place: Place): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw notUsable(place, row, part, 'a text', value);
}

const places = new WeakMap<readonly unknown[], Map<unknown, number>>();

/** Index of a value in a list, through a table made once a list. */
function indexIn(values: readonly unknown[], value: unknown): number {
  let table = places.get(values);
  if (!table) {
    table = new Map(values.map((v, i) => [v, i]));
    places.set(values, table);
  }
  return table.get(value) ?? -1;
}

function encodeOneHot(
  part: Extract<Part, { kind: 'oneHot' }>,
  value: unknown,
  out: Float32Array | Int32Array,
  offset: number,
  row: number,
  place: Place,
): void {
  const text = textOf(part, value, row, place);
  const index = indexIn(part.values, text);
  if (index < 0 && part.unknown === 'error') {
    throw new LockstepError('E_DATA_VALUE', {
      where: place(row, part.column),
      expected: `one of the ${part.values.length} values of the training rows`,
      got: describeValue(text),
      fix: `${didYouMean(text, part.values, 'correct the value')} unknown: 'zeros' encodes values not seen in training as zeros`,
    });
  }
  for (let i = 0; i < part.values.length; i++) out[offset + i] = i === index ? 1 : 0;
}

function labelOf(part: Extract<Part, { kind: 'labels' }>, value: unknown, row: number, place: Place): number {
  const key =
    part.type === 'number'
      ? numberOf(part, value, row, place)
      : part.type === 'boolean'
        ? booleanOf(part, value, row, place)
        : textOf(part, value, row, place);
  const label = indexIn(part.values, key);
  if (label >= 0) return label;
  throw new LockstepError('E_LABEL', {
    where: place(row, part.column),
    expected: `one of the ${part.values.length} classes of the training rows (${part.values.slice(0, 10).join(', ')}${part.values.length > 10 ? ', ...' : ''})`,
    got: describeValue(key),
    fix: didYouMean(String(key), part.values.map(String), 'correct the label, or add training rows of this class'),
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** All elements of a row of which `value` has those that are not zero, by index from `base` on. */
function denseElements(
  { shape: [width], column: name }: NumericPart,
  value: Readonly<Record<string, unknown>>,
  base: number,
  row: number,
  place: Place,
): unknown[] {
  const elements = new Array<unknown>(width).fill(0);
  for (const [key, element] of Object.entries(value)) {
    const index = Number(key) - base;
    if (!(Number.isInteger(index) && index >= 0 && index < width)) {
      throw new LockstepError('E_DATA_VALUE', {
        where: place(row, name),
        expected: `indices from ${base} to ${width - 1 + base}`,
        got: describeValue(key),
        fix: 'leave out features that the training rows do not have',
      });
    }
    elements[index] = element;
  }
  return elements;
}

/** The elements of a tensor value: flat, typed or nested arrays of exactly the part's shape. */
export function elementsOf(
  part: { readonly shape: readonly number[]; readonly column: string },
  value: unknown,
  row: number,
  place: Place,
): ArrayLike<unknown> {
  const width = part.shape.reduce((a, b) => a * b, 1);
  const fail = (got: string): LockstepError =>
    new LockstepError('E_SHAPE', {
      where: place(row, part.column),
      expected: `${width} numbers of shape [${part.shape.join(', ')}]`,
      got,
      fix: 'give every row this shape',
    });
  if (isTypedArray(value)) {
    if (value.length !== width) throw fail(`${value.length} numbers`);
    return value;
  }
  if (!Array.isArray(value)) throw fail(describeValue(value));
  if (value.length === width && !Array.isArray(value[0])) return value;
  const flat: unknown[] = [];
  const walk = (v: unknown, depth: number): void => {
    if (depth === part.shape.length) flat.push(v);
    else if (!Array.isArray(v)) throw fail(`${describeValue(v)} at depth ${depth}`);
    else if (v.length !== part.shape[depth])
      throw fail(`${v.length} instead of ${part.shape[depth]} entries at depth ${depth}`);
    else for (const inner of v) walk(inner, depth + 1);
  };
  walk(value, 0);
  return flat;
}

function isTypedArray(value: unknown): value is ArrayLike<number> {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

const ADVICE = { missing: 'fill it in, or leave the row out', wrong: 'correct the value, or leave the row out' };

function notUsable(
  place: Place,
  row: number,
  { column }: { readonly column: string },
  expected: string,
  value: unknown,
): LockstepError {
  const empty = value === undefined || value === '';
  return new LockstepError('E_DATA_VALUE', {
    where: place(row, column),
    expected,
    got: empty ? 'no value' : describeValue(value),
    fix: (place.advice ?? ADVICE)[empty ? 'missing' : 'wrong'],
  });
}

/** How many elements of its field a part writes. */
export function partWidth(part: Part): number {
  switch (part.kind) {
    case 'boolean':
    case 'labels':
      return 1;
    case 'oneHot':
      return part.values.length;
    case 'text':
      return part.length;
    default:
      return part.shape.reduce((a, b) => a * b, 1);
  }
}

function fieldInfo(name: string, parts: readonly Part[]): FieldInfo {
  const [first] = parts;
  if (first.at !== undefined) {
    return { name, dtype: 'f32', shape: [parts.reduce((sum, part) => sum + partWidth(part), 0)] };
  }
  if (first.kind === 'labels') {
    return { name, dtype: 'i32', shape: [], size: first.values.length, classNames: first.values.map(String) };
  }
  if (first.kind === 'text') {
    const { vocabulary, length } = first;
    return { name, dtype: 'i32', shape: [length], size: vocabulary.length, classNames: vocabulary };
  }
  const dtype = first.kind === 'tensor' ? first.dtype : 'f32';
  const rowShape = 'shape' in first ? first.shape : [];
  const size = first.kind === 'tensor' ? first.size : undefined;
  return size === undefined ? { name, dtype, shape: rowShape } : { name, dtype, shape: rowShape, size };
}

/** Transforms that were plain data (from a manifest, from another process) with their types; E_DATA_FORMAT if they are none. */
export function parseTransforms(transforms: readonly FittedTransform[]): Transform[] {
  return transforms.map((transform, i) => {
    const parsed = TRANSFORM.safeParse(transform);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new LockstepError('E_DATA_FORMAT', {
      where: `transform ${i} (${describeValue(transform?.kind)})${issue.path.length > 0 ? `: ${issue.path.join('.')}` : ''}`,
      expected: issue.message,
      got: 'something else',
      fix: 'the fitted transforms were damaged or written by another version: load the data again',
    });
  });
}
