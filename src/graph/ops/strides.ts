import { shapeError, showShape } from '../build.ts';
import type { Lowering } from '../op.ts';
import type { Ref } from '../program.ts';
import type { Shape } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';

/** The handle `elements` 4-byte elements further on. */
export function shift(ref: Ref, elements: number): Ref {
  return { region: ref.region, offset: ref.offset + 4 * elements };
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

/** NumPy's rule: shapes are aligned at the end, and an axis of length 1 stretches. */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const shape: number[] = [];
  for (let d = 0; d < rank; d++) {
    const x = a[d - rank + a.length] ?? 1;
    const y = b[d - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw shapeError(
        op,
        `a shape that broadcasts with ${showShape(a)}`,
        showShape(b),
        'make the axes equal or 1, counted from the last; reshape adds axes of length 1',
      );
    }
    shape.push(x === 1 ? y : x);
  }
  return shape;
}

/** Strides of `shape` seen as `target`: 0 where an axis stretches. */
export function broadcastStrides(shape: Shape, target: Shape): number[] {
  const own = stridesOf(shape);
  const missing = target.length - shape.length;
  return target.map((size, d) => (d < missing || (shape[d - missing] === 1 && size !== 1) ? 0 : own[d - missing]));
}

/** Appends the cheapest move of a box: axes that lie behind one another in both are joined, a dense one is one copy. */
export function lowerMove(
  l: Lowering,
  out: Ref,
  x: Ref,
  dims: Shape,
  inStrides: readonly number[],
  outStrides: readonly number[],
): void {
  const box: { size: number; from: number; to: number }[] = [];
  for (const [d, size] of dims.entries()) {
    if (size === 1) continue;
    const [from, to] = [inStrides[d], outStrides[d]];
    const last = box.at(-1);
    if (last !== undefined && last.from === from * size && last.to === to * size) {
      last.size *= size;
      last.from = from;
      last.to = to;
    } else {
      box.push({ size, from, to });
    }
  }
  const only = box.length === 1 ? box[0] : undefined;
  if (box.length === 0 || (only !== undefined && only.from === 1 && only.to === 1)) {
    l.call('copy', out, x, only?.size ?? 1);
    return;
  }
  l.call(
    'stridedCopy',
    out,
    x,
    box.length,
    l.table(box.map((axis) => axis.size)),
    l.table(box.map((axis) => axis.from)),
    l.table(box.map((axis) => axis.to)),
  );
}

/** `x` as a dense tensor of the target shape: itself, or expanded into scratch. */
export function lowerExpanded(l: Lowering, x: Ref, shape: Shape, target: Shape): Ref {
  if (sizeOf(shape) === sizeOf(target)) return x;
  const expanded = l.scratch(sizeOf(target));
  lowerMove(l, expanded, x, target, broadcastStrides(shape, target), stridesOf(target));
  return expanded;
}
