import { LockstepError } from '../errors.ts';
import { describeValue } from './describe.ts';
import { optionalPackage } from './optional.ts';

/** What every image becomes. */
export interface ImageForm {
  /** Height and width in pixels. */
  readonly size: readonly [height: number, width: number];
  /** 3: red, green, blue; 1: grey. */
  readonly channels: 1 | 3;
  /**
   * How an image of another shape is fitted: 'cover' fills the size and crops what sticks out, 'contain' shows all of it on black,
   * 'fill' stretches it.
   */
  readonly fit: 'cover' | 'contain' | 'fill';
}

/** Decodes one image, a file or the bytes of one, to height x width x channels bytes, the channels of a pixel together. */
export type DecodeImage = (image: string | Uint8Array, where: string) => Promise<Uint8Array>;

/**
 * A decoder of PNG, JPEG and WebP for images of one form; orientation marks are obeyed, transparency is dropped.
 *
 * @throws E_DATA_MISSING if sharp is not installed; the decoder throws E_DATA_FORMAT for a broken file, with `where`.
 */
export async function imageDecoder({ size: [height, width], channels, fit }: ImageForm): Promise<DecodeImage> {
  const { default: sharp } = await optionalPackage(() => importSharp('sharp'), 'sharp', 'reading images');
  return async (image, where) => {
    try {
      const decoded = sharp(image, { failOn: 'error' })
        .rotate()
        .removeAlpha()
        .resize({ width, height, fit, background: '#000' })
        .toColourspace(channels === 1 ? 'b-w' : 'srgb');
      const { data, info } = await (channels === 1 ? decoded.greyscale() : decoded)
        .raw()
        .toBuffer({ resolveWithObject: true });
      if (info.channels !== channels) throw new Error(`${info.channels} channels instead of ${channels}`);
      return data;
    } catch (cause) {
      throw new LockstepError('E_DATA_FORMAT', {
        where,
        expected: 'a whole PNG, JPEG or WebP image',
        got: cause instanceof Error ? cause.message.trim().replace(/\s*\n\s*/g, ', ') : describeValue(cause),
        fix: 'repair, replace or remove it',
        cause,
      });
    }
  };
}

/** By a name that bundlers do not see: sharp is native code, which cannot go into a bundle. */
function importSharp(name: string): Promise<typeof import('sharp')> {
  return import(name);
}
