import type { KernelName } from '../../kernels/table.ts';
import { createNode, requireF32, showShape } from '../build.ts';
import type { Lowering, OpDef } from '../op.ts';
import type { Ref } from '../program.ts';
import type { DType, Shape, Tensor } from '../tensor.ts';
import { compareOp } from './compare.ts';
import { constant, uniformValue } from './leaf.ts';
import { sumTo } from './reduce.ts';
import { where } from './select.ts';
import { broadcastShapes, lowerExpanded } from './strides.ts';
import { addScalar, log, neg, powScalar, scale } from './unary.ts';

/** A tensor, or a number that stands for a constant of shape []. */
export type Value = Tensor | number;

export function asTensor(x: Value): Tensor {
  return typeof x === 'number' ? constant(x) : x;
}

export function inferBinary(name: string, inputs: readonly Tensor[]): { shape: Shape; dtype: DType } {
  requireF32(name, inputs);
  return { shape: broadcastShapes(name, inputs[0].shape, inputs[1].shape), dtype: 'f32' };
}

interface GridAxis {
  size: number;
  a: number;
  b: number;
}

/** The fewest axes that describe both operands over `target`; strides in elements. */
function gridAxes(a: Shape, b: Shape, target: Shape): GridAxis[] {
  const axes: GridAxis[] = [];
  let [strideA, strideB] = [1, 1];
  for (let d = 1; d <= target.length; d++) {
    const size = target[target.length - d];
    if (size === 1) continue;
    const stretchedA = (a[a.length - d] ?? 1) === 1;
    const stretchedB = (b[b.length - d] ?? 1) === 1;
    const inner = axes[0];
    if (inner !== undefined && (inner.a === 0) === stretchedA && (inner.b === 0) === stretchedB) inner.size *= size;
    else axes.unshift({ size, a: stretchedA ? 0 : strideA, b: stretchedB ? 0 : strideB });
    if (!stretchedA) strideA *= size;
    if (!stretchedB) strideB *= size;
  }
  return axes;
}

/** One call of a BinaryKernel; operands that no two strides describe are expanded into scratch first. */
export function lowerBinary(kernel: KernelName, node: Tensor, l: Lowering): void {
  let [a, b] = [node.inputs[0].shape, node.inputs[1].shape];
  let [refA, refB]: [Ref, Ref] = [l.input(0), l.input(1)];
  let axes = gridAxes(a, b, node.shape);
  if (axes.length > 2) {
    refB = lowerExpanded(l, refB, b, node.shape);
    b = node.shape;
    axes = gridAxes(a, b, node.shape);
  }
  if (axes.length > 2) {
    refA = lowerExpanded(l, refA, a, node.shape);
    a = node.shape;
    axes = gridAxes(a, b, node.shape);
  }
  const one: GridAxis = { size: 1, a: 0, b: 0 };
  const inner = axes.at(-1) ?? one;
  const outer = axes.length === 2 ? axes[0] : one;
  l.call(kernel, l.out, refA, refB, outer.size, inner.size, outer.a, inner.a, outer.b, inner.b);
}

function binaryOp(
  name: 'add' | 'sub' | 'mul' | 'div' | 'pow' | 'minimum' | 'maximum',
  gradient: (node: Tensor, upstream: Tensor) => [Tensor, Tensor],
): OpDef {
  return {
    name,
    infer: (inputs) => inferBinary(name, inputs),
    gradient(node, upstream) {
      return gradient(node, upstream).map((g, i) => sumTo(g, node.inputs[i].shape));
    },
    lower: (node, l) => lowerBinary(name, node, l),
    inPlace: [0, 1],
  };
}

/** Ties of minimum and maximum share the gradient. */
function extremeGradient(wins: (a: Tensor, b: Tensor) => Tensor): (node: Tensor, up: Tensor) => [Tensor, Tensor] {
  return (node, up) => {
    const [a, b] = node.inputs;
    const half = scale(createNode(compareOp('equal'), [a, b]), 0.5);
    return [mul(up, add(wins(a, b), half)), mul(up, add(wins(b, a), half))];
  };
}

const addOp = binaryOp('add', (_node, up) => [up, up]);
const subOp = binaryOp('sub', (_node, up) => [up, neg(up)]);
const mulOp = binaryOp('mul', (node, up) => [mul(up, node.inputs[1]), mul(up, node.inputs[0])]);
const divOp = binaryOp('div', (node, up) => {
  const quotient = div(up, node.inputs[1]);
  return [quotient, neg(mul(quotient, node))];
});
const powOp = binaryOp('pow', (node, up) => {
  const [a, b] = node.inputs;
  const toBase = mul(up, mul(b, pow(a, sub(b, 1))));
  // d(a^b)/db = a^b ln a exists for a > 0 only.
  const toExponent = mul(up, where(createNode(compareOp('greater'), [a, constant(0)]), mul(node, log(a)), 0));
  return [toBase, toExponent];
});
const minimumOp = binaryOp(
  'minimum',
  extremeGradient((a, b) => createNode(compareOp('less'), [a, b])),
);
const maximumOp = binaryOp(
  'maximum',
  extremeGradient((a, b) => createNode(compareOp('greater'), [a, b])),
);

export const BINARY_OPS: readonly OpDef[] = [addOp, subOp, mulOp, divOp, powOp, minimumOp, maximumOp];

/** Without a broadcastTo that the other operand's shape makes anyway. */
function unstretched(x: Tensor, other: Tensor): Tensor {
  return x.op === 'broadcastTo' && showShape(x.shape) === showShape(other.shape) ? x.inputs[0] : x;
}

export function createBinary(def: OpDef, a: Tensor, b: Tensor): Tensor {
  const right = unstretched(b, a);
  return createNode(def, [unstretched(a, right), right]);
}

/** The number that `c` holds everywhere, if `x` already has the shape of the result. */
function scalarFor(x: Tensor, c: Tensor): number | undefined {
  const value = uniformValue(c);
  if (value === undefined || x.dtype !== 'f32' || c.shape.length > x.shape.length) return undefined;
  const fits = c.shape.every((size, d) => size === 1 || size === x.shape[d + x.shape.length - c.shape.length]);
  return fits ? value : undefined;
}

/** a + b, broadcasting like NumPy. Numbers stand for scalars. Throws E_SHAPE, E_DTYPE; so do all functions here. */
export function add(a: Value, b: Value): Tensor {
  const [x, y] = [asTensor(a), asTensor(b)];
  const right = scalarFor(x, y);
  if (right !== undefined) return addScalar(x, right);
  const left = scalarFor(y, x);
  return left !== undefined ? addScalar(y, left) : createBinary(addOp, x, y);
}

/** a - b. */
export function sub(a: Value, b: Value): Tensor {
  const [x, y] = [asTensor(a), asTensor(b)];
  const right = scalarFor(x, y);
  if (right !== undefined) return addScalar(x, -right);
  const left = scalarFor(y, x);
  return left !== undefined ? addScalar(neg(y), left) : createBinary(subOp, x, y);
}

/** a * b, elementwise. */
export function mul(a: Value, b: Value): Tensor {
  const [x, y] = [asTensor(a), asTensor(b)];
  const right = scalarFor(x, y);
  if (right !== undefined) return scale(x, right);
  const left = scalarFor(y, x);
  return left !== undefined ? scale(y, left) : createBinary(mulOp, x, y);
}

/** a / b. */
export function div(a: Value, b: Value): Tensor {
  const [x, y] = [asTensor(a), asTensor(b)];
  return scalarFor(x, y) === 1 ? x : createBinary(divOp, x, y);
}

/** a to the power b. With a tensor exponent the gradient of b is taken as 0 where a <= 0. */
export function pow(a: Value, b: Value): Tensor {
  const [x, y] = [asTensor(a), asTensor(b)];
  const exponent = scalarFor(x, y);
  return exponent !== undefined ? powScalar(x, exponent) : createBinary(powOp, x, y);
}

/** The smaller of both; ties share the gradient. */
export function minimum(a: Value, b: Value): Tensor {
  return createBinary(minimumOp, asTensor(a), asTensor(b));
}

/** The larger of both; ties share the gradient. */
export function maximum(a: Value, b: Value): Tensor {
  return createBinary(maximumOp, asTensor(a), asTensor(b));
}
