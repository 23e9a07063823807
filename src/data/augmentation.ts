import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions } from '../optim/options.ts';
import type { FieldInfo } from './contract.ts';
import { didYouMean } from './describe.ts';

/**
 * Random changes to the rows of one f32 field, each time they are used to train: never in validation, test or prediction. What happens to
 * a row is a function of (seed, epoch, row), so it is the same on any number of workers. In this order: crop, flip, shift, noise.
 */
export interface Augmentation {
  /** Images: mirrored with probability 1/2, left to right, upside down, or each by itself. */
  readonly flip?: 'horizontal' | 'vertical' | 'both';
  /** Images: moved by up to so many pixels in both directions, every distance as likely (a random crop of a padded image). */
  readonly shift?: number;
  /** What a shift leaves empty: 'zero' (default; black for bytes), 'edge' repeats the border, 'reflect' mirrors the image at it. */
  readonly padding?: 'zero' | 'edge' | 'reflect';
  /** Images: a random part of at least this share of height and width (0.8), brought back to the whole size (bilinear). */
  readonly crop?: number;
  /** Any field: normal noise of this standard deviation, in the units that the model sees (after normalisation). */
  readonly noise?: number;
}

const AUGMENTATION = z.strictObject({
  flip: z.enum(['horizontal', 'vertical', 'both']).optional(),
  shift: z.number().int().min(0).default(0),
  padding: z.enum(['zero', 'edge', 'reflect']).default('zero'),
  crop: z.number().gt(0).max(1).default(1),
  noise: z.number().min(0).default(0),
});

/** With its defaults filled in. */
export type ParsedAugmentation = z.output<typeof AUGMENTATION>;

/** Augmentations by field. */
export type Augmentations = Readonly<Record<string, ParsedAugmentation>>;

/** The form alone: before the fields are known. @throws E_OPTION */
export function parseAugmentations(augment: unknown): Augmentations {
  if (typeof augment !== 'object' || augment === null) {
    throw optionError(
      'data.augment',
      "options by field, such as { x: { flip: 'horizontal', shift: 2 } }",
      typeof augment,
    );
  }
  return Object.fromEntries(
    Object.entries(augment).map(([name, options]) => [
      name,
      parseOptions(AUGMENTATION, options, `data.augment.${name}`),
    ]),
  );
}

/** Throws E_OPTION where a field does not exist, is no f32 field, or is no image and what is asked for needs one. */
export function checkAugmentations(augment: Augmentations, fields: readonly FieldInfo[]): void {
  for (const [name, options] of Object.entries(augment)) {
    const where = `data.augment.${name}`;
    const field = fields.find((f) => f.name === name);
    const names = fields.map((f) => f.name);
    if (!field)
      throw optionError(where, `a field among ${names.join(', ')}`, name, didYouMean(name, names, 'name one of them'));
    if (field.dtype !== 'f32') throw optionError(where, 'an f32 field', `${field.dtype} labels or indices`);
    const spatial = (['flip', 'shift', 'crop'] as const).find((option) => isUsed(options, option));
    if (spatial === undefined) continue;
    const { shape } = field;
    if (shape.length !== 2 && shape.length !== 3) {
      throw optionError(
        `${where}.${spatial}`,
        'rows that are images, [height, width] or [height, width, channels]',
        `rows of shape [${shape.join(', ')}]`,
      );
    }
    const least = Math.min(shape[0], shape[1]);
    if (options.shift >= least)
      throw optionError(`${where}.shift`, `fewer pixels than the image has (${least})`, String(options.shift));
  }
}

function isUsed(options: ParsedAugmentation, option: 'flip' | 'shift' | 'crop'): boolean {
  if (option === 'flip') return options.flip !== undefined;
  return option === 'shift' ? options.shift > 0 : options.crop < 1;
}

function optionError(where: string, expected: string, got: string, fix = 'correct it, or leave it out'): LockstepError {
  return new LockstepError('E_OPTION', { where, expected, got, fix });
}
