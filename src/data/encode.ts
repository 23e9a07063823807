import { LockstepError } from '../errors.ts';
import type { Column, FieldInfo } from './contract.ts';
import { didYouMean } from './describe.ts';
import {
  type PagedSparse, type RawColumn, type RawTable, type SparseTensor, sharedArray, type TensorColumn, type WindowColumn,
} from './raw.ts'; // biome-ignore format: a list
import { type ColumnArrays, OWN_ARRAYS } from './reused-arrays.ts';
import { joinTokens, known, type TextPart, tokenId } from './tokens.ts';
import { checkIndex, type Encoder, elementOf, encodePart, type Part, partWidth } from './transforms.ts';

/**
 * Rows `ids` of a raw table (all, if absent) as the columns of one split, in shared memory of their own unless `arrays` gives some.
 * `split` is the name for messages. Throws E_DATA_MISSING, E_DTYPE, E_SHAPE where the table does not fit the transforms.
 */
export function encodeSplit(
  raw: RawTable,
  ids: Int32Array | undefined,
  encoder: Encoder,
  split: string,
  arrays: ColumnArrays = OWN_ARRAYS,
): Column[] {
  return encoder.fields.flatMap((field) => {
    const parts = encoder.parts(field.name);
    const [first] = parts;
    if (isSparse(raw.columns.get(first.column))) return []; // sparse.ts, stream-sparse.ts
    if (first.at === undefined && (first.kind === 'bytes' || first.kind === 'tensor')) {
      const column = columnOf(raw, first.column, split);
      if (column.kind === 'tensor') return encodeWhole(raw, ids, first, field, column, split, arrays);
    }
    if (first.kind === 'text' && first.at === undefined) {
      const column = columnOf(raw, first.column, split);
      if (column.kind === 'windows') return encodeWindows(raw.size, first, field, column);
    }
    return encodeParts(raw, ids, encoder, field, parts, split, arrays);
  });
}

/** A column that is a field as it stands: moved row by row, checked once. */
function encodeWhole(
  raw: RawTable,
  ids: Int32Array | undefined,
  part: Extract<Part, { kind: 'bytes' | 'tensor' }>,
  field: FieldInfo,
  column: TensorColumn,
  split: string,
  arrays: ColumnArrays,
): Column {
  checkShape(part.shape, column, field.name, split);
  const width = partWidth(part);
  const rows = ids?.length ?? raw.size;
  if (part.kind === 'bytes') {
    if (!(column.data instanceof Uint8Array)) {
      throw mismatch('E_DTYPE', split, field.name, 'bytes, as in the training rows', column.data.constructor.name);
    }
    const target = inPlace(column, ids) ? column.data : arrays.bytes(field.name, rows * width);
    if (target !== column.data) copyRows(column.data, target, ids, rows, width);
    return { ...field, data: target, scale: part.scale, shift: part.shift };
  }
  const fits = field.dtype === 'i32' ? column.data instanceof Int32Array : column.data instanceof Float32Array;
  const data = fits && inPlace(column, ids) ? column.data : arrays.words(field.name, field.dtype, rows * width);
  if (data instanceof Uint8Array || data instanceof Float64Array) throw new TypeError('encode: bytes are no words');
  for (let r = 0, out = 0; r < rows; r++) {
    const row = ids ? ids[r] : r;
    for (let i = row * width; i < (row + 1) * width; i++, out++) {
      const x = column.data[i];
      if (field.dtype === 'i32') data[out] = checkIndex(part, x, row, raw.place);
      else if (Number.isFinite(Math.fround(x)) || part.allowNonFinite) data[out] = x;
      else {
        const place = part.shape.length === 0 ? raw.place : elementOf(raw.place, i - row * width);
        encodePart({ ...part, shape: [] }, x, data, out, row, place); // throws
      }
    }
  }
  return { ...field, data, scale: 1, shift: 0 };
}

/** All tokens of a part of a text, once; its rows overlap. */
function encodeWindows(rows: number, part: TextPart, field: FieldInfo, column: WindowColumn): Column {
  const { from, length, stride } = column;
  const data = sharedArray('i32', (rows - 1) * stride + length);
  encodeTokens(part, column, from, data);
  return { ...field, data, scale: 1, shift: 0, ...(stride !== length && { stride }) };
}

/** Writes the ids of the tokens of a text from token `begin` on, until `out` is full. */
export function encodeTokens(
  part: TextPart,
  { tokens, dictionary, where }: WindowColumn,
  begin: number,
  out: Int32Array,
): void {
  const ids = idsOf(part, dictionary);
  for (let i = 0; i < out.length; i++) {
    const token = tokens.at(begin + i);
    out[i] = ids[token] < 0 ? known(part, dictionary[token], where(begin + i)) : ids[token];
  }
}

const idLists = new WeakMap<readonly string[], { readonly of: readonly string[]; readonly ids: readonly number[] }>();

/** Of each token of a dictionary its id; made once for a dictionary and a vocabulary. */
function idsOf(part: TextPart, dictionary: readonly string[]): readonly number[] {
  const kept = idLists.get(dictionary);
  if (kept?.of === part.vocabulary) return kept.ids;
  const ids = dictionary.map((token) => tokenId(part, token));
  idLists.set(dictionary, { of: part.vocabulary, ids });
  return ids;
}

function inPlace(column: TensorColumn, ids: Int32Array | undefined): boolean {
  return ids === undefined && column.data.buffer instanceof SharedArrayBuffer;
}

function copyRows(from: Uint8Array, to: Uint8Array, ids: Int32Array | undefined, rows: number, width: number): void {
  if (!ids) to.set(from);
  else for (let r = 0; r < rows; r++) to.set(from.subarray(ids[r] * width, (ids[r] + 1) * width), r * width);
}

/** A field of fitted parts, each from its column. */
function encodeParts(
  raw: RawTable,
  ids: Int32Array | undefined,
  encoder: Encoder,
  field: FieldInfo,
  parts: readonly Part[],
  split: string,
  arrays: ColumnArrays,
): Column {
  const width = field.shape.reduce((a, b) => a * b, 1);
  const rows = ids?.length ?? raw.size;
  const data = arrays.words(field.name, field.dtype, rows * width);
  for (const part of parts) {
    const column = columnOf(raw, part.column, split);
    if (isSparse(column)) throw new TypeError('encode: sparse rows among parts');
    if (column.kind === 'tensor') checkShape('shape' in part ? part.shape : [], column, field.name, split);
    const value = reader(column);
    for (let r = 0; r < rows; r++) {
      const row = ids ? ids[r] : r;
      encodePart(part, encoder.valueOf(part.column, value(row)), data, r * width + (part.at ?? 0), row, raw.place);
    }
  }
  return { ...field, data, scale: 1, shift: 0 };
}

function isSparse(column: RawColumn | undefined): column is SparseTensor | PagedSparse {
  return column?.kind === 'sparse' || column?.kind === 'pagedSparse';
}

function reader(column: Exclude<RawColumn, SparseTensor | PagedSparse>): (row: number) => unknown {
  if (column.kind === 'cells') return (row) => column.at(row);
  if (column.kind === 'paged') return (row) => (column.shape.length === 0 ? column.at(row, 0) : column.row(row));
  if (column.kind === 'windows') return (row) => windowText(column, row);
  const { data } = column;
  if (column.shape.length === 0) return (row) => data[row];
  const width = column.shape.reduce((a, b) => a * b, 1);
  return (row) => data.subarray(row * width, (row + 1) * width);
}

/** The text of a row. */
export function windowText({ tokens, dictionary, unit, from, length, stride }: WindowColumn, row: number): string {
  const at = from + row * stride;
  return joinTokens(
    unit,
    Array.from({ length }, (_, i) => dictionary[tokens.at(at + i)]),
  );
}

function columnOf(raw: RawTable, name: string, split: string): RawColumn {
  const column = raw.columns.get(name);
  if (column) return column;
  const known = [...raw.columns.keys()];
  throw new LockstepError('E_DATA_MISSING', {
    where: `data.${split}`,
    expected: `a column "${name}", as the training rows have`,
    got: known.slice(0, 20).join(', ') || 'no columns',
    fix: didYouMean(name, known, 'give all splits the same columns'),
  });
}

function checkShape(expected: readonly number[], column: TensorColumn, field: string, split: string): void {
  if (expected.length === column.shape.length && expected.every((d, i) => d === column.shape[i])) return;
  throw mismatch(
    'E_SHAPE',
    split,
    field,
    `rows of shape [${expected.join(', ')}], as in training`,
    `rows of shape [${column.shape.join(', ')}]`,
  );
}

function mismatch(
  code: 'E_SHAPE' | 'E_DTYPE',
  split: string,
  field: string,
  expected: string,
  got: string,
): LockstepError {
  return new LockstepError(code, {
    where: `data.${split}, field "${field}"`,
    expected,
    got,
    fix: 'all splits need the same fields',
  });
}
