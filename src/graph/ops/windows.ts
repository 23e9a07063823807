import { optionError, shapeError, showShape } from '../build.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { reshape } from './shape.ts';

/**
 * Elements beside the image that windows may cover: none ('valid'), as many as make the result ceil(size / stride) long ('same', the
 * odd one behind), or a number on each side, of each axis where there are several.
 */
export type Padding = 'same' | 'valid' | number | readonly number[];

/** How windows lie along one axis. */
export interface Windows {
  readonly size: number;
  readonly window: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly after: number;
  /** Number of windows. */
  readonly out: number;
}

/** `value` for each of `axes` axes: a number stands for all. Throws E_OPTION unless integers of at least `least`. */
export function perAxis(op: string, name: string, value: unknown, axes: number, least: number): number[] {
  const list: unknown[] = Array.isArray(value) ? value : new Array(axes).fill(value);
  const good = list.length === axes && list.every((n) => typeof n === 'number' && Number.isInteger(n) && n >= least);
  if (good) return list.map(Number);
  const many = axes === 1 ? '' : `, or a list of ${axes}`;
  throw optionError(op, `${name}: an integer of at least ${least}${many}`, JSON.stringify(value), 'correct the value');
}

/** Elements that a window spans. */
export function span(window: number, dilation: number): number {
  return (window - 1) * dilation + 1;
}

/** Padding before and after each axis. Throws E_OPTION. */
function resolvePadding(
  op: string,
  padding: Padding,
  sizes: readonly number[],
  kernel: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
): { before: number; after: number }[] {
  if (padding === 'same') {
    return sizes.map((size, d) => {
      const reach = (Math.ceil(size / stride[d]) - 1) * stride[d] + span(kernel[d], dilation[d]);
      const total = Math.max(reach - size, 0);
      return { before: Math.floor(total / 2), after: Math.ceil(total / 2) };
    });
  }
  if (typeof padding === 'string' && padding !== 'valid') {
    throw optionError(op, "padding: 'same', 'valid' or numbers", JSON.stringify(padding), 'choose one of these');
  }
  const list = perAxis(op, 'padding', padding === 'valid' ? 0 : padding, sizes.length, 0);
  return list.map((n) => ({ before: n, after: n }));
}

/** Windows along the axes of `sizes`. Throws E_SHAPE where not one fits, E_OPTION for bad settings. */
export function placeWindows(
  op: string,
  sizes: readonly number[],
  kernel: readonly number[],
  settings: { stride?: unknown; padding?: Padding | undefined; dilation?: unknown },
): Windows[] {
  const stride = perAxis(op, 'stride', settings.stride ?? 1, sizes.length, 1);
  const dilation = perAxis(op, 'dilation', settings.dilation ?? 1, sizes.length, 1);
  const pads = resolvePadding(op, settings.padding ?? 'valid', sizes, kernel, stride, dilation);
  return sizes.map((size, d) => {
    const { before, after } = pads[d];
    const room = size + before + after - span(kernel[d], dilation[d]);
    if (room < 0) {
      throw shapeError(
        op,
        `images of at least ${kernel.map((k, i) => span(k, dilation[i]) - pads[i].before - pads[i].after).join(' x ')}`,
        `${sizes.join(' x ')} for a window of ${kernel.join(' x ')}`,
        "choose a smaller window, or padding: 'same'",
      );
    }
    const out = Math.floor(room / stride[d]) + 1;
    return { size, window: kernel[d], stride: stride[d], dilation: dilation[d], before, after, out };
  });
}

/**
 * `x` as [rows, ...axes, channels]; a tensor without the channel axis is one channel. Throws E_SHAPE for another rank, with what
 * to do about flat rows.
 */
export function withChannels(op: string, x: Tensor, axes: number): Tensor {
  if (x.shape.length === axes + 2) return x;
  if (x.shape.length === axes + 1) return reshape(x, [...x.shape, 1]);
  const names = axes === 1 ? 'length' : 'height, width';
  const example = axes === 1 ? '[100, 3]' : '[28, 28, 1]';
  const fix =
    x.shape.length === 2
      ? `give rows their shape first, as in reshape(${example})`
      : `reshape x to [rows, ${names}, channels]`;
  throw shapeError(op, `an input [rows, ${names}, channels] or [rows, ${names}]`, showShape(x.shape), fix);
}

/** [rows, length, channels] as images of height 1: one dimension is two with one row. */
export function asFlatImages(x: Tensor): Tensor {
  const [rows, length, channels] = x.shape;
  return reshape(x, [rows, 1, length, channels]);
}

export function fromFlatImages(x: Tensor): Tensor {
  const [rows, , length, channels] = x.shape;
  return reshape(x, [rows, length, channels]);
}

/** Height, width and channels of images. */
export function imageSize(shape: Shape): { rows: number; height: number; width: number; channels: number } {
  const [rows, height, width, channels] = shape;
  return { rows, height, width, channels };
}
