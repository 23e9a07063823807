/**
 * Pooling of images with their channels last, four channels at a time. What a window covers beside the image does not exist:
 * maxima and means are taken over what is inside. `geometry` as in src/kernels/table.ts.
 */
import { loadTail, op, splat, storeTail } from './simd';

// @ts-ignore: decorator
@inline
function read(p: usize, lanes: usize): v128 {
  return lanes >= 4 ? v128.load(p) : loadTail(p, lanes, splat(0));
}

// @ts-ignore: decorator
@inline
function write(p: usize, lanes: usize, v: v128): void {
  if (lanes >= 4) v128.store(p, v);
  else storeTail(p, lanes, v);
}

/** Largest element of a window of rows x columns, NaN if one is. */
// @ts-ignore: decorator
@inline
function largest(x: usize, rows: usize, columns: usize, rowStep: usize, columnStep: usize, lanes: usize): v128 {
  if (rows == 2 && columns == 2) {
    const y = x + rowStep;
    const top = f32x4.max(read(x, lanes), read(x + columnStep, lanes));
    return f32x4.max(top, f32x4.max(read(y, lanes), read(y + columnStep, lanes)));
  }
  let m = splat(-f32.POSITIVE_INFINITY);
  for (; rows; rows--) {
    for (let p = x, end = x + columns * columnStep; p < end; p += columnStep) m = f32x4.max(m, read(p, lanes));
    x += rowStep;
  }
  return m;
}

/**
 * Four channels of one window: `x` and `other` point to its first element in two images, `pooled` to its element of the pooled
 * image. A class with one method, given as a type.
 */
class Max {
  // @ts-ignore: decorator
  @inline
  window(
    x: usize, other: usize, pooled: usize, rows: usize, columns: usize, rowStep: usize, columnStep: usize, lanes: usize,
  ): void {
    write(pooled, lanes, largest(x, rows, columns, rowStep, columnStep, lanes));
  }
}

/** pooled = the element of `other` where x has its first maximum. */
class MaxPick {
  // @ts-ignore: decorator
  @inline
  window(
    x: usize, other: usize, pooled: usize, rows: usize, columns: usize, rowStep: usize, columnStep: usize, lanes: usize,
  ): void {
    const m = largest(x, rows, columns, rowStep, columnStep, lanes);
    let open = i32x4.splat(-1);
    let picked = splat(0);
    for (let i: usize = 0; i < rows; i++) {
      for (let j: usize = 0, at = i * rowStep; j < columns; j++) {
        const hit = v128.and(open, f32x4.eq(read(x + at, lanes), m));
        open = v128.andnot(open, hit);
        picked = v128.or(picked, v128.and(hit, read(other + at, lanes)));
        at += columnStep;
      }
    }
    write(pooled, lanes, picked);
  }
}

/** other += pooled where x has its first maximum. */
class MaxSpread {
  // @ts-ignore: decorator
  @inline
  window(
    x: usize, other: usize, pooled: usize, rows: usize, columns: usize, rowStep: usize, columnStep: usize, lanes: usize,
  ): void {
    const m = largest(x, rows, columns, rowStep, columnStep, lanes);
    const dy = read(pooled, lanes);
    let open = i32x4.splat(-1);
    for (let i: usize = 0; i < rows; i++) {
      for (let j: usize = 0, at = i * rowStep; j < columns; j++) {
        const hit = v128.and(open, f32x4.eq(read(x + at, lanes), m));
        open = v128.andnot(open, hit);
        write(other + at, lanes, f32x4.add(read(other + at, lanes), v128.and(hit, dy)));
        at += columnStep;
      }
    }
  }
}

/** The same for windows of 2 x 2 that cover each element once: other = pooled or 0. */
class MaxPlace {
  // @ts-ignore: decorator
  @inline
  window(
    x: usize, other: usize, pooled: usize, rows: usize, columns: usize, rowStep: usize, columnStep: usize, lanes: usize,
  ): void {
    const dy = read(pooled, lanes);
    const a = read(x, lanes);
    const b = read(x + columnStep, lanes);
    const c = read(x + rowStep, lanes);
    const d = read(x + rowStep + columnStep, lanes);
    const isA = f32x4.ge(a, b);
    const isC = f32x4.ge(c, d);
    const isTop = f32x4.ge(f32x4.pmax(a, b), f32x4.pmax(c, d));
    const top = v128.and(isTop, dy);
    const bottom = v128.andnot(dy, isTop);
    write(other, lanes, v128.and(isA, top));
    write(other + columnStep, lanes, v128.andnot(top, isA));
    write(other + rowStep, lanes, v128.and(isC, bottom));
    write(other + rowStep + columnStep, lanes, v128.andnot(bottom, isC));
  }
}

class Mean {
  // @ts-ignore: decorator
  @inline
  window(
    x: usize, other: usize, pooled: usize, rows: usize, columns: usize, rowStep: usize, columnStep: usize, lanes: usize,
  ): void {
    const share = splat(1 / <f32>(rows * columns));
    let sum = splat(0);
    for (; rows; rows--) {
      for (let p = x, end = x + columns * columnStep; p < end; p += columnStep) sum = f32x4.add(sum, read(p, lanes));
      x += rowStep;
    }
    write(pooled, lanes, f32x4.mul(sum, share));
  }
}

/** x += its window's pooled / elements. */
class MeanSpread {
  // @ts-ignore: decorator
  @inline
  window(
    x: usize, other: usize, pooled: usize, rows: usize, columns: usize, rowStep: usize, columnStep: usize, lanes: usize,
  ): void {
    const share = f32x4.mul(read(pooled, lanes), splat(1 / <f32>(rows * columns)));
    for (; rows; rows--) {
      for (let p = x, end = x + columns * columnStep; p < end; p += columnStep) {
        write(p, lanes, f32x4.add(read(p, lanes), share));
      }
      x += rowStep;
    }
  }
}

// @ts-ignore: decorator
@inline
function entry(geometry: usize, index: usize): i32 {
  return load<i32>(geometry + (index << 2));
}

// @ts-ignore: decorator
@inline
function everyWindow<W>(x: usize, other: usize, pooled: usize, images: usize, geometry: usize): void {
  const height = entry(geometry, 0);
  const width = entry(geometry, 1);
  const channels = <usize>entry(geometry, 2);
  const outHeight = entry(geometry, 3);
  const outWidth = entry(geometry, 4);
  const kernelHeight = entry(geometry, 5);
  const kernelWidth = entry(geometry, 6);
  const strideY = entry(geometry, 7);
  const strideX = entry(geometry, 8);
  const padTop = entry(geometry, 9);
  const padLeft = entry(geometry, 10);
  const columnStep = channels << 2;
  const rowStep = <usize>width * columnStep;
  const vectors = (channels & ~3) << 2;
  const rest = channels & 3;
  for (; images; images--) {
    for (let i = 0, top = -padTop; i < outHeight; i++, top += strideY) {
      const firstRow = max(top, 0);
      const rows = <usize>(min(top + kernelHeight, height) - firstRow);
      for (let j = 0, left = -padLeft; j < outWidth; j++, left += strideX) {
        const firstColumn = max(left, 0);
        const columns = <usize>(min(left + kernelWidth, width) - firstColumn);
        const at = <usize>firstRow * rowStep + <usize>firstColumn * columnStep;
        for (let c: usize = 0; c < vectors; c += 16) {
          op<W>().window(x + at + c, other + at + c, pooled + c, rows, columns, rowStep, columnStep, 4);
        }
        if (rest) {
          const c = at + vectors;
          op<W>().window(x + c, other + c, pooled + vectors, rows, columns, rowStep, columnStep, rest);
        }
        pooled += columnStep;
      }
    }
    x += <usize>height * rowStep;
    other += <usize>height * rowStep;
  }
}

function imageBytes(geometry: usize): usize {
  return (<usize>entry(geometry, 0) * <usize>entry(geometry, 1) * <usize>entry(geometry, 2)) << 2;
}

/** Windows of 2 x 2 side by side over the whole image. */
function tilesByTwo(geometry: usize): bool {
  const exact = entry(geometry, 0) == 2 * entry(geometry, 3) && entry(geometry, 1) == 2 * entry(geometry, 4);
  const square = entry(geometry, 5) == 2 && entry(geometry, 6) == 2 && entry(geometry, 7) == 2 && entry(geometry, 8) == 2;
  return exact && square && entry(geometry, 9) == 0 && entry(geometry, 10) == 0;
}

export function maxPool(out: usize, x: usize, images: usize, geometry: usize): void {
  everyWindow<Max>(x, x, out, images, geometry);
}

export function maxPoolPick(out: usize, x: usize, v: usize, images: usize, geometry: usize): void {
  everyWindow<MaxPick>(x, v, out, images, geometry);
}

export function maxPoolGrad(dx: usize, x: usize, dy: usize, images: usize, geometry: usize): void {
  if (tilesByTwo(geometry)) {
    everyWindow<MaxPlace>(x, dx, dy, images, geometry);
    return;
  }
  memory.fill(dx, 0, images * imageBytes(geometry));
  everyWindow<MaxSpread>(x, dx, dy, images, geometry);
}

export function avgPool(out: usize, x: usize, images: usize, geometry: usize): void {
  everyWindow<Mean>(x, x, out, images, geometry);
}

export function avgPoolGrad(dx: usize, dy: usize, images: usize, geometry: usize): void {
  memory.fill(dx, 0, images * imageBytes(geometry));
  everyWindow<MeanSpread>(dx, dx, dy, images, geometry);
}
