import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions } from '../optim/options.ts';
import type { Source } from './contract.ts';
import { abortedError, type FilePath, pathText, resolveFile } from './files.ts';
import { fitPixels } from './fit.ts';
import { imageDecoder } from './image-decode.ts';
import { MEMORY_SIZE, type MemorySize } from './memory-size.ts';
import { histogramOf, openColumn } from './number-column.ts';
import type { RawColumn, RawTable } from './raw.ts';
import { numberColumn, type ReadOptions, type SourceReader } from './reader.ts';
import { ScratchFile } from './scratch-file.ts';
import type { Transform } from './transforms.ts';

export interface ImagesOptions {
  /** Height and width to which every image is brought, in pixels. */
  readonly size: readonly [height: number, width: number];
  /** 3 (default): red, green, blue; 1: grey. */
  readonly channels?: 1 | 3;
  /**
   * How an image of another shape is fitted: 'cover' (default) fills the size and crops what sticks out on two sides, 'contain' shows all
   * of it on black, 'fill' stretches it.
   */
  readonly fit?: 'cover' | 'contain' | 'fill';
  /** 'standard' (default): mean 0 and standard deviation 1 over all pixels of the training images; 'unit': bytes / 255; false: 0 to 255. */
  readonly normalize?: 'standard' | 'unit' | false;
  /**
   * Memory for the pixels, for folders that are larger: '2GB', 500e6. Decoded images are then kept in a temporary file and brought into
   * memory in windows ahead of the training (docs/data.md says how they are shuffled). Default: all are in memory.
   */
  readonly memory?: MemorySize;
}

const pixels = z.number().int().min(1).max(16_384);
const OPTIONS = z.strictObject({
  size: z.tuple([pixels, pixels]).readonly(),
  channels: z.union([z.literal(1), z.literal(3)]).default(3),
  fit: z.enum(['cover', 'contain', 'fill']).default('cover'),
  normalize: z.enum(['standard', 'unit']).or(z.literal(false)).default('standard'),
  memory: MEMORY_SIZE.optional(),
});
const SOURCE = OPTIONS.extend({ kind: z.literal('images'), path: z.string() });

/**
 * A folder of PNG, JPEG or WebP images with a folder for each class: `photos/cat/1.jpg`, `photos/dog/7.png`; see `FilePath` for how paths
 * are found. Needs the package `sharp`: `npm install sharp`.
 *
 * Fields: `x` f32 [height, width, channels], [height, width] for one channel (bytes stay bytes in memory and are scaled when a batch is
 * gathered); `y` i32, the class; class names (sorted) are kept with the model. A raw row is `{ image }`: a path or the bytes of an image
 * file (in Node), or its pixels.
 *
 * @throws LockstepError E_OPTION for options; when loaded E_DATA_MISSING (no folder, sharp not installed), E_DATA_EMPTY, E_DATA_FORMAT (a
 * file that is broken or no image, by name), E_MEMORY.
 */
export function images(
  path: FilePath,
  options: ImagesOptions,
): Source<{ x: 'f32'; y: 'i32' }> & { readonly kind: 'images' } {
  return { kind: 'images', path: pathText(path, 'images'), ...parseOptions(OPTIONS, options, 'images') };
}

export const imagesReader: SourceReader = { read, fit };

/** Images that are decoded at the same time: sharp has threads of its own. */
const AT_ONCE = 8;
const IMAGE = /\.(png|jpe?g|webp)$/i;

async function read(source: Source, { baseDir, signal, apart }: ReadOptions): Promise<RawTable> {
  const spec = parseOptions(SOURCE, source, 'images');
  const folder = resolveFile(spec.path, baseDir);
  const files = await listImages(folder);
  const decode = await imageDecoder(spec);
  const spill = spec.memory === undefined ? undefined : { file: new ScratchFile(), memory: spec.memory };
  const shape = shapeOf(spec);
  const width = shape.reduce((a, b) => a * b, 1);
  const form = { elements: 'u8', rows: files.length, shape, where: folder } as const;
  const { column, take, release } = openColumn(form, { spill, share: 1 / 4, apart });
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < files.length) {
      if (signal?.aborted) throw abortedError(`reading ${folder}`, signal.reason);
      const i = next++;
      take(await decode(files[i].file, files[i].file), i * width);
    }
  };
  const decoding = Array.from({ length: Math.min(AT_ONCE, files.length) }, worker);
  try {
    await Promise.all(decoding);
  } catch (error) {
    next = files.length; // the others stop
    await Promise.allSettled(decoding);
    throw error;
  }
  return {
    size: files.length,
    columns: new Map<string, RawColumn>([
      ['image', column],
      ['class', { kind: 'cells', at: (row: number) => files[row].label }],
    ]),
    place: (row) => files[row].file,
    ...(spill ? { spill } : {}),
    release,
  };
}

function shapeOf({ size, channels }: { size: readonly [number, number]; channels: 1 | 3 }): number[] {
  return channels === 1 ? [...size] : [...size, channels];
}

interface ImageFile {
  readonly file: string;
  readonly label: string;
}

/** All images by class and name, in the same order on every machine. */
async function listImages(folder: string): Promise<ImageFile[]> {
  if (!(await stat(folder)).isDirectory()) {
    throw new LockstepError('E_DATA_FORMAT', {
      where: folder,
      expected: 'a folder with a folder of images for each class',
      got: 'a file',
      fix: 'name the folder: photos for photos/cat/1.jpg, photos/dog/7.png',
    });
  }
  const entries = await readdir(folder, { withFileTypes: true });
  const classes = entries.filter((e) => e.isDirectory() && !e.name.startsWith('.')).map((e) => e.name);
  const files: ImageFile[] = [];
  for (const label of classes.sort()) {
    const inside = await readdir(join(folder, label), { withFileTypes: true, recursive: true });
    const paths = inside
      .filter((e) => e.isFile() && !/^(\.|Thumbs\.db$)/i.test(e.name))
      .map((e) => join(e.parentPath, e.name));
    for (const file of paths.sort()) {
      if (!IMAGE.test(file)) throw notImage(file);
      files.push({ file, label });
    }
  }
  if (files.length > 0) return files;
  const loose = entries.some((e) => IMAGE.test(e.name));
  throw new LockstepError('E_DATA_EMPTY', {
    where: folder,
    expected: 'a folder of images for each class',
    got:
      classes.length > 0 ? `no image in ${classes.slice(0, 10).join(', ')}` : loose ? 'images without a class' : 'none',
    fix: 'put the images of each class into a folder of that name',
  });
}

function notImage(file: string): LockstepError {
  return new LockstepError('E_DATA_FORMAT', {
    where: file,
    expected: 'a PNG, JPEG or WebP image',
    got: 'a file of another kind',
    fix: 'move it out of the folders of the classes',
  });
}

function fit(source: Source, raw: RawTable, ids: Int32Array | undefined): Transform[] {
  const spec = parseOptions(SOURCE, source, 'images');
  const classes = raw.columns.get('class');
  if (classes?.kind !== 'cells') throw new TypeError('images: no classes');
  const names = new Set<string>();
  const count = ids?.length ?? raw.size;
  for (let i = 0; i < count; i++) names.add(String(classes.at(ids ? ids[i] : i)));
  const { size, channels, fit } = spec;
  return [
    { kind: 'image', column: 'image', size, channels, fit },
    {
      kind: 'bytes',
      field: 'x',
      column: 'image',
      shape: shapeOf(spec),
      ...fitPixels(spec.normalize, () => histogramOf(numberColumn(raw, 'image'), count, ids).moments()),
    },
    { kind: 'labels', field: 'y', column: 'class', type: 'category', values: [...names].sort() },
  ];
}
