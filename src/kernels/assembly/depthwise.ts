/**
 * Convolution of each channel with a filter of its own, four channels at a time: images with their channels last, padded already.
 * `geometry` as for im2col, see src/kernels/table.ts.
 */
import { loadTail, madd, splat, storeTail } from './simd';

// @ts-ignore: decorator
@inline
function entry(geometry: usize, index: usize): usize {
  return <usize>load<u32>(geometry + (index << 2));
}

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

/** A row of positions for four channels: four positions at a time share the filter's elements. */
// @ts-ignore: decorator
@inline
function forwardRow(
  out: usize, x: usize, w: usize, positions: usize, step: usize, kernelHeight: usize, lineStep: usize, kernelWidth: usize,
  pixelStep: usize, bytes: usize, lanes: usize,
): void {
  let j: usize = 0;
  for (; j + 4 <= positions; j += 4) {
    let s0 = splat(0);
    let s1 = splat(0);
    let s2 = splat(0);
    let s3 = splat(0);
    let tap = w;
    for (let k: usize = 0, line = x; k < kernelHeight; k++) {
      for (let r: usize = 0, p = line; r < kernelWidth; r++) {
        const f = read(tap, lanes);
        s0 = madd(read(p, lanes), f, s0);
        s1 = madd(read(p + step, lanes), f, s1);
        s2 = madd(read(p + 2 * step, lanes), f, s2);
        s3 = madd(read(p + 3 * step, lanes), f, s3);
        tap += bytes;
        p += pixelStep;
      }
      line += lineStep;
    }
    write(out, lanes, s0);
    write(out + bytes, lanes, s1);
    write(out + 2 * bytes, lanes, s2);
    write(out + 3 * bytes, lanes, s3);
    out += 4 * bytes;
    x += 4 * step;
  }
  for (; j < positions; j++) {
    let s = splat(0);
    let tap = w;
    for (let k: usize = 0, line = x; k < kernelHeight; k++) {
      for (let r: usize = 0, p = line; r < kernelWidth; r++) {
        s = madd(read(p, lanes), read(tap, lanes), s);
        tap += bytes;
        p += pixelStep;
      }
      line += lineStep;
    }
    write(out, lanes, s);
    out += bytes;
    x += step;
  }
}

// @ts-ignore: decorator
@inline
function inputRow(
  dy: usize, dx: usize, w: usize, positions: usize, step: usize, kernelHeight: usize, lineStep: usize, kernelWidth: usize,
  pixelStep: usize, bytes: usize, lanes: usize,
): void {
  for (; positions; positions--) {
    const up = read(dy, lanes);
    let tap = w;
    for (let k: usize = 0, line = dx; k < kernelHeight; k++) {
      for (let r: usize = 0, p = line; r < kernelWidth; r++) {
        write(p, lanes, madd(up, read(tap, lanes), read(p, lanes)));
        tap += bytes;
        p += pixelStep;
      }
      line += lineStep;
    }
    dy += bytes;
    dx += step;
  }
}

/** Sums of a row first, then one addition: two levels round less. */
// @ts-ignore: decorator
@inline
function weightRow(
  dy: usize, x: usize, dw: usize, positions: usize, step: usize, kernelHeight: usize, lineStep: usize, kernelWidth: usize,
  pixelStep: usize, bytes: usize, lanes: usize,
): void {
  for (let k: usize = 0; k < kernelHeight; k++) {
    for (let r: usize = 0; r < kernelWidth; r++) {
      let p = x + k * lineStep + r * pixelStep;
      let up = dy;
      let even = splat(0);
      let odd = splat(0);
      let j: usize = 0;
      for (; j + 2 <= positions; j += 2) {
        even = madd(read(p, lanes), read(up, lanes), even);
        odd = madd(read(p + step, lanes), read(up + bytes, lanes), odd);
        p += 2 * step;
        up += 2 * bytes;
      }
      if (j < positions) even = madd(read(p, lanes), read(up, lanes), even);
      write(dw, lanes, f32x4.add(read(dw, lanes), f32x4.add(even, odd)));
      dw += bytes;
    }
  }
}

/** 0: forward, 1: gradient of the images, 2: gradient of the filters. `result` is the array of results or their gradient. */
// @ts-ignore: decorator
@inline
function everyRow(pass: i32, result: usize, x: usize, w: usize, images: usize, geometry: usize): void {
  const imageStep = entry(geometry, 0) << 2;
  const rows = entry(geometry, 1);
  const rowStep = entry(geometry, 2) << 2;
  const positions = entry(geometry, 3);
  const step = entry(geometry, 4) << 2;
  const kernelHeight = entry(geometry, 5);
  const lineStep = entry(geometry, 6) << 2;
  const kernelWidth = entry(geometry, 7);
  const pixelStep = entry(geometry, 8) << 2;
  const channels = entry(geometry, 9);
  const bytes = channels << 2;
  const vectors = (channels & ~3) << 2;
  const rest = channels & 3;
  for (; images; images--) {
    let row = x;
    for (let i: usize = 0; i < rows; i++) {
      for (let c: usize = 0; c < vectors; c += 16) {
        const y = result + c;
        const from = row + c;
        const f = w + c;
        if (pass == 0) forwardRow(y, from, f, positions, step, kernelHeight, lineStep, kernelWidth, pixelStep, bytes, 4);
        else if (pass == 1) inputRow(y, from, f, positions, step, kernelHeight, lineStep, kernelWidth, pixelStep, bytes, 4);
        else weightRow(y, from, f, positions, step, kernelHeight, lineStep, kernelWidth, pixelStep, bytes, 4);
      }
      if (rest) {
        const y = result + vectors;
        const from = row + vectors;
        const f = w + vectors;
        if (pass == 0) forwardRow(y, from, f, positions, step, kernelHeight, lineStep, kernelWidth, pixelStep, bytes, rest);
        else if (pass == 1) inputRow(y, from, f, positions, step, kernelHeight, lineStep, kernelWidth, pixelStep, bytes, rest);
        else weightRow(y, from, f, positions, step, kernelHeight, lineStep, kernelWidth, pixelStep, bytes, rest);
      }
      result += positions * bytes;
      row += rowStep;
    }
    x += imageStep;
  }
}

export function depthwise(out: usize, x: usize, w: usize, images: usize, geometry: usize): void {
  everyRow(0, out, x, w, images, geometry);
}

export function depthwiseGradInput(dx: usize, dy: usize, w: usize, images: usize, geometry: usize): void {
  everyRow(1, dy, dx, w, images, geometry);
}

export function depthwiseGradWeight(dw: usize, x: usize, dy: usize, images: usize, geometry: usize): void {
  everyRow(2, dy, x, dw, images, geometry);
}
