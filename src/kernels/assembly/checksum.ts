/** The checksum of what crosses the network: integers only, so every build gives the same. */

/** Odd, so that multiplying by it loses nothing. */
// @ts-ignore: decorator
@inline
const K: i32 = 0x9e3779b1;

// @ts-ignore: decorator
@inline
function mix(h: v128, x: v128, k: v128): v128 {
  const t = v128.xor(h, x);
  return i32x4.mul(v128.or(i32x4.shl(t, 13), i32x4.shr_u(t, 19)), k);
}

// @ts-ignore: decorator
@inline
function fold(h: i32, lane: i32): i32 {
  return rotl(h ^ lane, 13) * K;
}

// @ts-ignore: decorator
@inline
function foldAll(h: i32, v: v128): i32 {
  h = fold(h, i32x4.extract_lane(v, 0));
  h = fold(h, i32x4.extract_lane(v, 1));
  h = fold(h, i32x4.extract_lane(v, 2));
  return fold(h, i32x4.extract_lane(v, 3));
}

export function checksum(x: usize, blocks: i32, seed: i32): i32 {
  const k = i32x4.splat(K);
  let a = i32x4.splat(seed);
  let b = a;
  let c = a;
  let d = a;
  let e = a;
  let f = a;
  let g = a;
  let h = a;
  const end = x + ((<usize>blocks) << 7);
  while (x < end) {
    a = mix(a, v128.load(x), k);
    b = mix(b, v128.load(x, 16), k);
    c = mix(c, v128.load(x, 32), k);
    d = mix(d, v128.load(x, 48), k);
    e = mix(e, v128.load(x, 64), k);
    f = mix(f, v128.load(x, 80), k);
    g = mix(g, v128.load(x, 96), k);
    h = mix(h, v128.load(x, 112), k);
    x += 128;
  }
  let sum = seed;
  sum = foldAll(sum, a);
  sum = foldAll(sum, b);
  sum = foldAll(sum, c);
  sum = foldAll(sum, d);
  sum = foldAll(sum, e);
  sum = foldAll(sum, f);
  sum = foldAll(sum, g);
  return foldAll(sum, h);
}

/** Where things lie in the state of a checksum that is taken bit by bit: lanes, the beginning of a block, and three words. */
const BEGUN: usize = 128;
const SUM: usize = 256;
const FILLED: usize = 260;
const LEFT: usize = 264;

/** Bytes after which the sum takes the lanes. */
const SECTION: i32 = 32768;

export function checksumTake(state: usize, out: usize, x: usize, length: i32): void {
  while (length > 0) {
    let filled = load<i32>(state, FILLED);
    let part = min(length, SECTION - filled);
    const left = load<i32>(state, LEFT) - part;
    length -= part;
    const begun = filled & 127;
    filled += part;
    if (begun !== 0) {
      const head = min(128 - begun, part);
      memory.copy(state + BEGUN + begun, x, head);
      if (out !== 0) {
        memory.copy(out, x, head);
        out += head;
      }
      x += head;
      part -= head;
      if (begun + head === 128) takeBlocks(state, 0, state + BEGUN, 1);
    }
    const blocks = part >> 7;
    if (blocks > 0) {
      takeBlocks(state, out, x, blocks);
      x += blocks << 7;
      if (out !== 0) out += blocks << 7;
      part &= 127;
    }
    if (part > 0) {
      memory.copy(state + BEGUN, x, part);
      if (out !== 0) {
        memory.copy(out, x, part);
        out += part;
      }
      x += part;
    }
    if (filled === SECTION || left === 0) {
      const rest = filled & 127;
      if (rest > 0) {
        memory.fill(state + BEGUN + rest, 0, 128 - rest);
        takeBlocks(state, 0, state + BEGUN, 1);
      }
      filled = 0;
      takeLanes(state);
    }
    store<i32>(state, filled, FILLED);
    store<i32>(state, left, LEFT);
  }
}

/** The lanes take blocks of x, which are copied to `out` where it is not 0. */
function takeBlocks(lanes: usize, out: usize, x: usize, blocks: i32): void {
  const k = i32x4.splat(K);
  let a = v128.load(lanes);
  let b = v128.load(lanes, 16);
  let c = v128.load(lanes, 32);
  let d = v128.load(lanes, 48);
  let e = v128.load(lanes, 64);
  let f = v128.load(lanes, 80);
  let g = v128.load(lanes, 96);
  let h = v128.load(lanes, 112);
  const end = x + ((<usize>blocks) << 7);
  if (out === 0) {
    while (x < end) {
      a = mix(a, v128.load(x), k);
      b = mix(b, v128.load(x, 16), k);
      c = mix(c, v128.load(x, 32), k);
      d = mix(d, v128.load(x, 48), k);
      e = mix(e, v128.load(x, 64), k);
      f = mix(f, v128.load(x, 80), k);
      g = mix(g, v128.load(x, 96), k);
      h = mix(h, v128.load(x, 112), k);
      x += 128;
    }
  } else {
    while (x < end) {
      a = mix(a, move(out, x, 0), k);
      b = mix(b, move(out, x, 16), k);
      c = mix(c, move(out, x, 32), k);
      d = mix(d, move(out, x, 48), k);
      e = mix(e, move(out, x, 64), k);
      f = mix(f, move(out, x, 80), k);
      g = mix(g, move(out, x, 96), k);
      h = mix(h, move(out, x, 112), k);
      x += 128;
      out += 128;
    }
  }
  v128.store(lanes, a);
  v128.store(lanes, b, 16);
  v128.store(lanes, c, 32);
  v128.store(lanes, d, 48);
  v128.store(lanes, e, 64);
  v128.store(lanes, f, 80);
  v128.store(lanes, g, 96);
  v128.store(lanes, h, 112);
}

// @ts-ignore: decorator
@inline
function move(out: usize, x: usize, at: usize): v128 {
  const v = v128.load(x + at);
  v128.store(out + at, v);
  return v;
}

/** The sum takes the lanes, which begin anew as what it is then. */
function takeLanes(state: usize): void {
  let sum = load<i32>(state, SUM);
  for (let i: usize = 0; i < 128; i += 16) sum = foldAll(sum, v128.load(state + i));
  const all = i32x4.splat(sum);
  for (let i: usize = 0; i < 128; i += 16) v128.store(state + i, all);
  store<i32>(state, sum, SUM);
}
