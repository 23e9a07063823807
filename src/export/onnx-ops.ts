/** How each op of graph/ops is written in ONNX: those that compute elements, move or add them up. */
import { numberAttr, numbersAttr, stringAttr } from '../graph/build.ts';
import { cannotExport, type OnnxGraph } from './onnx-graph.ts';
import { dimOf, dimsOf, type Lower, type Site } from './onnx-op.ts';
import { int, TYPE } from './onnx-proto.ts';

/** An op of ONNX that takes the inputs as they are. */
const same =
  (op: string, count = 1): Lower =>
  (site, g) =>
    g.node(op, Array.from({ length: count }, (_, i) => site.input(i))); // biome-ignore format: short

const toFloat = (g: OnnxGraph, x: string): string => g.node('Cast', [x], { to: int(TYPE.float) });

/** 1 where it holds, else 0. */
const comparison =
  (op: string, negated = false): Lower =>
  (site, g) => {
    const truth = g.node(op, [site.input(0), site.input(1)]);
    return toFloat(g, negated ? g.node('Not', [truth]) : truth);
  };

const withScalar =
  (op: string): Lower =>
  ({ node, input }, g) =>
    g.node(op, [input(0), g.scalar(numberAttr(node.attrs, 'alpha'))]);

/** Activations by name; shared with biasActivation. */
const ACTIVATIONS: Readonly<Record<string, (g: OnnxGraph, x: string, alpha: number) => string>> = {
  linear: (_, x) => x,
  relu: (g, x) => g.node('Relu', [x]),
  leakyRelu: (g, x, alpha) => g.node('LeakyRelu', [x], { alpha }),
  elu: (g, x, alpha) => g.node('Elu', [x], { alpha }),
  tanh: (g, x) => g.node('Tanh', [x]),
  sigmoid: (g, x) => g.node('Sigmoid', [x]),
  softplus: (g, x) => g.node('Softplus', [x]),
  silu: (g, x) => g.node('Mul', [x, g.node('Sigmoid', [x])]),
  gelu: (g, x) => halfTimesOnePlus(g, x, g.node('Erf', [g.node('Mul', [x, g.scalar(Math.SQRT1_2)])])),
  geluTanh(g, x) {
    const cubed = g.node('Mul', [x, g.node('Mul', [x, x])]);
    const inner = g.node('Add', [x, g.node('Mul', [cubed, g.scalar(0.044715)])]);
    return halfTimesOnePlus(g, x, g.node('Tanh', [g.node('Mul', [inner, g.scalar(Math.sqrt(2 / Math.PI))])]));
  },
};

function halfTimesOnePlus(g: OnnxGraph, x: string, y: string): string {
  return g.node('Mul', [g.node('Mul', [x, g.scalar(0.5)]), g.node('Add', [y, g.scalar(1)])]);
}

const activation =
  (name: string): Lower =>
  ({ node, input }, g) =>
    ACTIVATIONS[name](g, input(0), numberAttr(node.attrs, 'alpha'));

/** Axes from..to, which vanish. ReduceSum alone has its axes as an input in this opset. */
const reduction =
  (op: string): Lower =>
  ({ node, input }, g) => {
    const [from, to] = [numberAttr(node.attrs, 'from'), numberAttr(node.attrs, 'to')];
    const axes = Array.from({ length: to - from }, (_, i) => from + i);
    if (op === 'ReduceSum') return g.node(op, [input(0), g.int64(axes)], { keepdims: int(0) });
    return g.node(op, [input(0)], { axes, keepdims: int(0) });
  };

const alongLast =
  (op: string): Lower =>
  ({ node, input }, g) =>
    g.node(op, [input(0)], { axis: int(node.shape.length - 1) });

const product: Lower = ({ node, input }, g) => {
  const [transA, transB] = [node.attrs.transA === true, node.attrs.transB === true];
  if (node.inputs.every(({ shape }) => shape.length === 2)) {
    return g.node('Gemm', [input(0), input(1)], { transA: int(Number(transA)), transB: int(Number(transB)) });
  }
  const [a, b] = [transA, transB].map((transposed, i) => {
    const rank = node.inputs[i].shape.length;
    const swapped = Array.from({ length: rank }, (_, d) => (d < rank - 2 ? d : 2 * rank - 3 - d));
    return transposed ? g.transpose(input(i), swapped) : input(i);
  });
  return g.node('MatMul', [a, b]);
};

const constant: Lower = (site, g) => {
  const { node, twin, shape } = site;
  const { value, values } = node.attrs;
  const isFixed = shape.every((dim) => typeof dim === 'number');
  if (typeof value === 'number') {
    const one = node.dtype === 'i32' ? g.int32([value], []) : g.scalar(value);
    return shape.length === 0 ? one : g.node('Expand', [one, g.sizes(shape)]);
  }
  if (!isFixed || !Array.isArray(values) || JSON.stringify(values) !== JSON.stringify(twin.attrs.values)) {
    throw cannotExport('op constant', 'the same values for any number of rows', 'others', 'make it from an input');
  }
  return node.dtype === 'i32' ? g.int32(values, node.shape) : g.floats(values, node.shape);
};

const slice: Lower = (site, g) => {
  const { node, twin, input } = site;
  const at = (name: string) => dimOf(site, numberAttr(node.attrs, name), numberAttr(twin.attrs, name));
  return g.slice(input(0), numberAttr(node.attrs, 'axis'), at('start'), at('end'));
};

const pad: Lower = ({ node, input }, g) => {
  const widths = [...numbersAttr(node.attrs, 'before'), ...numbersAttr(node.attrs, 'after')];
  const value = numberAttr(node.attrs, 'value');
  const fill = node.dtype === 'i32' ? g.int32([value], []) : g.scalar(value);
  return g.node('Pad', [input(0), g.int64(widths), fill], { mode: 'constant' });
};

const concat: Lower = ({ node, input }, g) =>
  g.node('Concat', node.inputs.map((_, i) => input(i)), { axis: int(numberAttr(node.attrs, 'axis')) }); // biome-ignore format: short

/** Attributes whose numbers may grow with the rows: their ops look at both. */
export const GROWING: Readonly<Record<string, readonly string[]>> = {
  input: ['shape'],
  constant: ['shape'],
  full: ['shape'],
  reshape: ['shape'],
  broadcastTo: ['shape'],
  slice: ['start', 'end'],
  recurrentTape: ['sizes', 'size'],
  recurrentOutput: ['sizes', 'size'],
};

export const PLAIN_OPS: Readonly<Record<string, Lower>> = {
  constant,
  full: constant,
  neg: same('Neg'),
  exp: same('Exp'),
  log: same('Log'),
  sqrt: same('Sqrt'),
  abs: same('Abs'),
  square: ({ input }, g) => g.node('Mul', [input(0), input(0)]),
  reciprocal: same('Reciprocal'),
  sign: same('Sign'),
  floor: same('Floor'),
  sin: same('Sin'),
  cos: same('Cos'),
  erf: same('Erf'),
  scale: withScalar('Mul'),
  addScalar: withScalar('Add'),
  powScalar: withScalar('Pow'),
  clamp: ({ node, input }, g) =>
    g.node('Clip', [input(0), ...['low', 'high'].map((name) => g.scalar(numberAttr(node.attrs, name)))]),
  add: same('Add', 2),
  sub: same('Sub', 2),
  mul: same('Mul', 2),
  div: same('Div', 2),
  pow: same('Pow', 2),
  minimum: same('Min', 2),
  maximum: same('Max', 2),
  equal: comparison('Equal'),
  notEqual: comparison('Equal', true),
  less: comparison('Less'),
  lessEqual: comparison('LessOrEqual'),
  greater: comparison('Greater'),
  greaterEqual: comparison('GreaterOrEqual'),
  cast: ({ input }, g) => toFloat(g, input(0)),
  where: ({ input }, g) => g.node('Where', [g.node('Cast', [input(0)], { to: int(TYPE.bool) }), input(1), input(2)]),
  ...Object.fromEntries(
    Object.keys(ACTIVATIONS)
      .filter((name) => name !== 'linear')
      .map((name) => [name, activation(name)]),
  ),
  biasActivation({ node, input }, g) {
    const z = node.inputs.length > 1 ? g.node('Add', [input(0), input(1)]) : input(0);
    return ACTIVATIONS[stringAttr(node.attrs, 'activation')](g, z, numberAttr(node.attrs, 'alpha'));
  },
  reduceSum: reduction('ReduceSum'),
  reduceMean: reduction('ReduceMean'),
  reduceMax: reduction('ReduceMax'),
  reduceMin: reduction('ReduceMin'),
  softmax: alongLast('Softmax'),
  logSoftmax: alongLast('LogSoftmax'),
  argmax({ node, input }, g) {
    const axis = int(node.inputs[0].shape.length - 1);
    return g.node('Cast', [g.node('ArgMax', [input(0)], { axis, keepdims: int(0) })], { to: int(TYPE.int32) });
  },
  reshape: ({ input, shape }, g) => g.reshape(input(0), shape),
  stopGradient: same('Identity'),
  broadcastTo: ({ input, shape }, g) => g.node('Expand', [input(0), g.sizes(shape)]),
  transpose: ({ node, input }, g) => g.transpose(input(0), numbersAttr(node.attrs, 'permutation')),
  slice,
  pad,
  concat,
  matmul: product,
  batchMatmul: product,
  gather: ({ input }, g) => g.node('Gather', [input(0), input(1)], { axis: int(0) }),
};

/** Sizes of input i. */
export function inputShape(site: Site, i: number) {
  return dimsOf(site, site.node.inputs[i].shape, site.twin.inputs[i].shape);
}
