import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions, unknownOption } from '../optim/options.ts';
import type { FieldType, Source } from './contract.ts';
import { describeValue } from './describe.ts';
import { type FilePath, pathText, resolveFile } from './files.ts';
import { fitIndex, fitNumbers, type Normalization } from './fit.ts';
import { MEMORY_SIZE, type MemorySize } from './memory-size.ts';
import { elementsOfType, readNpy } from './npy-file.ts';
import type { NpyHeader } from './npy-header.ts';
import { type ColumnPlace, elementType, histogramOf, type NumberColumn, type OpenColumn, openColumn, valuesOf } from './number-column.ts'; // biome-ignore format: a list
import { type RawArray, type RawColumn, type RawTable, sharedArray } from './raw.ts';
import { numberColumn, type ReadOptions, type SourceReader } from './reader.ts';
import { ScratchFile } from './scratch-file.ts';
import type { Transform } from './transforms.ts';

export interface NpyOptions<K extends string = string> {
  /**
   * Element types that differ from the array's own. Default: integers of all sizes are i32 (labels, indices), but uint8 with more than
   * one number a row (images) and everything else is f32. `{ y: 'f32' }` makes numbers to predict of integers.
   */
  readonly dtypes?: { readonly [N in K]?: FieldType };
  /**
   * f32 fields to normalise, fitted on the training rows: 'standard' to mean 0 and standard deviation 1, 'minmax' to [0, 1]; each element
   * for itself, but one pair of numbers for all pixels of uint8 images, which stay bytes in memory. Default: none.
   */
  readonly normalize?: { readonly [N in K]?: 'standard' | 'minmax' | false };
  /**
   * Memory for the rows, for arrays that are larger: '500MB', 2e9. They are then kept in a temporary file and brought into memory in windows
   * ahead of the training (docs/data.md says how they are shuffled). Default: all rows are in memory.
   */
  readonly memory?: MemorySize;
}

const OPTIONS = z.strictObject({
  dtypes: z.record(z.string(), z.enum(['f32', 'i32'])).default({}),
  normalize: z.record(z.string(), z.enum(['standard', 'minmax']).or(z.literal(false))).default({}),
  memory: MEMORY_SIZE.optional(),
});
const NPY = OPTIONS.extend({ kind: z.literal('npy'), files: z.record(z.string(), z.string()) });
const NPZ = OPTIONS.extend({ kind: z.literal('npz'), path: z.string(), arrays: z.record(z.string(), z.string()) });

type NpyFields<K extends string, T> = {
  [N in K]: N extends keyof T ? (T[N] extends FieldType ? T[N] : FieldType) : FieldType;
};
type Dtypes<K extends string> = { readonly [N in K]?: FieldType };
type Rest<K extends string, T> = Omit<NpyOptions<K>, 'dtypes'> & { readonly dtypes?: T };

/**
 * Arrays in NumPy files, one for each field: `npy({ x: 'images.npy', y: 'labels.npy' })`. The first dimension counts the rows; all
 * arrays have as many. Float32, float64, int8 to int64, uint8 to uint32 and bool, either byte order, C or Fortran order, versions 1 to 3.
 *
 * @throws LockstepError E_OPTION for options; when loaded E_DATA_MISSING, E_DATA_FORMAT (truncated, trailing bytes, no array), E_DTYPE
 * (object, string and structured arrays), E_SHAPE (row counts that differ), E_DATA_VALUE (not finite, beyond i32), E_LABEL (negative).
 */
export function npy<const K extends string, const T extends Dtypes<K> = Record<never, never>>(
  files: Readonly<Record<K, FilePath>>,
  options: Rest<K, T> = {},
): Source<NpyFields<K, T>> & { readonly kind: 'npy' } {
  const paths = Object.entries<FilePath>(files).map(([name, path]) => [name, pathText(path, `npy: ${name}`)] as const);
  return {
    kind: 'npy',
    files: Object.fromEntries(paths),
    ...checkOptions(
      options,
      paths.map(([name]) => name),
      'npy',
    ),
  };
}

/**
 * Arrays in one NumPy archive (`numpy.savez`, `savez_compressed`): the name of the array in the file for each field,
 * `npz('mnist.npz', { x: 'x_train', y: 'y_train' })`. Otherwise as `npy`; members are stored or deflated, checksums are verified.
 *
 * @throws LockstepError as `npy`; E_DATA_MISSING for an array that the archive does not have.
 */
export function npz<const K extends string, const T extends Dtypes<K> = Record<never, never>>(
  path: FilePath,
  arrays: Readonly<Record<K, string>>,
  options: Rest<K, T> = {},
): Source<NpyFields<K, T>> & { readonly kind: 'npz' } {
  const names = Object.keys(arrays);
  return { kind: 'npz', path: pathText(path, 'npz'), arrays: { ...arrays }, ...checkOptions(options, names, 'npz') };
}

function checkOptions(options: unknown, names: readonly string[], where: string): z.output<typeof OPTIONS> {
  const parsed = parseOptions(OPTIONS, options, where);
  if (names.length === 0) {
    throw new LockstepError('E_OPTION', {
      where,
      expected: `at least one field: ${where === 'npy' ? "npy({ x: 'x.npy', y: 'y.npy' })" : "npz(file, { x: 'x', y: 'y' })"}`,
      got: 'none',
      fix: 'name the fields',
    });
  }
  for (const option of ['dtypes', 'normalize'] as const) {
    for (const name of Object.keys(parsed[option])) {
      if (!names.includes(name)) throw unknownOption(name, names, `${where}: option ${option}`);
    }
  }
  for (const [name, mode] of Object.entries(parsed.normalize)) {
    if (mode === false || parsed.dtypes[name] !== 'i32') continue;
    throw notNumeric(where, name);
  }
  return parsed;
}

/** Where the array of each field is. */
interface Place {
  readonly field: string;
  readonly path: string;
  readonly member?: string;
}

interface NpySource extends z.output<typeof OPTIONS> {
  readonly kind: 'npy' | 'npz';
  readonly places: readonly Place[];
}

/** The one place where a description becomes typed again. */
function checkSource(source: Source): NpySource {
  if (source.kind === 'npy') {
    const { files, ...rest } = parseOptions(NPY, source, 'npy');
    return { ...rest, places: Object.entries(files).map(([field, path]) => ({ field, path })) };
  }
  const { path, arrays, ...rest } = parseOptions(NPZ, source, 'npz');
  return { ...rest, places: Object.entries(arrays).map(([field, member]) => ({ field, path, member })) };
}

export const npyReader: SourceReader = {
  read: (source, options) => readArrays(checkSource(source), options),
  fit: (source, raw, ids) => fitArrays(checkSource(source), raw, ids),
};

interface Loaded extends OpenColumn {
  readonly field: string;
  readonly where: string;
  readonly rows: number;
}

async function readArrays(source: NpySource, { baseDir, signal, apart }: ReadOptions): Promise<RawTable> {
  const { memory } = source;
  const spill = memory === undefined ? undefined : { file: new ScratchFile(), memory };
  const columns = { spill, share: 1 / (4 * source.places.length), apart };
  const loaded: Loaded[] = [];
  for (const place of source.places) {
    const array = await readArray(place, resolveFile(place.path, baseDir), source, columns, signal);
    const [first = array] = loaded;
    if (array.rows !== first.rows) {
      throw new LockstepError('E_SHAPE', {
        where: array.where,
        expected: `${first.rows} rows, as ${first.where} has`,
        got: `${array.rows}`,
        fix: 'the first dimension counts the rows: take arrays of the same set',
      });
    }
    loaded.push(array);
  }
  const where = new Map(loaded.map((array) => [array.field, array.where]));
  return {
    size: loaded[0].rows,
    columns: new Map(loaded.map(({ field, column }): [string, RawColumn] => [field, column])),
    place: (row, column) => `${where.get(column)}, row ${row}`,
    ...(spill ? { spill } : {}),
    release: () => {
      for (const array of loaded) array.release();
    },
  };
}

async function readArray(
  { field, member }: Place,
  file: string,
  source: NpySource,
  columns: ColumnPlace,
  signal: AbortSignal | undefined,
): Promise<Loaded> {
  let loaded: Loaded | undefined;
  const open = (header: NpyHeader, where: string) => {
    checkShape(header, where);
    const [rows, ...shape] = header.dims;
    if (columns.spill && header.fortran && header.dims.length > 1) throw columnsFirst(where);
    const form = { elements: elementsOfType(header), rows, shape, where };
    loaded = { field, where, rows, ...openColumn(form, columns) };
    return loaded;
  };
  await readNpy(file, member, open, signal);
  if (!loaded) throw new TypeError('npy: no array');
  const { where, column } = loaded;
  const dtype = dtypeOf(source, field, column);
  if (dtype === 'i32' && source.normalize[field]) throw notNumeric(source.kind, field);
  if (dtype === 'f32' || column.kind === 'paged') return loaded;
  return { ...loaded, column: { ...column, data: integers(column.data, column.shape, where) } };
}

/** Integers are labels, and so is one byte a row. */
function dtypeOf({ dtypes }: NpySource, field: string, column: NumberColumn): FieldType {
  const elements = elementType(column);
  const labels = elements === 'i32' || (elements === 'u8' && column.shape.length === 0);
  return dtypes[field] ?? (labels ? 'i32' : 'f32');
}

function checkShape({ dims }: NpyHeader, where: string): void {
  const [rows, ...shape] = dims;
  if (dims.length > 0 && (rows === 0 || !shape.includes(0))) return;
  throw new LockstepError('E_SHAPE', {
    where,
    expected: 'rows of at least one number, rows first: (60000, 28, 28)',
    got: `shape (${dims.join(', ')})`,
    fix: 'reshape the array before saving it',
  });
}

function integers(data: RawArray, shape: readonly number[], where: string): Int32Array {
  if (data instanceof Int32Array) return data;
  const width = shape.reduce((a, b) => a * b, 1);
  const out = sharedArray('i32', data.length);
  for (let i = 0; i < data.length; i++) {
    out[i] = data[i];
    if (out[i] === data[i]) continue;
    throw new LockstepError('E_DATA_VALUE', {
      where: `${where}, row ${Math.floor(i / width)}`,
      expected: 'an i32 integer',
      got: describeValue(data[i]),
      fix: 'correct the row, or leave its field out of dtypes',
    });
  }
  return out;
}

function fitArrays(source: NpySource, raw: RawTable, ids: Int32Array | undefined): Transform[] {
  const count = ids?.length ?? raw.size;
  return source.places.map(({ field }): Transform => {
    const column = numberColumn(raw, field);
    if (dtypeOf(source, field, column) === 'i32') return fitIndex(field, column, count, ids);
    const { shape } = column;
    const mode = source.normalize[field] ?? false;
    const base = { field, column: field, shape };
    if (elementType(column) === 'u8') return { kind: 'bytes', ...base, ...bytesScale(mode, column, count, ids) };
    const width = shape.reduce((a, b) => a * b, 1);
    return fitNumbers(mode, base, count, width, valuesOf(column, ids));
  });
}

/** Scale and shift of bytes, rounded once here so that the kernel's f32 arithmetic and a raw row's are the same. */
function bytesScale(mode: Normalization, column: NumberColumn, count: number, ids: Int32Array | undefined) {
  if (mode === false) return { scale: 1, shift: 0 };
  const histogram = histogramOf(column, count, ids);
  const [low, range] = mode === 'standard' ? histogram.moments() : histogram.range();
  return { scale: Math.fround(1 / range), shift: Math.fround(-low / range) };
}

/** Files that are written column by column would have to be read as a whole. */
function columnsFirst(where: string): LockstepError {
  return new LockstepError('E_DATA_FORMAT', {
    where,
    expected: 'rows one after the other (C order), to read them in chunks',
    got: 'Fortran order',
    fix: 'save numpy.ascontiguousarray(array), or leave the option memory out',
  });
}

function notNumeric(where: string, name: string): LockstepError {
  return new LockstepError('E_OPTION', {
    where: `${where}: option normalize.${name}`,
    expected: 'a field of f32 numbers',
    got: 'labels or indices (i32)',
    fix: `leave it out, or make the field numbers: dtypes: { ${name}: 'f32' }`,
  });
}
