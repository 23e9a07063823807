import { createNode, numberAttr, optionError, requireF32 } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { div, mul } from './binary.ts';
import { equal } from './compare.ts';
import { constant, uniformValue } from './leaf.ts';

type UnaryName =
  | ('neg' | 'exp' | 'log' | 'sqrt' | 'abs' | 'square' | 'reciprocal' | 'sign' | 'floor' | 'sin' | 'cos' | 'erf')
  | ('scale' | 'addScalar' | 'powScalar');

function unaryOp(name: UnaryName, gradient?: (x: Tensor, up: Tensor, y: Tensor, alpha: number) => Tensor): OpDef {
  return {
    name,
    infer(inputs) {
      requireF32(name, inputs);
      return { shape: inputs[0].shape, dtype: 'f32' };
    },
    ...(gradient && {
      gradient: (node: Tensor, up: Tensor) => [gradient(node.inputs[0], up, node, numberAttr(node.attrs, 'alpha'))],
    }),
    lower: (node, l) => l.call(name, l.out, l.input(0), sizeOf(node.shape), numberAttr(node.attrs, 'alpha')),
    inPlace: [0],
  };
}

const negOp = unaryOp('neg', (_x, up) => neg(up));
const expOp = unaryOp('exp', (_x, up, y) => mul(up, y));
const logOp = unaryOp('log', (x, up) => div(up, x));
const sqrtOp = unaryOp('sqrt', (_x, up, y) => scale(div(up, y), 0.5));
const absOp = unaryOp('abs', (x, up) => mul(up, sign(x)));
const squareOp = unaryOp('square', (x, up) => mul(up, scale(x, 2)));
const reciprocalOp = unaryOp('reciprocal', (_x, up, y) => neg(mul(up, square(y))));
const signOp = unaryOp('sign');
const floorOp = unaryOp('floor');
const sinOp = unaryOp('sin', (x, up) => mul(up, cos(x)));
const cosOp = unaryOp('cos', (x, up) => neg(mul(up, sin(x))));
const erfOp = unaryOp('erf', (x, up) => mul(up, scale(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))));
const scaleOp = unaryOp('scale', (_x, up, _y, alpha) => scale(up, alpha));
const addScalarOp = unaryOp('addScalar', (_x, up) => up);
const powScalarOp = unaryOp('powScalar', (x, up, _y, alpha) => mul(up, scale(powScalar(x, alpha - 1), alpha)));

const clampOp: OpDef = {
  name: 'clamp',
  infer(inputs) {
    requireF32('clamp', inputs);
    return { shape: inputs[0].shape, dtype: 'f32' };
  },
  // Gradient 1 inside and on the limits: exactly where clamping changed nothing.
  gradient: (node, up) => [mul(up, equal(node.inputs[0], node))],
  lower(node, l) {
    const [low, high] = [numberAttr(node.attrs, 'low'), numberAttr(node.attrs, 'high')];
    l.call('clamp', l.out, l.input(0), sizeOf(node.shape), low, high);
  },
  inPlace: [0],
};

export const UNARY_OPS: readonly OpDef[] = [
  negOp, expOp, logOp, sqrtOp, absOp, squareOp, reciprocalOp, signOp, floorOp, sinOp, cosOp, erfOp,
  scaleOp, addScalarOp, powScalarOp, clampOp,
]; // biome-ignore format: a table

const unary = (def: OpDef, x: Tensor, alpha = 0): Tensor => createNode(def, [x], { alpha });

/** x * factor. Scales of scales and of uniform constants, which gradients of means are made of, become one number. */
export function scale(x: Tensor, factor: number): Tensor {
  const value = uniformValue(x);
  if (value !== undefined) return constant(value * factor, x.shape);
  const total = x.op === 'scale' ? numberAttr(x.attrs, 'alpha') * factor : factor;
  const source = x.op === 'scale' ? x.inputs[0] : x;
  return total === 1 ? source : unary(scaleOp, source, total);
}

/** x + term. */
export function addScalar(x: Tensor, term: number): Tensor {
  return term === 0 ? x : unary(addScalarOp, x, term);
}

/** x to a constant power. */
export function powScalar(x: Tensor, exponent: number): Tensor {
  if (exponent === 1) return x;
  if (exponent === 2) return square(x);
  return unary(powScalarOp, x, exponent);
}

export function neg(x: Tensor): Tensor {
  return unary(negOp, x);
}
export function exp(x: Tensor): Tensor {
  return unary(expOp, x);
}
/** Natural logarithm. */
export function log(x: Tensor): Tensor {
  return unary(logOp, x);
}
export function sqrt(x: Tensor): Tensor {
  return unary(sqrtOp, x);
}
/** |x|; the gradient at 0 is 0. */
export function abs(x: Tensor): Tensor {
  return unary(absOp, x);
}
export function square(x: Tensor): Tensor {
  return unary(squareOp, x);
}
/** 1 / x. */
export function reciprocal(x: Tensor): Tensor {
  return unary(reciprocalOp, x);
}
/** -1, 0 or 1; no gradient. */
export function sign(x: Tensor): Tensor {
  return unary(signOp, x);
}
/** Largest integer not above x; no gradient. */
export function floor(x: Tensor): Tensor {
  return unary(floorOp, x);
}
export function sin(x: Tensor): Tensor {
  return unary(sinOp, x);
}
export function cos(x: Tensor): Tensor {
  return unary(cosOp, x);
}
/** The error function. */
export function erf(x: Tensor): Tensor {
  return unary(erfOp, x);
}

/** min(max(x, low), high); the gradient passes inside and on the limits. Throws E_OPTION unless low <= high. */
export function clamp(x: Tensor, low: number, high: number): Tensor {
  if (!(low <= high)) throw optionError('clamp', 'low <= high', `${low}, ${high}`, 'exchange the limits');
  return createNode(clampOp, [x], { low, high });
}
