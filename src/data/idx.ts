import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions } from '../optim/options.ts';
import type { LoadOptions, Source } from './contract.ts';
import { type FilePath, pathText, resolveFile } from './files.ts';
import { byteMoments, fitAll, fitIndex, fitPixels } from './fit.ts';
import { type IdxFile, readIdx } from './idx-file.ts';
import type { RawArray, RawTable } from './raw.ts';
import { type SourceReader, tensorColumn } from './reader.ts';
import type { Transform } from './transforms.ts';

export interface IdxOptions {
  /**
   * 'standard' (default): mean 0 and standard deviation 1 over all pixels of the training images; 'unit': bytes / 255 (other
   * element types: the training range becomes [0, 1]); false: the numbers as they are.
   */
  readonly normalize?: 'standard' | 'unit' | false;
}

const OPTIONS = z.strictObject({ normalize: z.enum(['standard', 'unit']).or(z.literal(false)).default('standard') });
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

async function read(source: Source, { baseDir, signal }: LoadOptions): Promise<RawTable> {
  const spec = parseOptions(SOURCE, source, 'idx');
  const imagesFile = resolveFile(spec.images, baseDir);
  const labelsFile = resolveFile(spec.labels, baseDir);
  const [images, labels] = await Promise.all([readIdx(imagesFile, signal), readIdx(labelsFile, signal)]);
  check(images, labels);
  return {
    size: labels.dims[0],
    columns: new Map([
      ['x', { kind: 'tensor', shape: images.dims.slice(1), data: images.data }],
      ['y', { kind: 'tensor', shape: [], data: integers(labels.data) }],
    ]),
    place: (row, column) => `${column === 'x' ? imagesFile : labelsFile}, item ${row}`,
  };
}

function check(images: IdxFile, labels: IdxFile): void {
  const [items, ...rest] = images.dims;
  const wrong = (file: IdxFile, expected: string, got: string, fix: string): LockstepError =>
    new LockstepError('E_DATA_FORMAT', { where: file.file, expected, got, fix });
  if (labels.dims.length !== 1 || labels.type === 'f32' || labels.type === 'f64') {
    const got = `${labels.dims.join(' x ')} elements of ${labels.type}`;
    throw wrong(labels, 'one integer label per item', got, 'idx(images, labels): are the two files swapped?');
  }
  if (items !== labels.dims[0]) {
    const expected = `as many labels as ${images.file} has items (${items})`;
    throw wrong(labels, expected, `${labels.dims[0]} labels`, 'take images and labels of the same set');
  }
  if (rest.includes(0)) throw wrong(images, 'items of at least one element', rest.join(' x '), 'fetch the file again');
}

/** Labels become i32 whatever their width in the file. */
function integers(data: RawArray): Int32Array {
  return data instanceof Int32Array ? data : Int32Array.from(data);
}

function fit(source: Source, raw: RawTable, ids: Int32Array | undefined): Transform[] {
  const { normalize } = parseOptions(SOURCE, source, 'idx');
  return [fitImages(normalize, raw, ids), fitIndex('y', tensorColumn(raw, 'y'), ids)];
}

function fitImages(normalize: 'standard' | 'unit' | false, raw: RawTable, ids: Int32Array | undefined): Transform {
  const { shape, data } = tensorColumn(raw, 'x');
  const base = { field: 'x', column: 'x', shape };
  const width = shape.reduce((a, b) => a * b, 1);
  if (!(data instanceof Uint8Array)) {
    return fitAll(normalize === 'unit' ? 'minmax' : normalize, base, data, ids, width);
  }
  return { kind: 'bytes', ...base, ...fitPixels(normalize, () => byteMoments(data, ids, width)) };
}
