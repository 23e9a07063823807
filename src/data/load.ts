import { LockstepError } from '../errors.ts';
import { unknownOption } from '../optim/options.ts';
import { arraysReader } from './arrays.ts';
import { checkAugmentations, parseAugmentations } from './augmentation.ts';
import type { Computed, DataSpec, FieldInfo, Fields, LoadedData, LoadOptions, Source, Split } from './contract.ts';
import { csvReader } from './csv.ts';
import { computedOf, computedTransforms } from './dataset.ts';
import { describeValue, didYouMean } from './describe.ts';
import { encodeSplit, windowText } from './encode.ts';
import { abortedError } from './files.ts';
import { idxReader } from './idx.ts';
import { imagesReader } from './images.ts';
import { libsvmReader } from './libsvm.ts';
import { npyReader } from './npy.ts';
import { parquetReader } from './parquet.ts';
import type { RawColumn, RawTable } from './raw.ts';
import type { ReadOptions, SourceReader } from './reader.ts';
import { rowsReader } from './rows.ts';
import { encodeSparse } from './sparse.ts';
import { splitRows } from './split.ts';
import { encodeSpilled } from './stream.ts';
import { encodeSpilledText, isSpilledText } from './stream-text.ts';
import { textReader } from './text.ts';
import { Encoder } from './transforms.ts';

/** The kinds of sources that become tables. `dataset` is the one that does not: its rows are computed in the workers. */
const READERS: Readonly<Record<string, SourceReader>> = {
  idx: idxReader,
  csv: csvReader,
  npy: npyReader,
  npz: npyReader,
  parquet: parquetReader,
  images: imagesReader,
  libsvm: libsvmReader,
  text: textReader,
  arrays: arraysReader,
  rows: rowsReader,
};

/** Sources that are files and options, nothing else: their description can be written down and loaded again. */
const FILES: readonly string[] = ['idx', 'csv', 'npy', 'npz', 'parquet', 'images', 'libsvm', 'text'];

/** Whether a source is described by plain data alone. */
export function isFileSource({ kind }: Source): boolean {
  return FILES.includes(kind);
}

type SplitName = 'train' | 'validation' | 'test';
const SPLITS: readonly SplitName[] = ['train', 'validation', 'test'];

/**
 * Loads the data of a job: reads the sources, cuts validation and test from the training rows by seed where they are fractions, fits
 * the transforms on the rest and encodes every split with them. Splits are tables of their own in shared memory.
 *
 * @throws LockstepError as the sources say; E_OPTION for an unusable spec; E_DATA_EMPTY for a split without rows; E_LABEL for labels
 * that the training rows do not have; E_DATA_MISSING, E_SHAPE, E_DTYPE where a separate source has other fields; E_ABORTED.
 */
export async function loadData<F extends Fields>(spec: DataSpec<F>, options: LoadOptions): Promise<LoadedData> {
  const checked = checkSpec(spec);
  const augment = spec.augment && parseAugmentations(spec.augment);
  const tables: { readonly raw: RawTable }[] = [];
  const fractions = fractionsOf(checked);
  const main = await open(checked.train, 'train', { ...options, apart: fractions !== undefined });
  if (main.kind === 'table') tables.push(main);
  const shares = divide(main, fractions, options.seed);
  const { opened, ids } = shares.train;

  const transforms =
    opened.kind === 'table' ? opened.reader.fit(opened.source, opened.raw, ids) : computedTransforms(opened.computed);
  const encoder = new Encoder(transforms);
  if (augment) checkAugmentations(augment, encoder.fields);
  const train = encode(shares.train, encoder, 'train');

  const others: { validation?: Split; test?: Split } = {};
  for (const name of ['validation', 'test'] as const) {
    const part = checked[name];
    if (part === undefined) continue;
    const other = typeof part === 'number' ? undefined : await open(part, name, options);
    if (other?.kind === 'table') tables.push(other);
    const share = other ? { opened: other } : shares[name];
    if (share) others[name] = encode(share, encoder, name);
    throwIfAborted(options);
  }
  const { fields } = encoder;
  const examples = examplesOf(shares.train);
  for (const { raw } of tables) {
    raw.spill?.file.close();
    raw.release?.();
  }
  return {
    fields,
    train,
    ...others,
    ...(augment ? { augment } : {}),
    transforms,
    examples,
  };
}

/** Rows of a data set that go into `examples`. */
const EXAMPLES = 8;

function examplesOf({ opened, ids }: Share): Readonly<Record<string, unknown>>[] | undefined {
  if (opened.kind !== 'table') return undefined; // computed rows have no form before the transforms
  const { columns, size } = opened.raw;
  return Array.from({ length: Math.min(EXAMPLES, ids?.length ?? size) }, (_, i) => {
    const row = ids ? ids[i] : i;
    return Object.fromEntries([...columns].map(([name, column]) => [name, rawValue(column, row)]));
  });
}

function rawValue(column: RawColumn, row: number): unknown {
  if (column.kind === 'cells') return column.at(row) ?? null;
  if (column.kind === 'paged') return column.shape.length === 0 ? column.at(row, 0) : column.row(row).slice();
  if (column.kind === 'sparse') {
    const { pointers, indices, values, base } = column;
    const places = Array.from({ length: pointers[row + 1] - pointers[row] }, (_, i) => pointers[row] + i);
    return Object.fromEntries(places.map((i) => [indices[i] + base, values[i]]));
  }
  if (column.kind === 'windows') return windowText(column, row);
  if (column.kind === 'pagedSparse') {
    const { ends, indices, values, base } = column;
    const begin = row === 0 ? 0 : ends.at(row - 1);
    const places = Array.from({ length: ends.at(row) - begin }, (_, i) => begin + i);
    return Object.fromEntries(places.map((i) => [indices.at(i) + base, values.at(i)]));
  }
  const width = column.shape.reduce((a, b) => a * b, 1);
  return column.shape.length === 0 ? column.data[row] : column.data.slice(row * width, (row + 1) * width);
}

/** A source that was read, or will be in the workers. */
type Opened =
  | { readonly kind: 'table'; readonly source: Source; readonly reader: SourceReader; readonly raw: RawTable }
  | { readonly kind: 'computed'; readonly computed: Computed };

/** A source, or some rows of it. */
interface Share {
  readonly opened: Opened;
  readonly ids?: Int32Array | undefined;
}

/** Training rows, and those that are a fraction of the same source. */
function divide(
  main: Opened,
  fractions: { readonly validation?: number; readonly test?: number } | undefined,
  seed: number,
): { train: Share; validation?: Share; test?: Share } {
  if (main.kind === 'table' && main.reader.cut) {
    const { train, validation, test } = main.reader.cut(main.source, main.raw, fractions ?? {});
    const share = (raw: RawTable): Share => ({ opened: { ...main, raw } });
    return {
      train: share(train),
      ...(validation && { validation: share(validation) }),
      ...(test && { test: share(test) }),
    };
  }
  if (!fractions) return { train: { opened: main } };
  const ids = splitRows(sizeOf(main), fractions, seed);
  const share = (own: Int32Array | undefined): Share => ({ opened: main, ids: own });
  return { train: share(ids.train), validation: share(ids.validation), test: share(ids.test) };
}

async function open(source: Source, split: SplitName, options: ReadOptions): Promise<Opened> {
  throwIfAborted(options);
  if (source.kind === 'dataset') return { kind: 'computed', computed: computedOf(source) };
  const reader = READERS[source.kind];
  const read = await reader.read(source, options);
  const raw = split === 'train' ? read : (reader.whole?.(source, read) ?? read);
  throwIfAborted(options);
  if (raw.size > 0) return { kind: 'table', source, reader, raw };
  throw new LockstepError('E_DATA_EMPTY', {
    where: `data.${split} (${source.kind})`,
    expected: 'at least one row',
    got: 'none',
    fix: 'check the source',
  });
}

function sizeOf(opened: Opened): number {
  return opened.kind === 'table' ? opened.raw.size : opened.computed.size;
}

/** Rows `ids` (all, if absent) of a source as a split of its own. */
function encode({ opened, ids }: Share, encoder: Encoder, split: SplitName): Split {
  if (opened.kind === 'table') {
    const { spill } = opened.raw;
    if (spill && isSpilledText(opened.raw)) return encodeSpilledText(opened.raw, spill, encoder, split);
    if (spill) return encodeSpilled(opened.raw, spill, ids, encoder, split);
    const columns = encodeSplit(opened.raw, ids, encoder, split);
    const sparse = encodeSparse(opened.raw, ids, encoder);
    const more = { ...(sparse.length > 0 && { sparse }), ...(ids && { ids }) };
    return { kind: 'table', size: ids?.length ?? opened.raw.size, columns, ...more };
  }
  const { computed } = opened;
  checkFields(encoder.fields, computed.fields, split);
  return ids ? { ...computed, size: ids.length, ids } : computed;
}

/** Computed rows are not encoded, so they must be declared as what training has. */
function checkFields(wanted: readonly FieldInfo[], declared: readonly FieldInfo[], split: SplitName): void {
  for (const field of wanted) {
    const other = declared.find((f) => f.name === field.name);
    const equal = other?.dtype === field.dtype && other.shape.join() === field.shape.join();
    if (equal && (other.size ?? 0) <= (field.size ?? 0)) continue;
    throw new LockstepError(other ? 'E_SHAPE' : 'E_DATA_MISSING', {
      where: `data.${split}: field "${field.name}"`,
      expected: `${fieldText(field)}, as in the training rows`,
      got: other ? fieldText(other) : `fields ${declared.map((f) => f.name).join(', ')}`,
      fix: 'all splits need the same fields',
    });
  }
}

function fieldText({ dtype, shape, size }: FieldInfo): string {
  return `${dtype} [${shape.join(', ')}]${size === undefined ? '' : ` with values below ${size}`}`;
}

function fractionsOf(spec: DataSpec): { validation?: number; test?: number } | undefined {
  const { validation, test } = spec;
  if (typeof validation !== 'number' && typeof test !== 'number') return undefined;
  return {
    ...(typeof validation === 'number' ? { validation } : {}),
    ...(typeof test === 'number' ? { test } : {}),
  };
}

/** E_OPTION for unknown keys and for what is no source. */
function checkSpec(spec: unknown): DataSpec {
  if (typeof spec !== 'object' || spec === null) {
    throw specError('data', '{ train, validation?, test? }', spec, 'say where the training rows come from');
  }
  const { train, validation, test, augment: _, ...rest }: { [key: string]: unknown } = { ...spec };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw unknownOption(unknown, [...SPLITS, 'augment'], 'data');
  return {
    train: checkSource(train, 'train'),
    ...(validation === undefined
      ? {}
      : { validation: typeof validation === 'number' ? validation : checkSource(validation, 'validation') }),
    ...(test === undefined ? {} : { test: typeof test === 'number' ? test : checkSource(test, 'test') }),
  };
}

function checkSource(source: unknown, split: SplitName): Source {
  const kind: unknown = typeof source === 'object' && source !== null ? Reflect.get(source, 'kind') : undefined;
  if (isSource(source, kind)) return source;
  const kinds = [...Object.keys(READERS), 'dataset'];
  const made = split === 'train' ? 'a source' : 'a fraction or a source';
  const fix = typeof kind === 'string' ? didYouMean(kind, kinds, 'use one of those') : 'make it with one of those';
  throw specError(`data.${split}`, `${made} made by ${kinds.join('(), ')}()`, kind ?? source, fix);
}

function isSource(source: unknown, kind: unknown): source is Source {
  return typeof kind === 'string' && (kind === 'dataset' || Object.hasOwn(READERS, kind));
}

function specError(where: string, expected: string, got: unknown, fix: string): LockstepError {
  return new LockstepError('E_OPTION', { where, expected, got: describeValue(got), fix });
}

function throwIfAborted({ signal }: LoadOptions): void {
  if (signal?.aborted) throw abortedError('loading data', signal.reason);
}
