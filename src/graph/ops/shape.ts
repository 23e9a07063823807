import {
  createNode,
  dtypeError,
  normaliseAxis,
  numberAttr,
  numbersAttr,
  optionError,
  shapeError,
  showShape,
} from '../build.ts';
import type { OpDef } from '../op.ts';
import type { Shape, Tensor } from '../tensor.ts';
import { sizeOf } from '../tensor.ts';
import { constant, uniformValue } from './leaf.ts';
import { sumTo } from './reduce.ts';
import { broadcastShapes, broadcastStrides, lowerMove, shift, stridesOf } from './strides.ts';

const reshapeOp: OpDef = {
  name: 'reshape',
  infer([x], attrs) {
    return { shape: numbersAttr(attrs, 'shape'), dtype: x.dtype };
  },
  gradient: (node, up) => [reshape(up, node.inputs[0].shape)],
  alias: true,
};

const stopGradientOp: OpDef = {
  name: 'stopGradient',
  infer: ([x]) => ({ shape: x.shape, dtype: x.dtype }),
  alias: true,
};

const broadcastToOp: OpDef = {
  name: 'broadcastTo',
  infer([x], attrs) {
    const shape = numbersAttr(attrs, 'shape');
    if (showShape(broadcastShapes('broadcastTo', x.shape, shape)) !== showShape(shape)) {
      throw shapeError(
        'broadcastTo',
        `a shape that broadcasts to ${showShape(shape)}`,
        showShape(x.shape),
        'reshape first',
      );
    }
    return { shape, dtype: x.dtype };
  },
  gradient: (node, up) => [sumTo(up, node.inputs[0].shape)],
  lower(node, l) {
    const [x] = node.inputs;
    lowerMove(l, l.out, l.input(0), node.shape, broadcastStrides(x.shape, node.shape), stridesOf(node.shape));
  },
};

const transposeOp: OpDef = {
  name: 'transpose',
  infer([x], attrs) {
    return { shape: numbersAttr(attrs, 'permutation').map((d) => x.shape[d]), dtype: x.dtype };
  },
  gradient(node, up) {
    const permutation = numbersAttr(node.attrs, 'permutation');
    return [transpose(up, permutation.map((_, d) => permutation.indexOf(d)))]; // biome-ignore format: short
  },
  lower(node, l) {
    const strides = stridesOf(node.inputs[0].shape);
    const inStrides = numbersAttr(node.attrs, 'permutation').map((d) => strides[d]);
    lowerMove(l, l.out, l.input(0), node.shape, inStrides, stridesOf(node.shape));
  },
};

const sliceOp: OpDef = {
  name: 'slice',
  infer([x], attrs) {
    const [axis, start, end] = [numberAttr(attrs, 'axis'), numberAttr(attrs, 'start'), numberAttr(attrs, 'end')];
    return { shape: x.shape.map((size, d) => (d === axis ? end - start : size)), dtype: x.dtype };
  },
  gradient(node, up) {
    const { shape } = node.inputs[0];
    const [axis, start, end] = ['axis', 'start', 'end'].map((name) => numberAttr(node.attrs, name));
    return [pad(up, shape.map((size, d) => (d === axis ? [start, size - end] : [0, 0])))]; // biome-ignore format: short
  },
  lower(node, l) {
    const strides = stridesOf(node.inputs[0].shape);
    const from = shift(l.input(0), numberAttr(node.attrs, 'start') * strides[numberAttr(node.attrs, 'axis')]);
    lowerMove(l, l.out, from, node.shape, strides, stridesOf(node.shape));
  },
};

const padOp: OpDef = {
  name: 'pad',
  infer([x], attrs) {
    const [before, after] = [numbersAttr(attrs, 'before'), numbersAttr(attrs, 'after')];
    return { shape: x.shape.map((size, d) => size + before[d] + after[d]), dtype: x.dtype };
  },
  gradient(node, up) {
    const before = numbersAttr(node.attrs, 'before');
    return [node.inputs[0].shape.reduce((x, size, d) => slice(x, d, before[d], before[d] + size), up)];
  },
  lower(node, l) {
    const [x] = node.inputs;
    const strides = stridesOf(node.shape);
    const first = numbersAttr(node.attrs, 'before').reduce((sum, n, d) => sum + n * strides[d], 0);
    const fill = node.dtype === 'i32' ? 'fillI32' : 'fill';
    l.call(fill, l.out, numberAttr(node.attrs, 'value'), sizeOf(node.shape));
    lowerMove(l, shift(l.out, first), l.input(0), x.shape, stridesOf(x.shape), strides);
  },
};

const concatOp: OpDef = {
  name: 'concat',
  infer(inputs, attrs) {
    const axis = numberAttr(attrs, 'axis');
    const [first] = inputs;
    let length = 0;
    for (const x of inputs) {
      const fits = x.shape.length === first.shape.length && x.shape.every((n, d) => d === axis || n === first.shape[d]);
      if (!fits) {
        throw shapeError(
          'concat',
          `shapes like ${showShape(first.shape)} except along axis ${axis}`,
          showShape(x.shape),
          'make the other axes equal',
        );
      }
      if (x.dtype !== first.dtype) throw dtypeError('concat', first.dtype, x.dtype, 'convert integers with cast(x)');
      length += x.shape[axis];
    }
    return { shape: first.shape.map((n, d) => (d === axis ? length : n)), dtype: first.dtype };
  },
  gradient(node, up) {
    const axis = numberAttr(node.attrs, 'axis');
    let start = 0;
    return node.inputs.map((x) => {
      start += x.shape[axis];
      return slice(up, axis, start - x.shape[axis], start);
    });
  },
  lower(node, l) {
    const axis = numberAttr(node.attrs, 'axis');
    const strides = stridesOf(node.shape);
    let start = 0;
    for (const [i, x] of node.inputs.entries()) {
      lowerMove(l, shift(l.out, start * strides[axis]), l.input(i), x.shape, stridesOf(x.shape), strides);
      start += x.shape[axis];
    }
  },
};

export const SHAPE_OPS: readonly OpDef[] = [
  reshapeOp,
  stopGradientOp,
  broadcastToOp,
  transposeOp,
  sliceOp,
  padOp,
  concatOp,
];

/** The same elements under another shape (one axis may be -1); no copy. Axis 0 of data is the rows. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
  const open = shape.filter((n) => n === -1).length;
  const full = shape.map((n) => (n === -1 ? sizeOf(x.shape) / known : n));
  if (open > 1 || !full.every((n) => Number.isInteger(n) && n > 0) || sizeOf(full) !== sizeOf(x.shape)) {
    throw shapeError(
      'reshape',
      `a shape of ${sizeOf(x.shape)} elements, with at most one -1, for ${showShape(x.shape)}`,
      showShape(shape),
      'choose a shape with the same number of elements',
    );
  }
  if (showShape(full) === showShape(x.shape)) return x;
  const value = uniformValue(x);
  if (value !== undefined) return constant(value, full);
  return createNode(reshapeOp, [x.op === 'reshape' ? x.inputs[0] : x], { shape: full });
}

/** [rows, everything else]. */
export function flatten(x: Tensor): Tensor {
  return reshape(x, [x.shape[0] ?? 1, -1]);
}

/** The value, seen as a constant by gradients. */
export function stopGradient(x: Tensor): Tensor {
  return createNode(stopGradientOp, [x]);
}

/** Repeats axes of length 1 (and new leading ones) up to `shape`. Arithmetic broadcasts by itself, without a copy. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  if (showShape(shape) === showShape(x.shape)) return x;
  const stretched = createNode(broadcastToOp, [x], { shape: [...shape] });
  const value = uniformValue(x);
  return value === undefined ? stretched : constant(value, shape);
}

/** Axes in another order: result axis i is axis permutation[i] of x. Default: all reversed. */
export function transpose(x: Tensor, permutation: readonly number[] = x.shape.map((_, d) => d).reverse()): Tensor {
  const axes = permutation.map((d) => normaliseAxis('transpose', d, x.shape.length));
  if (axes.length !== x.shape.length || new Set(axes).size !== axes.length) {
    throw shapeError(
      'transpose',
      `each of the ${x.shape.length} axes of ${showShape(x.shape)} once`,
      showShape(permutation),
      'list every axis once',
    );
  }
  return axes.every((d, i) => d === i) ? x : createNode(transposeOp, [x], { permutation: axes });
}

/** Elements start .. end-1 along one axis; negative numbers count from the end, `end` defaults to the length. */
export function slice(x: Tensor, axis: number, start: number, end?: number): Tensor {
  const d = normaliseAxis('slice', axis, x.shape.length);
  const length = x.shape[d];
  const from = start < 0 ? start + length : start;
  const to = end === undefined ? length : end < 0 ? end + length : end;
  if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= length)) {
    throw shapeError(
      'slice',
      `0 <= start < end <= ${length} along axis ${d} of ${showShape(x.shape)}`,
      `${start} to ${end ?? length}`,
      'choose a part that is not empty and lies inside',
    );
  }
  return from === 0 && to === length ? x : createNode(sliceOp, [x], { axis: d, start: from, end: to });
}

/** Adds [before, after] elements of `value` (default 0) along each axis. */
export function pad(x: Tensor, widths: readonly (readonly number[])[], value = 0): Tensor {
  const valid = widths.every((w) => w.length === 2 && w.every((n) => Number.isInteger(n) && n >= 0));
  if (widths.length !== x.shape.length || !valid) {
    throw shapeError(
      'pad',
      `[before, after] of integers >= 0 for each of the ${x.shape.length} axes`,
      JSON.stringify(widths),
      'give one pair for each axis',
    );
  }
  if (widths.every(([before, after]) => before === 0 && after === 0)) return x;
  return createNode(padOp, [x], { before: widths.map((w) => w[0]), after: widths.map((w) => w[1]), value });
}

/** Tensors one behind another along an existing axis (default the last). All other axes must agree. */
export function concat(tensors: readonly Tensor[], axis = -1): Tensor {
  if (tensors.length === 0) throw optionError('concat', 'at least one tensor', 'none', 'give tensors');
  if (tensors.length === 1) return tensors[0];
  return createNode(concatOp, tensors, { axis: normaliseAxis('concat', axis, tensors[0].shape.length) });
}

/** Tensors of one shape along a new axis (default the last). */
export function stack(tensors: readonly Tensor[], axis = -1): Tensor {
  if (tensors.length === 0) throw optionError('stack', 'at least one tensor', 'none', 'give tensors');
  const [first] = tensors;
  const d = normaliseAxis('stack', axis, first.shape.length + 1);
  for (const x of tensors) {
    if (showShape(x.shape) === showShape(first.shape)) continue;
    throw shapeError(
      'stack',
      `tensors of shape ${showShape(first.shape)}`,
      showShape(x.shape),
      'make all shapes equal',
    );
  }
  const wider = [...first.shape.slice(0, d), 1, ...first.shape.slice(d)];
  return concat(tensors.map((x) => reshape(x, wider)), d); // biome-ignore format: short
}
