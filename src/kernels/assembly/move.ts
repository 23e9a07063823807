/** Kernels that move elements: fill, copy, strided boxes, rows by index, and conversions. */
import { loadTail, select, splat, storeTail } from './simd';

export function fill(out: usize, value: f32, count: usize): void {
  fillI32(out, reinterpret<i32>(value), count);
}

export function fillI32(out: usize, value: i32, count: usize): void {
  if (value == 0) {
    memory.fill(out, 0, count << 2);
    return;
  }
  const v = i32x4.splat(value);
  const end = out + ((count & ~3) << 2);
  while (out < end) {
    v128.store(out, v);
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, v);
}

export function copy(out: usize, x: usize, count: usize): void {
  memory.copy(out, x, count << 2);
}

export function i32ToF32(out: usize, x: usize, count: usize): void {
  const end = x + ((count & ~3) << 2);
  while (x < end) {
    v128.store(out, f32x4.convert_i32x4_s(v128.load(x)));
    x += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, f32x4.convert_i32x4_s(loadTail(x, rest, i32x4.splat(0))));
}

/** out = condition != 0 ? a : b */
export function where(out: usize, condition: usize, a: usize, b: usize, count: usize): void {
  const end = out + ((count & ~3) << 2);
  while (out < end) {
    const mask = f32x4.ne(v128.load(condition), splat(0));
    v128.store(out, select(mask, v128.load(a), v128.load(b)));
    condition += 16;
    a += 16;
    b += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) {
    const mask = f32x4.ne(loadTail(condition, rest, splat(0)), splat(0));
    storeTail(out, rest, select(mask, loadTail(a, rest, splat(0)), loadTail(b, rest, splat(0))));
  }
}

/** Rows this short are moved in a loop: a call of memory.copy costs more. */
// @ts-ignore: decorator
@inline
const SHORT_ROW: usize = 64;

// @ts-ignore: decorator
@inline
function copyRow(out: usize, x: usize, count: usize): void {
  if (count > SHORT_ROW) {
    memory.copy(out, x, count << 2);
    return;
  }
  const end = x + ((count & ~3) << 2);
  while (x < end) {
    v128.store(out, v128.load(x));
    x += 16;
    out += 16;
  }
  for (let rest = count & 3; rest; rest--) {
    store<u32>(out, load<u32>(x));
    x += 4;
    out += 4;
  }
}

/** A [count] line with strides in bytes. */
function copyLine(out: usize, x: usize, count: usize, inStride: isize, outStride: isize): void {
  if (inStride == 4 && outStride == 4) {
    copyRow(out, x, count);
  } else if (inStride == 0 && outStride == 4) {
    fillI32(out, load<i32>(x), count);
  } else {
    for (; count; count--) {
      store<u32>(out, load<u32>(x));
      x += inStride;
      out += outStride;
    }
  }
}

/**
 * A transposition: out[i * outStride + j] = x[i + j * inStride] (bytes, elements of 4), i < rows, j < columns.
 * In blocks of 4 x 4, a strip of 4 rows of `out` at a time.
 */
export function transposePlane(
  out: usize, x: usize, rows: usize, columns: usize, inStride: isize, outStride: isize,
): void {
  let i: usize = 0;
  for (; i + 4 <= rows; i += 4) {
    let from = x + (i << 2);
    let o0 = out + i * outStride;
    let j: usize = 0;
    for (; j + 4 <= columns; j += 4) {
      const r0 = v128.load(from);
      const r1 = v128.load(from + inStride);
      const r2 = v128.load(from + 2 * inStride);
      const r3 = v128.load(from + 3 * inStride);
      const l0 = v128.shuffle<u32>(r0, r1, 0, 4, 1, 5);
      const l1 = v128.shuffle<u32>(r2, r3, 0, 4, 1, 5);
      const h0 = v128.shuffle<u32>(r0, r1, 2, 6, 3, 7);
      const h1 = v128.shuffle<u32>(r2, r3, 2, 6, 3, 7);
      v128.store(o0, v128.shuffle<u64>(l0, l1, 0, 2));
      v128.store(o0 + outStride, v128.shuffle<u64>(l0, l1, 1, 3));
      v128.store(o0 + 2 * outStride, v128.shuffle<u64>(h0, h1, 0, 2));
      v128.store(o0 + 3 * outStride, v128.shuffle<u64>(h0, h1, 1, 3));
      from += inStride << 2;
      o0 += 16;
    }
    for (; j < columns; j++) {
      store<u32>(o0, load<u32>(from));
      store<u32>(o0 + outStride, load<u32>(from, 4));
      store<u32>(o0 + 2 * outStride, load<u32>(from, 8));
      store<u32>(o0 + 3 * outStride, load<u32>(from, 12));
      from += inStride;
      o0 += 4;
    }
  }
  for (; i < rows; i++) copyLine(out + i * outStride, x + (i << 2), columns, inStride, 4);
}

// @ts-ignore: decorator
@inline
function entry(table: usize, axis: i32): isize {
  return <isize>load<i32>(table + (<usize>axis << 2));
}

/** Loops over the axes other than `line` and `column`, then moves a line or a transposed plane. */
function moveBox(
  out: usize, x: usize, axis: i32, rank: i32, line: i32, column: i32, dims: usize, inStrides: usize, outStrides: usize,
): void {
  while (axis < rank && (axis == line || axis == column)) axis++;
  if (axis < rank) {
    const inStride = entry(inStrides, axis) << 2;
    const outStride = entry(outStrides, axis) << 2;
    for (let i = entry(dims, axis); i > 0; i--) {
      moveBox(out, x, axis + 1, rank, line, column, dims, inStrides, outStrides);
      x += inStride;
      out += outStride;
    }
  } else if (column >= 0) {
    transposePlane(
      out, x, entry(dims, column), entry(dims, line), entry(inStrides, line) << 2, entry(outStrides, column) << 2,
    );
  } else {
    copyLine(out, x, entry(dims, line), entry(inStrides, line) << 2, entry(outStrides, line) << 2);
  }
}

/** out[sum i_d outStrides[d]] = x[sum i_d inStrides[d]] over a box of `rank` axes. */
export function stridedCopy(
  out: usize, x: usize, rank: i32, dims: usize, inStrides: usize, outStrides: usize,
): void {
  if (rank == 0) {
    store<u32>(out, load<u32>(x));
    return;
  }
  // The line runs along the axis that is contiguous in `out`; a plane adds the axis that is contiguous in x.
  let line = rank - 1;
  let column = -1;
  for (let axis = 0; axis < rank; axis++) {
    const size = entry(dims, axis);
    if (size == 0) return;
    if (size == 1) continue;
    if (entry(outStrides, axis) == 1) line = axis;
    if (entry(inStrides, axis) == 1) column = axis;
  }
  if (column == line || entry(outStrides, line) != 1 || entry(dims, line) < 4) column = -1;
  moveBox(out, x, 0, rank, line, column, dims, inStrides, outStrides);
}

/** out[i,:] = table[indices[i],:], indices clamped into the table. */
export function gatherRows(
  out: usize, table: usize, indices: usize, rows: usize, width: usize, tableRows: i32,
): void {
  for (let i: usize = 0; i < rows; i++) {
    const index = max(min(load<i32>(indices), tableRows - 1), 0);
    copyRow(out, table + ((<usize>index * width) << 2), width);
    indices += 4;
    out += width << 2;
  }
}

/** table = 0; table[indices[i],:] += dy[i,:] in order of i. */
export function scatterAddRows(
  table: usize, dy: usize, indices: usize, rows: usize, width: usize, tableRows: i32,
): void {
  memory.fill(table, 0, (<usize>tableRows * width) << 2);
  for (let i: usize = 0; i < rows; i++) {
    const index = max(min(load<i32>(indices), tableRows - 1), 0);
    let out = table + ((<usize>index * width) << 2);
    const end = dy + ((width & ~3) << 2);
    while (dy < end) {
      v128.store(out, f32x4.add(v128.load(out), v128.load(dy)));
      dy += 16;
      out += 16;
    }
    for (let rest = width & 3; rest; rest--) {
      store<f32>(out, load<f32>(out) + load<f32>(dy));
      dy += 4;
      out += 4;
    }
    indices += 4;
  }
}

/** out[i,:] = data[ids[i] * stride ... + width] */
export function gatherWindows(out: usize, data: usize, ids: usize, rows: usize, width: usize, stride: usize): void {
  for (let i: usize = 0; i < rows; i++) {
    memory.copy(out, data + ((<usize>load<u32>(ids) * stride) << 2), width << 2);
    ids += 4;
    out += width << 2;
  }
}

/** out[i,:] = data[ids[i],:] in 4-byte words. */
export function gatherWords(out: usize, data: usize, ids: usize, rows: usize, width: usize): void {
  const bytes = width << 2;
  const lines = bytes & ~63;
  let i: usize = 0;
  // Rows lie anywhere in memory: four at a time have their cache misses at the same time.
  for (; i + 4 <= rows; i += 4) {
    const a = data + <usize>load<u32>(ids) * bytes;
    const b = data + <usize>load<u32>(ids, 4) * bytes;
    const c = data + <usize>load<u32>(ids, 8) * bytes;
    const d = data + <usize>load<u32>(ids, 12) * bytes;
    for (let at: usize = 0; at < lines; at += 64) {
      copy64(out + at, a + at);
      copy64(out + bytes + at, b + at);
      copy64(out + 2 * bytes + at, c + at);
      copy64(out + 3 * bytes + at, d + at);
    }
    const rest = (bytes - lines) >> 2;
    copyRow(out + lines, a + lines, rest);
    copyRow(out + bytes + lines, b + lines, rest);
    copyRow(out + 2 * bytes + lines, c + lines, rest);
    copyRow(out + 3 * bytes + lines, d + lines, rest);
    ids += 16;
    out += bytes << 2;
  }
  for (; i < rows; i++) {
    copyRow(out, data + <usize>load<u32>(ids) * bytes, width);
    ids += 4;
    out += bytes;
  }
}

// @ts-ignore: decorator
@inline
function copy64(out: usize, x: usize): void {
  const a = v128.load(x);
  const b = v128.load(x, 16);
  const c = v128.load(x, 32);
  const d = v128.load(x, 48);
  v128.store(out, a);
  v128.store(out, b, 16);
  v128.store(out, c, 32);
  v128.store(out, d, 48);
}

/** out[i,j] = data[ids[i],j] (u8) * scale + shift */
export function gatherBytes(
  out: usize, data: usize, ids: usize, rows: usize, width: usize, scale: f32, shift: f32,
): void {
  const s = splat(scale);
  const b = splat(shift);
  for (let i: usize = 0; i < rows; i++) {
    let x = data + <usize>load<u32>(ids) * width;
    const end = x + (width & ~7);
    while (x < end) {
      const words = v128.load8x8_u(x);
      const low = f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(words));
      const high = f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(words));
      v128.store(out, f32x4.add(f32x4.mul(low, s), b));
      v128.store(out, f32x4.add(f32x4.mul(high, s), b), 16);
      x += 8;
      out += 32;
    }
    for (let rest = width & 7; rest; rest--) {
      store<f32>(out, <f32>load<u8>(x) * scale + shift);
      x++;
      out += 4;
    }
    ids += 4;
  }
}
