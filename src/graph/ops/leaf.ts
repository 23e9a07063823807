import { createNode, numbersAttr, optionError, shapeError, showShape, stringAttr } from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Attrs, DType, Shape, Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';

function inferLeaf(_inputs: readonly Tensor[], attrs: Attrs): { shape: Shape; dtype: DType } {
  return { shape: numbersAttr(attrs, 'shape'), dtype: stringAttr(attrs, 'dtype') === 'i32' ? 'i32' : 'f32' };
}

const inputOp: OpDef = { name: 'input', infer: inferLeaf };
const parameterOp: OpDef = { name: 'parameter', infer: inferLeaf };
/** attrs: `value` when all elements are equal, else `values`. */
const constantOp: OpDef = { name: 'constant', infer: inferLeaf };
/** A uniform constant too large for the constants region: filled when needed. */
const fullOp: OpDef = {
  name: 'full',
  infer: inferLeaf,
  lower(node, l) {
    l.call(node.dtype === 'i32' ? 'fillI32' : 'fill', l.out, uniformValue(node) ?? 0, sizeOf(node.shape));
  },
};

export const LEAF_OPS: readonly OpDef[] = [inputOp, parameterOp, constantOp, fullOp];

/** Larger uniform constants are filled at run time instead of travelling with the program. */
const MAX_STORED_UNIFORM = 1024;

function checkShape(op: string, shape: Shape): void {
  if (shape.every((d) => Number.isInteger(d) && d >= 1)) return;
  throw shapeError(op, 'dimensions that are integers of at least 1', showShape(shape), 'correct the shape');
}

/** A field of the batch: `shape` with the rows of the shard as axis 0. Equal names are one field. */
export function input(name: string, shape: Shape, dtype: DType = 'f32'): Tensor {
  checkShape(`input ${name}`, shape);
  return createNode(inputOp, [], { name, shape: [...shape], dtype });
}

/** A trained tensor (f32). Equal names are one tensor: its gradient is the sum over all uses. */
export function parameter(name: string, shape: Shape): Tensor {
  checkShape(`parameter ${name}`, shape);
  return createNode(parameterOp, [], { name, shape: [...shape], dtype: 'f32' });
}

export type NestedArray = readonly (number | NestedArray)[];
export type ConstantValue = number | NestedArray | Float32Array | Float64Array | Int32Array;

/**
 * Numbers that never change. A nested array gives its own shape; a single number fills `shape` (default []); a typed or
 * flat array takes `shape` (default [length]). Int32Array makes i32, everything else f32. Throws E_SHAPE.
 */
export function constant(value: ConstantValue, shape?: Shape): Tensor {
  const dtype = value instanceof Int32Array ? 'i32' : 'f32';
  if (typeof value === 'number') return uniform(value, shape ?? []);
  const values: number[] = [];
  const own = Array.isArray(value) ? flattenNested(value, values) : [value.length];
  if (!Array.isArray(value)) for (const x of value as Float32Array) values.push(x);
  const target = shape ?? own;
  checkShape('constant', target);
  if (sizeOf(target) !== values.length) {
    throw shapeError('constant', `${values.length} elements in shape`, showShape(target), 'give a shape of that size');
  }
  if (dtype === 'f32' && values.every((x) => x === values[0])) return uniform(values[0], target);
  return createNode(constantOp, [], { values, shape: [...target], dtype });
}

function uniform(value: number, shape: Shape): Tensor {
  checkShape('constant', shape);
  if (typeof value !== 'number') throw optionError('constant', 'a number', value, 'give numbers');
  const op = sizeOf(shape) > MAX_STORED_UNIFORM ? fullOp : constantOp;
  return createNode(op, [], { value, shape: [...shape], dtype: 'f32' });
}

function flattenNested(value: NestedArray, out: number[]): number[] {
  let inner: number[] | undefined;
  for (const item of value) {
    let shape: number[] = [];
    if (typeof item === 'number') out.push(item);
    else shape = flattenNested(item, out);
    if (inner !== undefined && showShape(inner) !== showShape(shape)) {
      throw shapeError('constant', `rows of shape ${showShape(inner)}`, showShape(shape), 'make all rows equally long');
    }
    inner = shape;
  }
  return [value.length, ...(inner ?? [])];
}

/** The value that all elements share, if the tensor is such a constant. */
export function uniformValue(x: Tensor): number | undefined {
  const value = x.op === 'constant' || x.op === 'full' ? x.attrs.value : undefined;
  return typeof value === 'number' ? value : undefined;
}
