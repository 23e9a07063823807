/**
 * Formats in which floats cross the network: bf16, int8 with a scale for each group, the largest few. No fused multiply-add anywhere:
 * sender and receiver may run different builds, and both must read the same numbers.
 */

/** Floats that share an int8 scale. */
// @ts-ignore: decorator
@inline
const GROUP: usize = 256;

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

/** Bytes: an f32 scale for each group, then an i8 for each float. */
export function int8Take(out: usize, x: usize, count: usize): void {
  let scales = out;
  let bytes = out + (((count + GROUP - 1) / GROUP) << 2);
  while (count > 0) {
    const n = min(count, GROUP);
    const most = largest(x, n);
    if (!(most <= f32.MAX_VALUE)) { // NaN or infinite: so is all of the group, and nothing of it is kept
      store<f32>(scales, <f32>NaN);
      memory.fill(bytes, 0, n);
      memory.fill(x, 0, n << 2);
      bytes += n;
      x += n << 2;
    } else {
      let scale: f32 = most / 127;
      let inverse: f32 = 0;
      if (scale < 1e-30) scale = 0; // its reciprocal might overflow; what is so small waits for more
      else inverse = 1 / scale;
      store<f32>(scales, scale);
      const end = x + (n << 2);
      const wide = x + ((n & ~15) << 2);
      const scale4 = f32x4.splat(scale);
      const inverse4 = f32x4.splat(inverse);
      while (x < wide) {
        const low = i16x8.narrow_i32x4_s(take4(x, inverse4, scale4), take4(x + 16, inverse4, scale4));
        const high = i16x8.narrow_i32x4_s(take4(x + 32, inverse4, scale4), take4(x + 48, inverse4, scale4));
        v128.store(bytes, i8x16.narrow_i16x8_s(low, high));
        x += 64;
        bytes += 16;
      }
      while (x < end) {
        const y = load<f32>(x);
        const q = nearest(y * inverse);
        store<f32>(x, y - q * scale);
        store<i8>(bytes, <i8>(<i32>q));
        x += 4;
        bytes += 1;
      }
    }
    scales += 4;
    count -= n;
  }
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
      const q = v128.load_ext<i8>(bytes);
      let low = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(q)), scale4);
      let high = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(q)), scale4);
      if (add) {
        low = f32x4.add(v128.load(x), low);
        high = f32x4.add(v128.load(x, 16), high);
      }
      v128.store(x, low);
      v128.store(x, high, 16);
      bytes += 8;
      x += 32;
    }
    while (x < end) {
      const y = <f32>load<i8>(bytes) * scale;
      store<f32>(x, add ? load<f32>(x) + y : y);
      bytes += 1;
      x += 4;
    }
    scales += 4;
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
