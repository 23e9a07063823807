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
