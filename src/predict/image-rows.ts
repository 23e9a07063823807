import type { DecodeImage } from '../data/image-decode.ts';
import type { ImageTransform } from '../data/transforms.ts';
import type { OpenDecoder } from './platform.ts';
import type { RowPlace } from './row-encoder.ts';

/** Rows whose encoded images (paths, bytes of PNG or JPEG files) have become pixels; rows without any stay as they are. */
export type DecodeRows = (rows: readonly unknown[], place: RowPlace) => Promise<readonly unknown[]>;

/** What decodes the rows of a model, or undefined if none of its columns holds images. */
export function rowDecoder(images: readonly ImageTransform[], open: OpenDecoder): DecodeRows | undefined {
  if (images.length === 0) return undefined;
  const decoders = new Map<string, Promise<DecodeImage>>();
  const decoderOf = (form: ImageTransform): Promise<DecodeImage> => {
    const known = decoders.get(form.column) ?? open(form);
    decoders.set(form.column, known);
    return known;
  };
  const decodeRow = async (row: unknown, where: string): Promise<unknown> => {
    if (typeof row !== 'object' || row === null) return row;
    let decoded: Record<string, unknown> | undefined;
    for (const form of images) {
      const image = encodedImage(Reflect.get(row, form.column), form);
      if (image === undefined) continue;
      const decode = await decoderOf(form);
      const name = typeof image === 'string' ? image : `column "${form.column}"`;
      decoded = { ...(decoded ?? row), [form.column]: await decode(image, `${where}, ${name}`) };
    }
    return decoded ?? row;
  };
  return (rows, place) => Promise.all(rows.map((row, i) => decodeRow(row, place(i))));
}

/** A path, or bytes that are not as many as the pixels; undefined for everything else, which is pixels or wrong. */
function encodedImage(
  value: unknown,
  { size: [height, width], channels }: ImageTransform,
): string | Uint8Array | undefined {
  if (value instanceof URL) return decodeURIComponent(value.pathname);
  if (typeof value === 'string') return value;
  const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value;
  return bytes instanceof Uint8Array && bytes.length !== height * width * channels ? bytes : undefined;
}
