/**
 * What every kernel is built from. `FMA` is a compile-time constant (scripts/build-wasm.mjs): 0 in simd128.wasm, where a
 * product is rounded before it is added; 1 in relaxed.wasm, which uses relaxed-simd's fused multiply-add.
 *
 * Tails run through the same vector arithmetic as full vectors, with unused lanes: so an element's result depends
 * neither on its position nor on `count`.
 */

// @ts-ignore: decorator
@inline
export function splat(x: f32): v128 {
  return f32x4.splat(x);
}

/**
 * Element `index` of a table of constants (`memory.data`) in every lane. Long formulas read their constants from memory: V8
 * makes others anew from three instructions at every use (Node 22 and later) or spills them (Node 20).
 */
// @ts-ignore: decorator
@inline
export function constant(table: usize, index: usize): v128 {
  return v128.load32_splat(table + (index << 2));
}

/** The same in two f64 lanes. */
// @ts-ignore: decorator
@inline
export function constant64(table: usize, index: usize): v128 {
  return v128.load64_splat(table + (index << 3));
}

/** a * b + c */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (FMA) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** c - a * b */
// @ts-ignore: decorator
@inline
export function nmadd(a: v128, b: v128, c: v128): v128 {
  if (FMA) return f32x4.relaxed_nmadd(a, b, c);
  return f32x4.sub(c, f32x4.mul(a, b));
}

/** a * b + c in two f64 lanes. */
// @ts-ignore: decorator
@inline
export function madd64(a: v128, b: v128, c: v128): v128 {
  if (FMA) return f64x2.relaxed_madd(a, b, c);
  return f64x2.add(f64x2.mul(a, b), c);
}

/** mask ? a : b, by lane; each lane of mask is all ones or all zeros. */
// @ts-ignore: decorator
@inline
export function select(mask: v128, a: v128, b: v128): v128 {
  if (FMA) return i32x4.relaxed_laneselect(a, b, mask);
  return v128.bitselect(a, b, mask);
}

/** min(x, limit) with NaN kept. */
// @ts-ignore: decorator
@inline
export function atMost(x: v128, limit: v128): v128 {
  return f32x4.pmin(x, limit);
}

/** max(x, limit) with NaN kept. */
// @ts-ignore: decorator
@inline
export function atLeast(x: v128, limit: v128): v128 {
  return f32x4.pmax(x, limit);
}

/** Sum of the four lanes, (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
export function sumLanes(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) +
    f32x4.extract_lane(v, 2) +
    (f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 3))
  );
}

// @ts-ignore: decorator
@inline
export function maxLanes(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 2)),
    max(f32x4.extract_lane(v, 1), f32x4.extract_lane(v, 3)),
  );
}

// @ts-ignore: decorator
@inline
export function minLanes(v: v128): f32 {
  return min(
    min(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 2)),
    min(f32x4.extract_lane(v, 1), f32x4.extract_lane(v, 3)),
  );
}

/** The two upper f32 lanes as f64. */
// @ts-ignore: decorator
@inline
export function promoteHigh(v: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<u32>(v, v, 2, 3, 2, 3));
}

/** Two pairs of f64 as four f32. */
// @ts-ignore: decorator
@inline
export function demote(low: v128, high: v128): v128 {
  return v128.shuffle<u32>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 4, 5);
}

/** Reads n = 1..3 elements; the other lanes keep `rest`. */
export function loadTail(p: usize, n: usize, rest: v128): v128 {
  let v = v128.load_lane<u32>(p, rest, 0);
  if (n > 1) v = v128.load_lane<u32>(p, v, 1, 4);
  if (n > 2) v = v128.load_lane<u32>(p, v, 2, 8);
  return v;
}

/** Writes n = 1..3 elements. */
export function storeTail(p: usize, n: usize, v: v128): void {
  v128.store_lane<u32>(p, v, 0);
  if (n > 1) v128.store_lane<u32>(p, v, 1, 4);
  if (n > 2) v128.store_lane<u32>(p, v, 2, 8);
}

/** A class with one method, given as a type: AssemblyScript's way to pass a function that is inlined. */
// @ts-ignore: decorator
@inline
export function op<T>(): T {
  return changetype<T>(0);
}
