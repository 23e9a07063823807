import { createNode, numberAttr, numbersAttr, optionError, requireF32, shapeError, showShape } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Attrs, Shape, Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import type { Convolution } from './convolution-lowering.ts';
import {
  convolutionParts,
  imagesOfChunk,
  lowerConvolution,
  lowerGradInput,
  lowerGradWeight,
} from './convolution-lowering.ts';
import { reshape } from './shape.ts';
import type { Padding } from './windows.ts';
import { asFlatImages, fromFlatImages, imageSize, perAxis, placeWindows, span, withChannels } from './windows.ts';

export interface Conv2dOptions {
  /** Pixels from one window to the next, or [down, right]. Default 1. */
  readonly stride?: number | readonly number[];
  /** Zeros beside the image. Default 'valid': none. */
  readonly padding?: Padding;
  /** Pixels from one element of a window to the next, or [down, right]. Default 1. */
  readonly dilation?: number | readonly number[];
  /** Channels are cut into so many groups, each with filters of its own. Default 1. */
  readonly groups?: number;
}

export interface Conv1dOptions {
  readonly stride?: number;
  readonly padding?: 'same' | 'valid' | number;
  readonly dilation?: number;
  readonly groups?: number;
}

export interface ConvTranspose2dOptions extends Conv2dOptions {
  /** Further rows and columns at the end, below the stride: they say which of several sizes is meant. Default 0. */
  readonly outputPadding?: number | readonly number[];
}

/**
 * Attributes of all three ops: image [height, width], window, stride, dilation, pads, out, groups. They agree with one another and with
 * the tensors, or nothing is computed: models are also read from files.
 */
function convolutionOf(attrs: Attrs, x: Shape, weight: Shape, y: Shape): Convolution {
  const [rows, height, width, channels] = x;
  const list = (name: string, count: number, least: number): readonly number[] => {
    const values = numbersAttr(attrs, name);
    if (values.length === count && values.every((n) => Number.isInteger(n) && n >= least)) return values;
    throw new TypeError(`convolution: ${name} is no list of ${count} sizes`);
  };
  const [window, stride, dilation] = ['window', 'stride', 'dilation'].map((name) => list(name, 2, 1));
  const [image, out, pads] = [list('image', 2, 1), list('out', 2, 1), list('pads', 4, 0)];
  const groups = numberAttr(attrs, 'groups');
  const fits = [0, 1].every(
    (d) => (out[d] - 1) * stride[d] + span(window[d], dilation[d]) <= image[d] + pads[d] + pads[d + 2],
  );
  const filters = y[3];
  const shapes = [
    [x, [y[0], ...image, weight[2] * groups]],
    [weight, [...window, channels / groups, filters]],
    [y, [rows, ...out, (filters / groups) * groups]],
  ];
  const whole = Number.isInteger(groups) && groups >= 1 && filters % groups === 0;
  if (!fits || !whole || !shapes.every(([a, b]) => showShape(a) === showShape(b))) {
    throw new TypeError(
      `convolution: attributes that do not fit ${showShape(x)}, ${showShape(weight)}, ${showShape(y)}`,
    );
  }
  return { rows, height, width, channels, filters, groups, window, stride, dilation, pads, out };
}

/** Multiply-adds counted as 2, the same for the product and for both of its gradients. */
function convolutionFlops(c: Convolution): number {
  return 2 * c.rows * sizeOf(c.out) * c.filters * sizeOf(c.window) * (c.channels / c.groups);
}

/** y [rows, out, out, filters] = x * w. */
const conv2dOp: OpDef = {
  name: 'conv2d',
  infer(inputs, attrs) {
    requireF32('conv2d', inputs);
    const [x, w] = inputs;
    const shape = [x.shape[0], ...numbersAttr(attrs, 'out'), w.shape[3]];
    convolutionOf(attrs, x.shape, w.shape, shape);
    return { shape, dtype: 'f32' };
  },
  gradient(node, up) {
    const [x, w] = node.inputs;
    return [createNode(gradInputOp, [up, w], node.attrs), createNode(gradWeightOp, [x, up], node.attrs)];
  },
  lower: (node, l) => lowerConvolution(forwardSizes(node), l),
  rows: [0],
  tileRows: (node) => imagesOfChunk(forwardSizes(node)),
  flops: (node) => convolutionFlops(forwardSizes(node)),
};

function forwardSizes({ inputs: [x, w], attrs, shape }: Tensor): Convolution {
  return convolutionOf(attrs, x.shape, w.shape, shape);
}

/** The gradient of the images from that of the result: inputs dy, w. It is the transposed convolution, too. */
const gradInputOp: OpDef = {
  name: 'conv2dGradInput',
  infer(inputs, attrs) {
    requireF32('conv2dGradInput', inputs);
    const [dy, w] = inputs;
    const shape = [dy.shape[0], ...numbersAttr(attrs, 'image'), w.shape[2] * numberAttr(attrs, 'groups')];
    convolutionOf(attrs, shape, w.shape, dy.shape);
    return { shape, dtype: 'f32' };
  },
  gradient(node, up) {
    const [dy, w] = node.inputs;
    return [createNode(conv2dOp, [up, w], node.attrs), createNode(gradWeightOp, [up, dy], node.attrs)];
  },
  lower: (node, l) => lowerGradInput(gradInputSizes(node), l),
  rows: [0],
  tileRows: (node) => imagesOfChunk(gradInputSizes(node)),
  flops: (node) => convolutionFlops(gradInputSizes(node)),
};

function gradInputSizes({ inputs: [dy, w], attrs, shape }: Tensor): Convolution {
  return convolutionOf(attrs, shape, w.shape, dy.shape);
}

/** The gradient of the weights: inputs x, dy. */
const gradWeightOp: OpDef = {
  name: 'conv2dGradWeight',
  infer(inputs, attrs) {
    requireF32('conv2dGradWeight', inputs);
    const [x, dy] = inputs;
    const shape = [...numbersAttr(attrs, 'window'), x.shape[3] / numberAttr(attrs, 'groups'), dy.shape[3]];
    convolutionOf(attrs, x.shape, shape, dy.shape);
    return { shape, dtype: 'f32' };
  },
  gradient(node, up) {
    const [x, dy] = node.inputs;
    return [createNode(gradInputOp, [dy, up], node.attrs), createNode(conv2dOp, [x, up], node.attrs)];
  },
  lower: (node, l) => lowerGradWeight(gradWeightSizes(node), l),
  rows: [0, 1],
  adds: true,
  tileRows: (node) => imagesOfChunk(gradWeightSizes(node)),
  flops: (node) => convolutionFlops(gradWeightSizes(node)),
};

function gradWeightSizes({ inputs: [x, dy], attrs, shape }: Tensor): Convolution {
  return convolutionOf(attrs, x.shape, shape, dy.shape);
}

/** About as many kernel calls as a convolution of the graph becomes. */
export function convolutionCalls(node: Tensor): number {
  return convolutionParts(node.op === 'conv2d' ? forwardSizes(node) : gradInputSizes(node));
}

export const CONVOLUTION_OPS: readonly OpDef[] = [conv2dOp, gradInputOp, gradWeightOp];

function checkWeight(op: string, weight: Tensor, groups: number, channels: number, layout: string): void {
  const [, , inner, last] = weight.shape;
  const [own, all] = layout.endsWith('in]') ? [last, inner * groups] : [inner * groups, last];
  if (weight.shape.length !== 4 || own !== channels || all % groups !== 0 || channels % groups !== 0) {
    const of = groups === 1 ? '' : ` in ${groups} groups that divide channels and filters`;
    throw shapeError(
      op,
      `a weight ${layout} for ${channels} channels${of}`,
      showShape(weight.shape),
      'make the weight agree with the channels of x',
    );
  }
}

/**
 * Convolution of images (cross-correlation, as everywhere in deep learning): x [rows, height, width, channels] (or [rows, height,
 * width]: one channel), weight [window height, window width, channels / groups, filters] -> [rows, out height, out width, filters].
 * Throws E_SHAPE, E_OPTION.
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions = {}): Tensor {
  requireF32('conv2d', [x, weight]);
  const images = withChannels('conv2d', x, 2);
  const [groups] = perAxis('conv2d', 'groups', options.groups ?? 1, 1, 1);
  const { height, width, channels } = imageSize(images.shape);
  checkWeight('conv2d', weight, groups, channels, '[height, width, channels / groups, filters]');
  const axes = placeWindows('conv2d', [height, width], weight.shape.slice(0, 2), options);
  return createNode(conv2dOp, [images, weight], {
    image: [height, width],
    window: weight.shape.slice(0, 2),
    stride: axes.map((axis) => axis.stride),
    dilation: axes.map((axis) => axis.dilation),
    pads: [...axes.map((axis) => axis.before), ...axes.map((axis) => axis.after)],
    out: axes.map((axis) => axis.out),
    groups,
  });
}

/**
 * conv2d along one axis: x [rows, length, channels] (or [rows, length]), weight [window, channels / groups, filters] -> [rows, out
 * length, filters].
 */
export function conv1d(x: Tensor, weight: Tensor, options: Conv1dOptions = {}): Tensor {
  const { stride = 1, padding = 'valid', dilation = 1, groups = 1 } = options;
  const images = asFlatImages(withChannels('conv1d', x, 1));
  if (weight.shape.length !== 3) {
    const expected = 'a weight [window, channels / groups, filters]';
    throw shapeError('conv1d', expected, showShape(weight.shape), 'make the weight agree with the channels of x');
  }
  const [step] = perAxis('conv1d', 'stride', stride, 1, 1);
  const [spread] = perAxis('conv1d', 'dilation', dilation, 1, 1);
  const wide = {
    stride: [1, step],
    padding: typeof padding === 'number' ? [0, padding] : padding,
    dilation: [1, spread],
    groups,
  };
  return fromFlatImages(conv2d(images, reshape(weight, [1, ...weight.shape]), wide));
}

/**
 * Transposed convolution, the gradient of conv2d with respect to its images: x [rows, height, width, channels], weight [window height,
 * window width, filters / groups, channels] -> [rows, out height, out width, filters], with out = (size - 1) * stride - 2 * padding
 * + dilation * (window - 1) + 1 + outputPadding, or size * stride for padding 'same'. Throws E_SHAPE, E_OPTION.
 */
export function convTranspose2d(x: Tensor, weight: Tensor, options: ConvTranspose2dOptions = {}): Tensor {
  const op = 'convTranspose2d';
  requireF32(op, [x, weight]);
  const images = withChannels(op, x, 2);
  const [groups] = perAxis(op, 'groups', options.groups ?? 1, 1, 1);
  const { height, width, channels } = imageSize(images.shape);
  checkWeight(op, weight, groups, channels, '[height, width, filters / groups, in]');
  const window = weight.shape.slice(0, 2);
  const stride = perAxis(op, 'stride', options.stride ?? 1, 2, 1);
  const dilation = perAxis(op, 'dilation', options.dilation ?? 1, 2, 1);
  const extra = perAxis(op, 'outputPadding', options.outputPadding ?? 0, 2, 0);
  const pads = transposedPads(options.padding ?? 'valid', window, stride, dilation);
  const image = [height, width].map((size, d) => {
    if (extra[d] >= Math.max(stride[d], dilation[d])) {
      throw optionError(op, `outputPadding below the stride ${stride[d]}`, extra[d], 'give less, or pad afterwards');
    }
    const reach = (size - 1) * stride[d] + span(window[d], dilation[d]) - pads[d] - pads[d + 2];
    const out = (options.padding === 'same' ? size * stride[d] : reach) + extra[d];
    if (out >= 1) return out;
    throw optionError(op, 'padding that leaves something', options.padding, 'choose less padding');
  });
  return createNode(gradInputOp, [images, weight], {
    image, window, stride, dilation, pads, out: [height, width], groups,
  }); // biome-ignore format: attributes
}

/** Top, left, bottom, right that the convolution, whose gradient this is, had. */
function transposedPads(
  padding: Padding,
  window: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
): number[] {
  if (padding === 'same') {
    const total = window.map((n, d) => Math.max(span(n, dilation[d]) - stride[d], 0));
    return [...total.map((n) => Math.floor(n / 2)), ...total.map((n) => Math.ceil(n / 2))];
  }
  const list = perAxis('convTranspose2d', 'padding', padding === 'valid' ? 0 : padding, 2, 0);
  return [...list, ...list];
}
