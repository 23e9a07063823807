/**
 * Formats in which floats cross the network: bf16, int8 and int4 with a scale for each group, the largest few. No fused multiply-add anywhere:
 * sender and receiver may run different builds, and both must read the same numbers.
 */

/** Floats that share an int8 scale. */
// @ts-ignore: decorator
@inline
const GROUP: usize = 256;

/** Floats that share an int4 scale: with so few steps a large one among many costs the others more. */
// @ts-ignore: decorator
@inline
const GROUP4: usize = 128;

/** The bf16 of f32 bits: rounded to nearest, ties to even; a NaN stays one. */
// @ts-ignore: decorator
@inline
function bf16(bits: u32): u32 {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >> 16) | 0x40;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

// @ts-ignore: decorator
@inline
function bf16x4(bits: v128): v128 {
  const odd = v128.and(i32x4.shr_u(bits, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(bits, i32x4.add(odd, i32x4.splat(0x7fff))), 16);
  const nan = i32x4.gt_s(v128.and(bits, i32x4.splat(0x7fffffff)), i32x4.splat(0x7f800000));
  return v128.bitselect(v128.or(i32x4.shr_u(bits, 16), i32x4.splat(0x40)), rounded, nan);
}

export function bf16Encode(out: usize, x: usize, count: usize): void {
  const wide = x + ((count & ~7) << 2);
  while (x < wide) {
    v128.store(out, i16x8.narrow_i32x4_u(bf16x4(v128.load(x)), bf16x4(v128.load(x, 16))));
    x += 32;
    out += 16;
  }
  const end = x + ((count & 7) << 2);
  while (x < end) {
    store<u16>(out, <u16>bf16(load<u32>(x)));
    x += 4;
    out += 2;
  }
}

export function bf16Decode(out: usize, bytes: usize, count: usize): void {
  const wide = out + ((count & ~7) << 2);
  while (out < wide) {
    const y = v128.load(bytes);
    v128.store(out, i32x4.shl(i32x4.extend_low_i16x8_u(y), 16));
    v128.store(out, i32x4.shl(i32x4.extend_high_i16x8_u(y), 16), 16);
    bytes += 16;
    out += 32;
  }
  const end = out + ((count & 7) << 2);
  while (out < end) {
    store<u32>(out, (<u32>load<u16>(bytes)) << 16);
    bytes += 2;
    out += 4;
  }
}

/** Largest magnitude of a group; NaN where one is. */
// @ts-ignore: decorator
@inline
function largest(x: usize, count: usize): f32 {
  let most = f32x4.splat(0);
  const wide = x + ((count & ~3) << 2);
  while (x < wide) {
    most = f32x4.max(most, f32x4.abs(v128.load(x)));
    x += 16;
  }
  let m = max(
    max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)),
    max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)),
  );
  const end = x + ((count & 3) << 2);
  while (x < end) {
    m = max(m, abs(load<f32>(x)));
    x += 4;
  }
  return m;
}

// @ts-ignore: decorator
@inline
function take4(x: usize, inverse: v128, scale: v128): v128 {
  const y = v128.load(x);
  const q = f32x4.nearest(f32x4.mul(y, inverse));
  v128.store(x, f32x4.sub(y, f32x4.mul(q, scale)));
  return i32x4.trunc_sat_f32x4_s(q);
}

/** Takes 16 floats out of x as bytes. */
// @ts-ignore: decorator
@inline
function take16(x: usize, inverse: v128, scale: v128): v128 {
  const low = i16x8.narrow_i32x4_s(take4(x, inverse, scale), take4(x + 16, inverse, scale));
  const high = i16x8.narrow_i32x4_s(take4(x + 32, inverse, scale), take4(x + 48, inverse, scale));
  return i8x16.narrow_i16x8_s(low, high);
}

// @ts-ignore: decorator
@inline
function take1(x: usize, inverse: f32, scale: f32): i32 {
  const y = load<f32>(x);
  const q = nearest(y * inverse);
  store<f32>(x, y - q * scale);
  return <i32>q;
}

/** The scale at which the largest magnitude of a group is `steps`; NaN if that is not finite. */
// @ts-ignore: decorator
@inline
function scaleOf(most: f32, steps: f32): f32 {
  if (!(most <= f32.MAX_VALUE)) return <f32>NaN; // so is all of the group, and nothing of it is kept
  const scale = most / steps;
  return scale < 1e-30 ? 0 : scale; // its reciprocal might overflow; what is so small waits for more
}

/** Bytes: an f32 scale for each group, then an i8 for each float. */
export function int8Take(out: usize, x: usize, count: usize): void {
  let scales = out;
  let bytes = out + (((count + GROUP - 1) / GROUP) << 2);
  while (count > 0) {
    const n = min(count, GROUP);
    const scale = scaleOf(largest(x, n), 127);
    store<f32>(scales, scale);
    if (scale !== scale) {
      memory.fill(bytes, 0, n);
      memory.fill(x, 0, n << 2);
      bytes += n;
      x += n << 2;
    } else {
      const inverse: f32 = scale > 0 ? 1 / scale : 0;
      const end = x + (n << 2);
      const wide = x + ((n & ~15) << 2);
      const scale4 = f32x4.splat(scale);
      const inverse4 = f32x4.splat(inverse);
      while (x < wide) {
        v128.store(bytes, take16(x, inverse4, scale4));
        x += 64;
        bytes += 16;
      }
      while (x < end) {
        store<i8>(bytes, <i8>take1(x, inverse, scale));
        x += 4;
        bytes += 1;
      }
    }
    scales += 4;
    count -= n;
  }
}

// @ts-ignore: decorator
@inline
function put4(x: usize, q: v128, scale: v128, add: i32): void {
  const y = f32x4.mul(f32x4.convert_i32x4_s(q), scale);
  v128.store(x, add ? f32x4.add(v128.load(x), y) : y);
}

/** Puts 8 numbers of 16 bits. */
// @ts-ignore: decorator
@inline
function put8(x: usize, q: v128, scale: v128, add: i32): void {
  put4(x, i32x4.extend_low_i16x8_s(q), scale, add);
  put4(x + 16, i32x4.extend_high_i16x8_s(q), scale, add);
}

// @ts-ignore: decorator
@inline
function put1(x: usize, q: i32, scale: f32, add: i32): void {
  const y = <f32>q * scale;
  store<f32>(x, add ? load<f32>(x) + y : y);
}

export function int8Put(x: usize, bytes: usize, count: usize, add: i32): void {
  let scales = bytes;
  bytes += ((count + GROUP - 1) / GROUP) << 2;
  while (count > 0) {
    const n = min(count, GROUP);
    const scale = load<f32>(scales);
    const scale4 = f32x4.splat(scale);
    const end = x + (n << 2);
    const wide = x + ((n & ~7) << 2);
    while (x < wide) {
      put8(x, v128.load_ext<i8>(bytes), scale4, add);
      bytes += 8;
      x += 32;
    }
    while (x < end) {
      put1(x, load<i8>(bytes), scale, add);
      bytes += 1;
      x += 4;
    }
    scales += 4;
    count -= n;
  }
}

/**
 * Bytes: an f32 scale for each group, then for each group of n floats (n + 1) / 2 bytes: the first half of them in the lower four bits, the
 * second in the upper.
 */
export function int4Take(out: usize, x: usize, count: usize): void {
  let scales = out;
  let bytes = out + (((count + GROUP4 - 1) / GROUP4) << 2);
  while (count > 0) {
    const n = min(count, GROUP4);
    const half = (n + 1) >> 1;
    const scale = scaleOf(largest(x, n), 7);
    store<f32>(scales, scale);
    if (scale !== scale) {
      memory.fill(bytes, 0, half);
      memory.fill(x, 0, n << 2);
    } else {
      const inverse: f32 = scale > 0 ? 1 / scale : 0;
      const scale4 = f32x4.splat(scale);
      const inverse4 = f32x4.splat(inverse);
      const second = half << 2;
      const wide = (n - half) & ~15;
      let j: usize = 0;
      for (; j < wide; j += 16) {
        const low = take16(x + (j << 2), inverse4, scale4);
        const high = take16(x + second + (j << 2), inverse4, scale4);
        v128.store(bytes + j, v128.or(v128.and(low, i8x16.splat(15)), i8x16.shl(high, 4)));
      }
      for (; j < half; j++) {
        const low = take1(x + (j << 2), inverse, scale);
        const high = half + j < n ? take1(x + second + (j << 2), inverse, scale) : 0;
        store<u8>(bytes + j, <u8>((low & 15) | (high << 4)));
      }
    }
    scales += 4;
    bytes += half;
    x += n << 2;
    count -= n;
  }
}

export function int4Put(x: usize, bytes: usize, count: usize, add: i32): void {
  let scales = bytes;
  bytes += ((count + GROUP4 - 1) / GROUP4) << 2;
  while (count > 0) {
    const n = min(count, GROUP4);
    const half = (n + 1) >> 1;
    const scale = load<f32>(scales);
    const scale4 = f32x4.splat(scale);
    const second = half << 2;
    const wide = (n - half) & ~7;
    let j: usize = 0;
    for (; j < wide; j += 8) {
      const both = v128.load_ext<i8>(bytes + j); // sixteen bits, the upper half of which repeats the sign
      put8(x + (j << 2), i16x8.shr_s(i16x8.shl(both, 12), 12), scale4, add);
      put8(x + second + (j << 2), i16x8.shr_s(both, 4), scale4, add);
    }
    for (; j < half; j++) {
      const both = <i32>load<i8>(bytes + j);
      put1(x + (j << 2), (both << 28) >> 28, scale, add);
      if (half + j < n) put1(x + second + (j << 2), both >> 4, scale, add);
    }
    scales += 4;
    bytes += half;
    x += n << 2;
    count -= n;
  }
}

// Selection by the bits of the magnitude, which order as it does: three counts over 11, 11 and 9 bits find the k-th largest.

/** The bin from above in which the `k`-th falls; what bins above it hold is left in `counts[-1]`. */
function binOf(counts: usize, bins: u32, k: u32): u32 {
  let above: u32 = 0;
  let bin = bins - 1;
  for (;;) {
    const held = load<u32>(counts + (bin << 2));
    if (above + held >= k || bin === 0) break;
    above += held;
    bin -= 1;
  }
  store<u32>(counts - 4, above);
  return bin;
}

/** Counts bits [shift, shift + width) of the magnitudes whose bits above are `prefix`. */
function countBits(counts: usize, x: usize, end: usize, prefix: u32, shift: u32, width: u32): void {
  const mask: u32 = (1 << width) - 1;
  memory.fill(counts, 0, 4 << width);
  const top = shift + width;
  while (x < end) {
    const bits = load<u32>(x) & 0x7fffffff;
    if (bits >> top === prefix) {
      const at = counts + (((bits >> shift) & mask) << 2);
      store<u32>(at, load<u32>(at) + 1);
    }
    x += 4;
  }
}

/** Bytes: f32 values, then u16 places, in order of place. */
export function topkTake(out: usize, x: usize, count: usize, k: usize, scratch: usize): void {
  const end = x + (count << 2);
  const counts = scratch + 4;
  let left = <u32>k;
  countBits(counts, x, end, 0, 20, 11);
  let threshold = binOf(counts, 2048, left);
  left -= load<u32>(scratch);
  countBits(counts, x, end, threshold, 9, 11);
  let bin = binOf(counts, 2048, left);
  left -= load<u32>(scratch);
  threshold = (threshold << 11) | bin;
  countBits(counts, x, end, threshold, 0, 9);
  bin = binOf(counts, 512, left);
  left -= load<u32>(scratch); // so many that are exactly the threshold, the first ones
  threshold = (threshold << 9) | bin;

  let values = out;
  let places = out + (k << 2);
  const magnitude = i32x4.splat(0x7fffffff);
  const least = i32x4.splat(min<u32>(threshold, 0x7f800000));
  let place: u32 = 0;
  while (x < end) {
    if (end - x >= 16 && !v128.any_true(i32x4.ge_s(v128.and(v128.load(x), magnitude), least))) {
      x += 16;
      place += 4;
      continue;
    }
    const stop = min(x + 16, end);
    while (x < stop) {
      const bits = load<u32>(x) & 0x7fffffff;
      const takes = bits > threshold || (bits === threshold && left > 0);
      if (takes) {
        if (bits === threshold) left -= 1;
        store<f32>(values, load<f32>(x));
        store<u16>(places, <u16>place);
        values += 4;
        places += 2;
      }
      // What is not finite is never kept: it would spoil every step to come.
      if (takes || bits >= 0x7f800000) store<f32>(x, 0);
      x += 4;
      place += 1;
    }
  }
}

export function topkPut(x: usize, bytes: usize, count: usize, k: usize, add: i32): i32 {
  const places = bytes + (k << 2);
  let next: u32 = 0;
  for (let i: usize = 0; i < k; i++) {
    const place = <u32>load<u16>(places + (i << 1));
    if (place < next || place >= <u32>count) return 0;
    next = place + 1;
  }
  if (!add) memory.fill(x, 0, count << 2);
  for (let i: usize = 0; i < k; i++) {
    const at = x + ((<usize>load<u16>(places + (i << 1))) << 2);
    const y = load<f32>(bytes + (i << 2));
    store<f32>(at, add ? load<f32>(at) + y : y);
  }
  return 1;
}
