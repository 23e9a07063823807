import { createNode, numbersAttr, optionError, requireF32, showShape, stringAttr } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Attrs, Shape, Tensor } from '../tensor.ts';
import { ACTIVATION_OPS } from './activation.ts';
import type { Padding } from './windows.ts';
import { asFlatImages, fromFlatImages, imageSize, perAxis, placeWindows, withChannels } from './windows.ts';

export interface Pool1dOptions {
  /** Elements from one window to the next. Default: the size of the window. */
  readonly stride?: number;
  /** Default 'valid'. What a window covers beside the image does not exist: it is in no maximum and no mean. */
  readonly padding?: 'same' | 'valid' | number;
}

export interface Pool2dOptions {
  /** Elements from one window to the next, or [down, right]. Default: the size of the window. */
  readonly stride?: number | readonly number[];
  /** Default 'valid'. What a window covers beside the image does not exist: it is in no maximum and no mean. */
  readonly padding?: Padding;
}

/** Attributes: image [height, width], window, stride, pads (top, left), out [height, width] of the pooled image. */
function geometryOf(attrs: Attrs, channels: number): number[] {
  const list = (name: string): readonly number[] => numbersAttr(attrs, name);
  return [...list('image'), channels, ...list('out'), ...list('window'), ...list('stride'), ...list('pads')];
}

/**
 * Height and width of an attribute, after a check that all inputs are images of its other sizes and that every window has an
 * element: models are also read from files.
 */
function sized(inputs: readonly Tensor[], attrs: Attrs, gives: 'out' | 'image', pooled: number): Shape {
  const geometry = geometryOf(attrs, 1);
  const [image, out, window, stride, pads] = ['image', 'out', 'window', 'stride', 'pads'].map((n) =>
    numbersAttr(attrs, n),
  );
  const [rows, , , channels] = inputs[0].shape;
  const shape = (size: readonly number[]): Shape => [rows, size[0], size[1], channels];
  const whole = geometry.length === 11 && [image, out, window, stride, pads].every((pair) => pair.length === 2);
  const fits = [0, 1].every((d) => pads[d] < window[d] && (out[d] - 1) * stride[d] - pads[d] < image[d]);
  const positive = geometry.every((n, i) => Number.isInteger(n) && n >= (i < 9 ? 1 : 0));
  const agree = inputs.every((x, i) => showShape(x.shape) === showShape(shape(i === pooled ? out : image)));
  if (!whole || !positive || !fits || !agree) throw new TypeError('pooling: attributes that do not fit');
  return shape(gives === 'out' ? out : image);
}

/** `pooled` is the input that is a pooled image already (-1: none). */
function poolOp(
  name: 'maxPool' | 'maxPoolPick' | 'maxPoolGrad' | 'avgPool' | 'avgPoolGrad',
  gives: 'out' | 'image',
  pooled: number,
  gradient: NonNullable<OpDef['gradient']>,
): OpDef {
  return {
    name,
    infer(inputs, attrs) {
      requireF32(name, inputs);
      return { shape: sized(inputs, attrs, gives, pooled), dtype: 'f32' };
    },
    gradient,
    rows: [0, 1],
    lower(node, l) {
      const operands = node.inputs.map((_, i) => l.input(i));
      const { rows, channels } = imageSize(node.shape);
      l.call(name, l.out, ...operands, rows, l.table(geometryOf(node.attrs, channels)));
    },
  };
}

const maxPoolOp: OpDef = poolOp('maxPool', 'out', -1, (node, up) => [
  createNode(maxPoolGradOp, [node.inputs[0], up], node.attrs),
]);
// Where the maxima are does not change with x, but for jumps: no gradient to x.
const maxPoolGradOp: OpDef = poolOp('maxPoolGrad', 'image', 1, (node, up) => [
  undefined,
  createNode(maxPoolPickOp, [node.inputs[0], up], node.attrs),
]);
const maxPoolPickOp: OpDef = poolOp('maxPoolPick', 'out', -1, (node, up) => [
  undefined,
  createNode(maxPoolGradOp, [node.inputs[0], up], node.attrs),
]);
const avgPoolOp: OpDef = poolOp('avgPool', 'out', -1, (node, up) => [createNode(avgPoolGradOp, [up], node.attrs)]);
const avgPoolGradOp: OpDef = poolOp('avgPoolGrad', 'image', 0, (node, up) => [createNode(avgPoolOp, [up], node.attrs)]);

export const POOLING_OPS: readonly OpDef[] = [maxPoolOp, maxPoolPickOp, maxPoolGradOp, avgPoolOp, avgPoolGradOp];

function pool2d(def: OpDef, label: string, x: Tensor, size: unknown, options: Pool2dOptions): Tensor {
  requireF32(label, [x]);
  const images = withChannels(label, x, 2);
  const window = perAxis(label, 'size', size, 2, 1);
  const { height, width } = imageSize(images.shape);
  const axes = placeWindows(label, [height, width], window, { ...options, stride: options.stride ?? window });
  for (const { before, window: length } of axes) {
    if (before < length) continue;
    throw optionError(label, `padding below the size ${length} of the window`, before, 'every window needs an element');
  }
  return createNode(def, [images], {
    image: [height, width],
    window,
    stride: axes.map((axis) => axis.stride),
    pads: axes.map((axis) => axis.before),
    out: axes.map((axis) => axis.out),
  });
}

/** The same along one axis: images of height 1. */
function pool1d(
  pool: (x: Tensor, size: readonly number[], options: Pool2dOptions) => Tensor,
  label: string,
  x: Tensor,
  size: number,
  { stride = size, padding }: Pool1dOptions,
): Tensor {
  const images = asFlatImages(withChannels(label, x, 1));
  const [window] = perAxis(label, 'size', size, 1, 1);
  const [step] = perAxis(label, 'stride', stride, 1, 1);
  const wide = typeof padding === 'number' ? [0, padding] : padding;
  return fromFlatImages(pool(images, [1, window], { stride: [1, step], ...(wide !== undefined && { padding: wide }) }));
}

/** Activations that never fall, rounded or not: the maximum may be taken before them. */
const RISING: readonly string[] = ['linear', 'relu', 'leakyRelu'];

function risingActivation(x: Tensor): OpDef | undefined {
  if (x.shape.length !== 4) return undefined;
  const name = x.op === 'biasActivation' ? stringAttr(x.attrs, 'activation') : x.op;
  return RISING.includes(name) ? ACTIVATION_OPS.find((def) => def.name === x.op) : undefined;
}

/**
 * Largest element of each window, by channel: x [rows, height, width, channels] (or [rows, height, width]: one channel) ->
 * [rows, out height, out width, channels]; `size` is a number or [height, width]. The first of equal elements gets the gradient.
 * Throws E_SHAPE, E_OPTION.
 *
 * max(relu(x + bias)) = relu(max(x) + bias), to the bit: after a layer with such an activation the maximum is taken first, and
 * bias and activation have a fraction of the elements to work on.
 */
export function maxPool2d(x: Tensor, size: number | readonly number[], options: Pool2dOptions = {}): Tensor {
  const rising = risingActivation(x);
  if (rising === undefined) return pool2d(maxPoolOp, 'maxPool2d', x, size, options);
  const [z, ...bias] = x.inputs;
  return createNode(rising, [pool2d(maxPoolOp, 'maxPool2d', z, size, options), ...bias], x.attrs);
}

/** Mean of each window, by channel, over the elements that lie in the image; else as maxPool2d. */
export function avgPool2d(x: Tensor, size: number | readonly number[], options: Pool2dOptions = {}): Tensor {
  return pool2d(avgPoolOp, 'avgPool2d', x, size, options);
}

/** maxPool2d along one axis: x [rows, length, channels] (or [rows, length]) -> [rows, out length, channels]. */
export function maxPool1d(x: Tensor, size: number, options: Pool1dOptions = {}): Tensor {
  return pool1d(maxPool2d, 'maxPool1d', x, size, options);
}

/** avgPool2d along one axis: x [rows, length, channels] (or [rows, length]) -> [rows, out length, channels]. */
export function avgPool1d(x: Tensor, size: number, options: Pool1dOptions = {}): Tensor {
  return pool1d(avgPool2d, 'avgPool1d', x, size, options);
}
