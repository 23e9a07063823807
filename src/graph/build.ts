import { LockstepError } from '../errors.ts';
import type { OpDef } from './op.ts';
import { processState } from './process-state.ts';
import type { Attrs, Shape, Tensor } from './tensor.ts';

const { scopes } = processState;

/** Runs `fn`; tensors made inside carry the layer path (`a/b` when nested) and errors name it. */
export function withScope<T>(name: string, fn: () => T): T {
  scopes.push(name);
  try {
    return fn();
  } finally {
    scopes.pop();
  }
}

/** A new node of the graph. Throws what the op's shape rule throws. */
export function createNode(def: OpDef, inputs: readonly Tensor[], attrs: Attrs = {}): Tensor {
  const { shape, dtype } = def.infer(inputs, attrs);
  const id = processState.nextId++;
  const node = { id, op: def.name, inputs, attrs, shape, dtype };
  return scopes.length === 0 ? node : { ...node, scope: scopes.join('/') };
}

function place(op: string): string {
  return scopes.length === 0 ? op : `layer ${scopes.join('/')}: ${op}`;
}

export function shapeError(op: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_SHAPE', { where: place(op), expected, got, fix });
}

export function dtypeError(op: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_DTYPE', { where: place(op), expected, got, fix });
}

export function optionError(op: string, expected: string, got: unknown, fix: string): LockstepError {
  return new LockstepError('E_OPTION', { where: place(op), expected, got: String(got), fix });
}

export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** Throws unless every input is f32. */
export function requireF32(op: string, inputs: readonly Tensor[]): void {
  for (const [i, x] of inputs.entries()) {
    if (x.dtype === 'f32') continue;
    const which = inputs.length === 1 ? '' : ` as operand ${i + 1}`;
    throw dtypeError(op, `f32${which}`, x.dtype, 'convert integers with cast(x)');
  }
}

/** Throws unless `x` is i32. */
export function requireI32(op: string, what: string, x: Tensor): void {
  if (x.dtype !== 'i32') throw dtypeError(op, `i32 ${what}`, x.dtype, `${what} are integers; give the field dtype i32`);
}

/** Axis counted from 0; negative ones count from the end. */
export function normaliseAxis(op: string, axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (Number.isInteger(axis) && positive >= 0 && positive < rank) return positive;
  throw shapeError(op, `an axis from ${-rank} to ${rank - 1}`, String(axis), 'choose an axis that the tensor has');
}

// Attributes are plain data; these are the one place that says which type an op put there.

export function numberAttr(attrs: Attrs, name: string): number {
  const value = attrs[name];
  if (typeof value !== 'number') throw new TypeError(`attribute ${name} is no number`);
  return value;
}

export function numbersAttr(attrs: Attrs, name: string): readonly number[] {
  const value = attrs[name];
  if (!Array.isArray(value) || !value.every((x) => typeof x === 'number')) {
    throw new TypeError(`attribute ${name} is no list of numbers`);
  }
  return value;
}

export function stringAttr(attrs: Attrs, name: string): string {
  const value = attrs[name];
  if (typeof value !== 'string') throw new TypeError(`attribute ${name} is no string`);
  return value;
}
