/**
 * Windows of images as rows of a matrix, and back. The image has its channels last and is padded already, so a window is a
 * few runs of contiguous elements. `geometry` as in src/kernels/table.ts.
 */
import { loadTail, splat, storeTail } from './simd';

// @ts-ignore: decorator
@inline
function entry(geometry: usize, index: usize): usize {
  return <usize>load<u32>(geometry + (index << 2));
}

/**
 * Runs of three elements (one channel, window of three; the first layer of many networks): each is copied with the element behind
 * it, which the next run overwrites. Not for the last position of an image.
 */
// @ts-ignore: decorator
@inline
function copyTriples(
  out: usize, line: usize, kernelHeight: usize, kernelRowStride: usize, runs: usize, runStride: usize,
): usize {
  for (let k: usize = 0; k < kernelHeight; k++) {
    let p = line;
    for (let r: usize = 0; r < runs; r++) {
      v128.store(out, v128.load(p));
      out += 12;
      p += runStride;
    }
    line += kernelRowStride;
  }
  return out;
}

/** Copies `bytes`; the last vector of a run that is not whole overlaps the one before. */
// @ts-ignore: decorator
@inline
function copyRun(out: usize, x: usize, bytes: usize): void {
  if (bytes >= 16) {
    const last = bytes - 16;
    let i: usize = 0;
    for (; i + 48 <= last; i += 64) {
      const a = v128.load(x + i);
      const b = v128.load(x + i, 16);
      const c = v128.load(x + i, 32);
      const d = v128.load(x + i, 48);
      v128.store(out + i, a);
      v128.store(out + i, b, 16);
      v128.store(out + i, c, 32);
      v128.store(out + i, d, 48);
    }
    for (; i < last; i += 16) v128.store(out + i, v128.load(x + i));
    if (i < bytes) v128.store(out + last, v128.load(x + last));
  } else {
    for (let i: usize = 0; i < bytes; i += 4) store<u32>(out + i, load<u32>(x + i));
  }
}

// @ts-ignore: decorator
@inline
function addRun(x: usize, columns: usize, bytes: usize): void {
  const vectors = bytes & ~15;
  let i: usize = 0;
  for (; i + 32 <= vectors; i += 32) {
    const a = f32x4.add(v128.load(x + i), v128.load(columns + i));
    const b = f32x4.add(v128.load(x + i, 16), v128.load(columns + i, 16));
    v128.store(x + i, a);
    v128.store(x + i, b, 16);
  }
  if (i < vectors) {
    v128.store(x + i, f32x4.add(v128.load(x + i), v128.load(columns + i)));
    i += 16;
  }
  const rest = (bytes & 15) >> 2;
  if (rest) {
    storeTail(x + i, rest, f32x4.add(loadTail(x + i, rest, splat(0)), loadTail(columns + i, rest, splat(0))));
  }
}

export function im2col(out: usize, x: usize, images: usize, geometry: usize): void {
  const imageStride = entry(geometry, 0) << 2;
  const outHeight = entry(geometry, 1);
  const rowStride = entry(geometry, 2) << 2;
  const outWidth = entry(geometry, 3);
  const positionStride = entry(geometry, 4) << 2;
  const kernelHeight = entry(geometry, 5);
  const kernelRowStride = entry(geometry, 6) << 2;
  const runs = entry(geometry, 7);
  const runStride = entry(geometry, 8) << 2;
  const bytes = entry(geometry, 9) << 2;
  for (; images; images--) {
    let row = x;
    for (let i: usize = 0; i < outHeight; i++) {
      let position = row;
      for (let j: usize = 0; j < outWidth; j++) {
        if (bytes == 12 && (i + 1 < outHeight || j + 1 < outWidth)) {
          out = copyTriples(out, position, kernelHeight, kernelRowStride, runs, runStride);
          position += positionStride;
          continue;
        }
        let line = position;
        for (let k: usize = 0; k < kernelHeight; k++) {
          let p = line;
          for (let r: usize = 0; r < runs; r++) {
            copyRun(out, p, bytes);
            out += bytes;
            p += runStride;
          }
          line += kernelRowStride;
        }
        position += positionStride;
      }
      row += rowStride;
    }
    x += imageStride;
  }
}

export function col2im(x: usize, columns: usize, images: usize, geometry: usize): void {
  const imageStride = entry(geometry, 0) << 2;
  const outHeight = entry(geometry, 1);
  const rowStride = entry(geometry, 2) << 2;
  const outWidth = entry(geometry, 3);
  const positionStride = entry(geometry, 4) << 2;
  const kernelHeight = entry(geometry, 5);
  const kernelRowStride = entry(geometry, 6) << 2;
  const runs = entry(geometry, 7);
  const runStride = entry(geometry, 8) << 2;
  const bytes = entry(geometry, 9) << 2;
  for (; images; images--) {
    let row = x;
    for (let i: usize = 0; i < outHeight; i++) {
      let position = row;
      for (let j: usize = 0; j < outWidth; j++) {
        let line = position;
        for (let k: usize = 0; k < kernelHeight; k++) {
          let p = line;
          for (let r: usize = 0; r < runs; r++) {
            addRun(p, columns, bytes);
            columns += bytes;
            p += runStride;
          }
          line += kernelRowStride;
        }
        position += positionStride;
      }
      row += rowStride;
    }
    x += imageStride;
  }
}
