import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions } from '../optim/options.ts';
import type { Source } from './contract.ts';
import { type FilePath, pathText, resolveFile } from './files.ts';
import { fitAll, fitIndex, fitPixels } from './fit.ts';
import { type IdxHeader, readIdx } from './idx-file.ts';
import { MEMORY_SIZE, type MemorySize } from './memory-size.ts';
import { type ColumnPlace, elementType, histogramOf, type NumberColumn, type OpenColumn, openColumn, valuesOf } from './number-column.ts'; // biome-ignore format: a list
import type { PagedElements } from './paged.ts';
import type { RawTable } from './raw.ts';
import { numberColumn, type ReadOptions, type SourceReader } from './reader.ts';
import { ScratchFile } from './scratch-file.ts';
import type { Transform } from './transforms.ts';

export interface IdxOptions {
  /**
   * 'standard' (default): mean 0 and standard deviation 1 over all pixels of the training images; 'unit': bytes / 255 (other
   * element types: the training range becomes [0, 1]); false: the numbers as they are.
   */
  readonly normalize?: 'standard' | 'unit' | false;
  /**
   * Memory for the rows, for files that are larger: '500MB', 2e9. They are then kept in a temporary file and brought into memory in windows
   * ahead of the training (docs/data.md says how they are shuffled). Default: all rows are in memory.
   */
  readonly memory?: MemorySize;
}

const OPTIONS = z.strictObject({
  normalize: z.enum(['standard', 'unit']).or(z.literal(false)).default('standard'),
  memory: MEMORY_SIZE.optional(),
});
const SOURCE = OPTIONS.extend({ kind: z.literal('idx'), images: z.string(), labels: z.string() });

/**
 * Images and labels in two IDX files (MNIST's format), gzipped or not; see `FilePath` for how paths are found. Reads nothing
 * before the training starts.
 *
 * Fields: `x` f32, one item of the first file ([28, 28] for MNIST; bytes stay bytes in memory and are scaled when a batch is
 * gathered); `y` i32 scalar, the label. All element types of the format can be read; labels must be integers.
 *
 * @throws LockstepError E_OPTION for options; when loaded E_DATA_MISSING, E_DATA_FORMAT (truncated, wrong magic number, trailing
 * bytes, counts that differ), E_LABEL.
 */
export function idx(
  images: FilePath,
  labels: FilePath,
  options: IdxOptions = {},
): Source<{ x: 'f32'; y: 'i32' }> & { readonly kind: 'idx' } {
  return {
    kind: 'idx',
    images: pathText(images, 'idx: images'),
    labels: pathText(labels, 'idx: labels'),
    ...parseOptions(OPTIONS, options, 'idx'),
  };
}

export const idxReader: SourceReader = { read, fit };

async function read(source: Source, { baseDir, signal, apart }: ReadOptions): Promise<RawTable> {
  const { images, labels, memory } = parseOptions(SOURCE, source, 'idx');
  const spill = memory === undefined ? undefined : { file: new ScratchFile(), memory };
  const imagesFile = resolveFile(images, baseDir);
  const labelsFile = resolveFile(labels, baseDir);
  const place = { spill, share: SHARE, apart };
  const y = await readLabels(labelsFile, place, signal);
  const x = await readColumn(imagesFile, place, signal, (header) => checkItems(header, imagesFile, y.rows, labelsFile));
  return {
    size: y.rows,
    columns: new Map([
      ['x', x.column],
      ['y', y.column],
    ]),
    place: (row, column) => `${column === 'x' ? imagesFile : labelsFile}, item ${row}`,
    ...(spill && { spill }),
    release: () => {
      x.release();
      y.release();
    },
  };
}

interface Items extends OpenColumn {
  readonly rows: number;
}

/** Of the memory, for the page of each of the two columns. */
const SHARE = 1 / 8;

/** `check` throws before anything is allocated. */
async function readColumn(
  file: string,
  place: ColumnPlace,
  signal: AbortSignal | undefined,
  check: (header: IdxHeader) => void,
  as?: PagedElements,
): Promise<Items> {
  let items: Items | undefined;
  const open = (header: IdxHeader) => {
    check(header);
    const [rows, ...shape] = header.dims;
    items = { rows, ...openColumn({ elements: as ?? header.elements, rows, shape, where: file }, place) };
    return items;
  };
  await readIdx(file, open, signal);
  if (!items) throw new TypeError('idx: no items');
  return items;
}

/** Labels become i32 whatever their width in the file. */
function readLabels(file: string, place: ColumnPlace, signal: AbortSignal | undefined): Promise<Items> {
  const check = ({ dims, type }: IdxHeader): void => {
    if (dims.length === 1 && type !== 'f32' && type !== 'f64') return;
    const got = `${dims.join(' x ')} elements of ${type}`;
    throw unfit(file, 'one integer label per item', got, 'idx(images, labels): are the two files swapped?');
  };
  return readColumn(file, place, signal, check, 'i32');
}

function checkItems({ dims: [items, ...rest] }: IdxHeader, file: string, labels: number, labelsFile: string): void {
  if (items !== labels) {
    const expected = `as many labels as ${file} has items (${items})`;
    throw unfit(labelsFile, expected, `${labels} labels`, 'take images and labels of the same set');
  }
  if (rest.includes(0)) throw unfit(file, 'items of at least one element', rest.join(' x '), 'fetch the file again');
}

function unfit(file: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_DATA_FORMAT', { where: file, expected, got, fix });
}

function fit(source: Source, raw: RawTable, ids: Int32Array | undefined): Transform[] {
  const { normalize } = parseOptions(SOURCE, source, 'idx');
  const count = ids?.length ?? raw.size;
  return [fitItems(normalize, numberColumn(raw, 'x'), count, ids), fitIndex('y', numberColumn(raw, 'y'), count, ids)];
}

function fitItems(
  normalize: 'standard' | 'unit' | false,
  column: NumberColumn,
  count: number,
  ids: Int32Array | undefined,
): Transform {
  const { shape } = column;
  const base = { field: 'x', column: 'x', shape };
  if (elementType(column) === 'u8') {
    return { kind: 'bytes', ...base, ...fitPixels(normalize, () => histogramOf(column, count, ids).moments()) };
  }
  const width = shape.reduce((a, b) => a * b, 1);
  return fitAll(normalize === 'unit' ? 'minmax' : normalize, base, count, width, valuesOf(column, ids));
}
