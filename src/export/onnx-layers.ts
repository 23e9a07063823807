/** How the fused ops of layers are written in ONNX: convolution, pooling, normalisation, attention. Images are NHWC here, NCHW there. */
import { numberAttr, numbersAttr } from '../graph/build.ts';
import type { OnnxGraph } from './onnx-graph.ts';
import { fixed, type Lower, type Site } from './onnx-op.ts';
import { inputShape } from './onnx-ops.ts';
import { type Dim, int, TYPE } from './onnx-proto.ts';

const toChannelsFirst = (g: OnnxGraph, x: string): string => g.transpose(x, [0, 3, 1, 2]);
const toChannelsLast = (g: OnnxGraph, x: string): string => g.transpose(x, [0, 2, 3, 1]);
/** [height, width, inputs, filters] -> [filters, inputs, height, width]. */
const filtersFirst = (g: OnnxGraph, weight: string): string => g.transpose(weight, [3, 2, 0, 1]);

function windowAttributes({ node: { attrs } }: Site) {
  return {
    kernel_shape: numbersAttr(attrs, 'window'),
    strides: numbersAttr(attrs, 'stride'),
    dilations: numbersAttr(attrs, 'dilation'),
    group: int(numberAttr(attrs, 'groups')),
  };
}

const conv2d: Lower = (site, g) => {
  const attributes = { ...windowAttributes(site), pads: numbersAttr(site.node.attrs, 'pads') };
  const x = toChannelsFirst(g, site.input(0));
  return toChannelsLast(g, g.node('Conv', [x, filtersFirst(g, site.input(1))], attributes));
};

/** The gradient of a convolution's input, as which transposed convolution is computed. */
const convTranspose2d: Lower = (site, g) => {
  const { attrs } = site.node;
  const [image, out, window, stride, dilation, pads] = ['image', 'out', 'window', 'stride', 'dilation', 'pads'].map(
    (name) => numbersAttr(attrs, name),
  );
  const outputPadding = image.map(
    (size, d) => size + pads[d] + pads[d + 2] - ((out[d] - 1) * stride[d] + (window[d] - 1) * dilation[d] + 1),
  );
  const attributes = { ...windowAttributes(site), pads, output_padding: outputPadding };
  const x = toChannelsFirst(g, site.input(0));
  return toChannelsLast(g, g.node('ConvTranspose', [x, filtersFirst(g, site.input(1))], attributes));
};

const pool =
  (op: 'MaxPool' | 'AveragePool'): Lower =>
  ({ node: { attrs }, input }, g) => {
    const [image, out, window, stride, before] = ['image', 'out', 'window', 'stride', 'pads'].map((name) =>
      numbersAttr(attrs, name),
    );
    const after = image.map((size, d) => Math.max(0, (out[d] - 1) * stride[d] + window[d] - before[d] - size));
    const attributes = { kernel_shape: window, strides: stride, pads: [...before, ...after] };
    const counted = op === 'AveragePool' ? { ...attributes, count_include_pad: int(0) } : attributes;
    return toChannelsLast(g, g.node(op, [toChannelsFirst(g, input(0))], counted));
  };

/** Inputs: x, its statistics (which ONNX computes itself), weight and bias where there are some. */
const normalize: Lower = ({ node, input }, g) => {
  const { attrs } = node;
  const [epsilon, columns] = [numberAttr(attrs, 'epsilon'), node.shape[node.shape.length - 1]];
  const axis = node.shape.length - 1;
  const weight = attrs.weighted === true ? input(2) : undefined;
  const bias = attrs.biased === true ? input(attrs.weighted === true ? 3 : 2) : undefined;
  if (numberAttr(attrs, 'centre') === 1) {
    const scale = weight ?? g.floats(new Array<number>(columns).fill(1));
    const inputs = bias === undefined ? [input(0), scale] : [input(0), scale, bias];
    return g.node('LayerNormalization', inputs, { axis: int(axis), epsilon });
  }
  const x = input(0);
  const squares = g.node('ReduceMean', [g.node('Mul', [x, x])], { axes: [axis], keepdims: int(1) });
  const unit = g.node('Div', [x, g.node('Sqrt', [g.node('Add', [squares, g.scalar(epsilon)])])]);
  const scaled = weight === undefined ? unit : g.node('Mul', [unit, weight]);
  return bias === undefined ? scaled : g.node('Add', [scaled, bias]);
};

/** Inputs: x, weight, bias, running mean and running variance, one number a channel. */
const batchNorm: Lower = ({ node, input }, g) => {
  const [axis, epsilon] = [numberAttr(node.attrs, 'axis'), numberAttr(node.attrs, 'epsilon')];
  const behind = node.shape.slice(axis + 1).map(() => 1);
  const channels = node.shape[axis];
  const [weight, bias, mean, variance] = [1, 2, 3, 4].map((i) => g.reshape(input(i), [channels, ...behind]));
  const deviation = g.node('Sqrt', [g.node('Add', [variance, g.scalar(epsilon)])]);
  const unit = g.node('Div', [g.node('Sub', [input(0), mean]), deviation]);
  return g.node('Add', [g.node('Mul', [unit, weight]), bias]);
};

/** A score that no softmax sees. */
const HIDDEN = -1e30;

/** Inputs: qkv, or query and kv; then the attention weights, of which the mask is taken. */
const attention: Lower = (site, g) => {
  const { attrs } = site.node;
  const packed = numberAttr(attrs, 'packed') === 1 ? 1 : 2;
  const heads = numberAttr(attrs, 'heads');
  const [rows, queries, columns] = inputShape(site, 0);
  const keys = packed === 1 ? queries : inputShape(site, 1)[1];
  const width = fixed(columns, site) / (packed === 1 ? 3 : 1);
  const size = width / heads;
  /** Columns `part` of input i as [rows, heads, positions, size]. */
  const part = (i: number, at: number, positions: Dim, order: readonly number[]): string => {
    const whole = packed === 2 && i === 0;
    const own = whole ? site.input(i) : g.slice(site.input(i), 2, at * width, (at + 1) * width);
    return g.transpose(g.reshape(own, [rows, positions, heads, size]), order);
  };
  const [keyAt, valueAt] = packed === 1 ? [1, 2] : [0, 1];
  const q = part(0, 0, queries, [0, 2, 1, 3]);
  const k = part(packed - 1, keyAt, keys, [0, 2, 3, 1]);
  const v = part(packed - 1, valueAt, keys, [0, 2, 1, 3]);
  let weights = g.node('Mul', [g.node('MatMul', [q, k]), g.scalar(1 / Math.sqrt(size))]);
  const seen = visibleKeys(site, g, packed, [rows, queries, keys]);
  if (seen !== undefined) weights = g.node('Where', [seen, weights, g.scalar(HIDDEN)]);
  weights = g.node('Softmax', [weights], { axis: int(3) });
  // A query that sees no key gets 0.
  if (seen !== undefined) weights = g.node('Where', [seen, weights, g.scalar(0)]);
  const values = g.transpose(g.node('MatMul', [weights, v]), [0, 2, 1, 3]);
  return g.reshape(values, [rows, queries, width]);
};

/** What broadcasts to [rows, heads, queries, keys] as truth values; undefined: all. */
function visibleKeys(site: Site, g: OnnxGraph, packed: number, sizes: readonly Dim[]): string | undefined {
  const [rows, queries, keys] = sizes;
  const weights = site.from(packed);
  const bool = { to: int(TYPE.bool) };
  let seen: string | undefined;
  if (site.node.attrs.causal === true) {
    const [m, n] = [fixed(queries, site), fixed(keys, site)];
    const triangle = Array.from({ length: m * n }, (_, i) => Number(i % n <= Math.floor(i / n)));
    seen = g.node('Cast', [g.int32(triangle, [m, n])], bool);
  }
  if (weights.node.attrs.masked !== true) return seen;
  const mask = g.node('Cast', [g.reshape(weights.input(packed), [rows, 1, 1, keys])], bool);
  return seen === undefined ? mask : g.node('And', [seen, mask]);
}

export const LAYER_OPS: Readonly<Record<string, Lower>> = {
  conv2d,
  conv2dGradInput: convTranspose2d,
  maxPool: pool('MaxPool'),
  avgPool: pool('AveragePool'),
  normalize,
  batchNormInference: batchNorm,
  attention,
};
