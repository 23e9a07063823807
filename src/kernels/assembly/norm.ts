/**
 * Layer and RMS normalisation of the rows of a matrix, y = (x - mean) / deviation * weight + bias. The two numbers of each row
 * are computed once and read by forward and backward pass. Lane order depends on `columns` only.
 */
import { loadTail, madd, nmadd, splat, storeTail, sumLanes } from './simd';

/** Sum of x. Four accumulators, so that one addition need not wait for the last. */
function rowSum(x: usize, columns: usize): f32 {
  let a = splat(0);
  let b = splat(0);
  let c = splat(0);
  let d = splat(0);
  const wide = x + ((columns & ~15) << 2);
  while (x < wide) {
    a = f32x4.add(a, v128.load(x));
    b = f32x4.add(b, v128.load(x, 16));
    c = f32x4.add(c, v128.load(x, 32));
    d = f32x4.add(d, v128.load(x, 48));
    x += 64;
  }
  const end = x + ((columns & 12) << 2);
  while (x < end) {
    a = f32x4.add(a, v128.load(x));
    x += 16;
  }
  const rest = columns & 3;
  if (rest) b = f32x4.add(b, loadTail(x, rest, splat(0)));
  return sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
}

/** Sum of (x - mean)^2. */
function squaredDeviations(x: usize, columns: usize, mean: f32): f32 {
  const m = splat(mean);
  let a = splat(0);
  let b = splat(0);
  const wide = x + ((columns & ~7) << 2);
  while (x < wide) {
    const u = f32x4.sub(v128.load(x), m);
    const v = f32x4.sub(v128.load(x, 16), m);
    a = madd(u, u, a);
    b = madd(v, v, b);
    x += 32;
  }
  if (columns & 4) {
    const u = f32x4.sub(v128.load(x), m);
    a = madd(u, u, a);
    x += 16;
  }
  const rest = columns & 3;
  if (rest) {
    const u = f32x4.sub(loadTail(x, rest, m), m);
    b = madd(u, u, b);
  }
  return sumLanes(f32x4.add(a, b));
}

/** out[i] = mean of row i (0 unless `centre`), 1 / sqrt(mean of (x - mean)^2 + epsilon). */
export function normStats(out: usize, x: usize, rows: usize, columns: usize, epsilon: f32, centre: i32): void {
  const size = <f32>columns;
  for (let i: usize = 0; i < rows; i++) {
    const mean: f32 = centre ? rowSum(x, columns) / size : 0;
    store<f32>(out, mean);
    store<f32>(out, 1 / sqrt<f32>(squaredDeviations(x, columns, mean) / size + epsilon), 4);
    x += columns << 2;
    out += 8;
  }
}

/** out = (x - mean) rstd weight + bias; weight = 0 stands for ones, bias = 0 for zeros. */
export function normalize(
  out: usize, x: usize, stats: usize, weight: usize, bias: usize, rows: usize, columns: usize,
): void {
  const vectors = (columns & ~3) << 2;
  const rest = columns & 3;
  for (let i: usize = 0; i < rows; i++) {
    const mean = v128.load32_splat(stats);
    const rstd = v128.load32_splat(stats, 4);
    for (let j: usize = 0; j < vectors; j += 16) {
      let y = f32x4.mul(f32x4.sub(v128.load(x + j), mean), rstd);
      if (weight) y = f32x4.mul(y, v128.load(weight + j));
      if (bias) y = f32x4.add(y, v128.load(bias + j));
      v128.store(out + j, y);
    }
    if (rest) {
      let y = f32x4.mul(f32x4.sub(loadTail(x + vectors, rest, mean), mean), rstd);
      if (weight) y = f32x4.mul(y, loadTail(weight + vectors, rest, mean));
      if (bias) y = f32x4.add(y, loadTail(bias + vectors, rest, mean));
      storeTail(out + vectors, rest, y);
    }
    x += columns << 2;
    out += columns << 2;
    stats += 8;
  }
}

/** out = rstd (g - mean(g) - xhat mean(g xhat)), g = dy weight, xhat = (x - mean) rstd; without mean(g) unless `centre`. */
export function normalizeGrad(
  out: usize, x: usize, stats: usize, weight: usize, dy: usize, rows: usize, columns: usize, centre: i32,
): void {
  const vectors = (columns & ~3) << 2;
  const rest = columns & 3;
  const inverse: f32 = 1 / <f32>columns;
  for (let i: usize = 0; i < rows; i++) {
    const mean = v128.load32_splat(stats);
    const rstd = v128.load32_splat(stats, 4);
    let sum = splat(0);
    let dot = splat(0);
    let j: usize = 0;
    if (vectors >= 32) {
      let sum1 = splat(0);
      let dot1 = splat(0);
      for (; j + 32 <= vectors; j += 32) {
        let g = v128.load(dy + j);
        let h = v128.load(dy + j, 16);
        if (weight) {
          g = f32x4.mul(g, v128.load(weight + j));
          h = f32x4.mul(h, v128.load(weight + j, 16));
        }
        sum = f32x4.add(sum, g);
        sum1 = f32x4.add(sum1, h);
        dot = madd(g, f32x4.sub(v128.load(x + j), mean), dot);
        dot1 = madd(h, f32x4.sub(v128.load(x + j, 16), mean), dot1);
      }
      sum = f32x4.add(sum, sum1);
      dot = f32x4.add(dot, dot1);
    }
    for (; j < vectors; j += 16) {
      let g = v128.load(dy + j);
      if (weight) g = f32x4.mul(g, v128.load(weight + j));
      sum = f32x4.add(sum, g);
      dot = madd(g, f32x4.sub(v128.load(x + j), mean), dot);
    }
    if (rest) {
      let g = loadTail(dy + vectors, rest, splat(0));
      if (weight) g = f32x4.mul(g, loadTail(weight + vectors, rest, splat(0)));
      sum = f32x4.add(sum, g);
      dot = madd(g, f32x4.sub(loadTail(x + vectors, rest, mean), mean), dot);
    }
    const shift = splat(centre ? sumLanes(sum) * inverse : 0);
    const r = f32x4.extract_lane(rstd, 0);
    const slope = splat(sumLanes(dot) * inverse * r * r);
    for (let j: usize = 0; j < vectors; j += 16) {
      let g = v128.load(dy + j);
      if (weight) g = f32x4.mul(g, v128.load(weight + j));
      const d = nmadd(f32x4.sub(v128.load(x + j), mean), slope, f32x4.sub(g, shift));
      v128.store(out + j, f32x4.mul(d, rstd));
    }
    if (rest) {
      let g = loadTail(dy + vectors, rest, splat(0));
      if (weight) g = f32x4.mul(g, loadTail(weight + vectors, rest, splat(0)));
      const d = nmadd(f32x4.sub(loadTail(x + vectors, rest, mean), mean), slope, f32x4.sub(g, shift));
      storeTail(out + vectors, rest, f32x4.mul(d, rstd));
    }
    x += columns << 2;
    dy += columns << 2;
    out += columns << 2;
    stats += 8;
  }
}

/** out[j] = sum over rows of dy xhat: the gradient of the weight. Sixteen columns at a time, in registers. */
export function normalizeScaleGrad(out: usize, x: usize, stats: usize, dy: usize, rows: usize, columns: usize): void {
  const stride = columns << 2;
  let j: usize = 0;
  for (; j + 16 <= columns; j += 16) {
    let a = splat(0);
    let b = splat(0);
    let c = splat(0);
    let d = splat(0);
    let p = x + (j << 2);
    let q = dy + (j << 2);
    let s = stats;
    for (let i: usize = 0; i < rows; i++) {
      const mean = v128.load32_splat(s);
      const rstd = v128.load32_splat(s, 4);
      a = madd(v128.load(q), f32x4.mul(f32x4.sub(v128.load(p), mean), rstd), a);
      b = madd(v128.load(q, 16), f32x4.mul(f32x4.sub(v128.load(p, 16), mean), rstd), b);
      c = madd(v128.load(q, 32), f32x4.mul(f32x4.sub(v128.load(p, 32), mean), rstd), c);
      d = madd(v128.load(q, 48), f32x4.mul(f32x4.sub(v128.load(p, 48), mean), rstd), d);
      p += stride;
      q += stride;
      s += 8;
    }
    const o = out + (j << 2);
    v128.store(o, a);
    v128.store(o, b, 16);
    v128.store(o, c, 32);
    v128.store(o, d, 48);
  }
  for (; j < columns; j += 4) {
    const n = min<usize>(4, columns - j);
    let a = splat(0);
    let p = x + (j << 2);
    let q = dy + (j << 2);
    let s = stats;
    for (let i: usize = 0; i < rows; i++) {
      const mean = v128.load32_splat(s);
      const u = n == 4 ? v128.load(p) : loadTail(p, n, mean);
      const v = n == 4 ? v128.load(q) : loadTail(q, n, splat(0));
      a = madd(v, f32x4.mul(f32x4.sub(u, mean), v128.load32_splat(s, 4)), a);
      p += stride;
      q += stride;
      s += 8;
    }
    if (n == 4) v128.store(out + (j << 2), a);
    else storeTail(out + (j << 2), n, a);
  }
}
