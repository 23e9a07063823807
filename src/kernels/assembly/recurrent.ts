/**
 * One time step of the recurrent layers, forwards and backwards, behind the GEMM of that step: one pass over the gates. A row whose mask is 0
 * keeps its state, and gradients go through it unchanged.
 */
import { sigmoid4, tanh4 } from './exp-log';
import { atLeast, loadTail, madd, nmadd, splat, storeTail } from './simd';

/** A full vector where `rest` is 0, which the compiler knows; else that many elements. */
// @ts-ignore: decorator
@inline
function read(p: usize, rest: usize): v128 {
  if (rest == 0) return v128.load(p);
  return loadTail(p, rest, splat(0));
}

// @ts-ignore: decorator
@inline
function write(p: usize, rest: usize, x: v128): void {
  if (rest == 0) v128.store(p, x);
  else storeTail(p, rest, x);
}

// @ts-ignore: decorator
@inline
function isMasked(mask: usize): bool {
  return mask != 0 && load<f32>(mask) == 0;
}

/** dy s (1 - s): through the sigmoid that gave s. */
// @ts-ignore: decorator
@inline
function throughSigmoid(dy: v128, s: v128): v128 {
  return f32x4.mul(dy, nmadd(s, s, s));
}

/** dy (1 - t^2): through the tanh that gave t. */
// @ts-ignore: decorator
@inline
function throughTanh(dy: v128, t: v128): v128 {
  return f32x4.mul(dy, nmadd(t, t, splat(1.0)));
}

// @ts-ignore: decorator
@inline
function rnnLanes(h: usize, z: usize, bias: usize, code: i32, rest: usize): void {
  const x = f32x4.add(read(z, rest), read(bias, rest));
  write(h, rest, code == 0 ? tanh4(x) : atLeast(x, splat(0)));
}

/** h = tanh(z + bias), or relu where `code` is 1. */
export function rnnStep(
  h: usize, z: usize, bias: usize, hPrevious: usize, mask: usize, rows: usize, hidden: usize, code: i32,
): void {
  const bytes = hidden << 2;
  const rest = hidden & 3;
  const full = bytes & ~15;
  for (; rows; rows--) {
    if (isMasked(mask)) memory.copy(h, hPrevious, bytes);
    else {
      for (let j: usize = 0; j < full; j += 16) rnnLanes(h + j, z + j, bias + j, code, 0);
      if (rest) rnnLanes(h + full, z + full, bias + full, code, rest);
    }
    h += bytes;
    z += bytes;
    hPrevious += bytes;
    if (mask) mask += 4;
  }
}

// @ts-ignore: decorator
@inline
function rnnGradLanes(dz: usize, h: usize, dh: usize, dOut: usize, masked: bool, code: i32, rest: usize): void {
  let d = read(dh, rest);
  if (dOut) d = f32x4.add(d, read(dOut, rest));
  const y = read(h, rest);
  write(dz, rest, code == 0 ? throughTanh(d, y) : v128.and(d, f32x4.gt(y, splat(0))));
  if (masked) write(dh, rest, splat(0));
}

/** The row of dh is the gradient that goes on past a masked step: dh + dOut. */
function passOn(dh: usize, dOut: usize, hidden: usize): void {
  if (dOut == 0) return;
  for (; hidden; hidden--) {
    store<f32>(dh, load<f32>(dh) + load<f32>(dOut));
    dh += 4;
    dOut += 4;
  }
}

export function rnnStepGrad(
  dz: usize, h: usize, dh: usize, dOut: usize, mask: usize, rows: usize, hidden: usize, code: i32,
): void {
  const bytes = hidden << 2;
  const rest = hidden & 3;
  const full = bytes & ~15;
  for (; rows; rows--) {
    if (isMasked(mask)) {
      memory.fill(dz, 0, bytes);
      passOn(dh, dOut, hidden);
    } else {
      for (let j: usize = 0; j < full; j += 16) {
        rnnGradLanes(dz + j, h + j, dh + j, dOut ? dOut + j : 0, mask != 0, code, 0);
      }
      if (rest) rnnGradLanes(dz + full, h + full, dh + full, dOut ? dOut + full : 0, mask != 0, code, rest);
    }
    dz += bytes;
    h += bytes;
    dh += bytes;
    if (dOut) dOut += bytes;
    if (mask) mask += 4;
  }
}

// @ts-ignore: decorator
@inline
function lstmCellLanes(c: usize, gates: usize, bias: usize, cPrevious: usize, bytes: usize, rest: usize): void {
  const i = sigmoid4(f32x4.add(read(gates, rest), read(bias, rest)));
  write(gates, rest, i);
  const f = sigmoid4(f32x4.add(read(gates + bytes, rest), read(bias + bytes, rest)));
  write(gates + bytes, rest, f);
  const g = tanh4(f32x4.add(read(gates + 2 * bytes, rest), read(bias + 2 * bytes, rest)));
  write(gates + 2 * bytes, rest, g);
  write(c, rest, madd(f, read(cPrevious, rest), f32x4.mul(i, g)));
}

// @ts-ignore: decorator
@inline
function lstmOutputLanes(h: usize, tanhC: usize, c: usize, gate: usize, bias: usize, rest: usize): void {
  const o = sigmoid4(f32x4.add(read(gate, rest), read(bias, rest)));
  write(gate, rest, o);
  const t = tanh4(read(c, rest));
  write(tanhC, rest, t);
  write(h, rest, f32x4.mul(o, t));
}

/** Gates i, f, g, o one behind another in each row, before their activations; these take their place. */
export function lstmStep(
  h: usize, c: usize, tanhC: usize, gates: usize, bias: usize, hPrevious: usize, cPrevious: usize, mask: usize,
  rows: usize, hidden: usize,
): void {
  const bytes = hidden << 2;
  const rest = hidden & 3;
  const full = bytes & ~15;
  for (; rows; rows--) {
    if (isMasked(mask)) {
      memory.copy(h, hPrevious, bytes);
      memory.copy(c, cPrevious, bytes);
    } else {
      // In two loops, which have shorter chains: the processor then overlaps more of them.
      for (let j: usize = 0; j < full; j += 16) {
        lstmCellLanes(c + j, gates + j, bias + j, cPrevious + j, bytes, 0);
      }
      if (rest) lstmCellLanes(c + full, gates + full, bias + full, cPrevious + full, bytes, rest);
      const gate = gates + 3 * bytes;
      const gateBias = bias + 3 * bytes;
      for (let j: usize = 0; j < full; j += 16) {
        lstmOutputLanes(h + j, tanhC + j, c + j, gate + j, gateBias + j, 0);
      }
      if (rest) lstmOutputLanes(h + full, tanhC + full, c + full, gate + full, gateBias + full, rest);
    }
    h += bytes;
    c += bytes;
    tanhC += bytes;
    gates += bytes << 2;
    hPrevious += bytes;
    cPrevious += bytes;
    if (mask) mask += 4;
  }
}

// @ts-ignore: decorator
@inline
function lstmGradLanes(
  dGates: usize, gates: usize, dh: usize, dc: usize, dOut: usize, tanhC: usize, cPrevious: usize, masked: bool,
  bytes: usize, rest: usize,
): void {
  let d = read(dh, rest);
  if (dOut) d = f32x4.add(d, read(dOut, rest));
  const i = read(gates, rest);
  const f = read(gates + bytes, rest);
  const g = read(gates + 2 * bytes, rest);
  const o = read(gates + 3 * bytes, rest);
  const t = read(tanhC, rest);
  const dCell = f32x4.add(read(dc, rest), throughTanh(f32x4.mul(d, o), t));
  write(dGates, rest, throughSigmoid(f32x4.mul(dCell, g), i));
  write(dGates + bytes, rest, throughSigmoid(f32x4.mul(dCell, read(cPrevious, rest)), f));
  write(dGates + 2 * bytes, rest, throughTanh(f32x4.mul(dCell, i), g));
  write(dGates + 3 * bytes, rest, throughSigmoid(f32x4.mul(d, t), o));
  write(dc, rest, f32x4.mul(dCell, f));
  if (masked) write(dh, rest, splat(0));
}

export function lstmStepGrad(
  dGates: usize, gates: usize, dh: usize, dc: usize, dOut: usize, tanhC: usize, cPrevious: usize, mask: usize,
  rows: usize, hidden: usize,
): void {
  const bytes = hidden << 2;
  const rest = hidden & 3;
  const full = bytes & ~15;
  for (; rows; rows--) {
    if (isMasked(mask)) {
      memory.fill(dGates, 0, bytes << 2);
      passOn(dh, dOut, hidden);
    } else {
      const masks = mask != 0;
      for (let j: usize = 0; j < full; j += 16) {
        lstmGradLanes(
          dGates + j, gates + j, dh + j, dc + j, dOut ? dOut + j : 0, tanhC + j, cPrevious + j, masks, bytes, 0,
        );
      }
      if (rest) {
        lstmGradLanes(
          dGates + full, gates + full, dh + full, dc + full, dOut ? dOut + full : 0, tanhC + full, cPrevious + full,
          masks, bytes, rest,
        );
      }
    }
    dGates += bytes << 2;
    gates += bytes << 2;
    dh += bytes;
    dc += bytes;
    if (dOut) dOut += bytes;
    tanhC += bytes;
    cPrevious += bytes;
    if (mask) mask += 4;
  }
}

// @ts-ignore: decorator
@inline
function gruLanes(
  h: usize, gates: usize, recurrent: usize, bias: usize, biasRecurrent: usize, hPrevious: usize, bytes: usize,
  rest: usize,
): void {
  let x = f32x4.add(read(gates, rest), read(bias, rest));
  let y = f32x4.add(read(recurrent, rest), read(biasRecurrent, rest));
  const r = sigmoid4(f32x4.add(x, y));
  write(gates, rest, r);
  x = f32x4.add(read(gates + bytes, rest), read(bias + bytes, rest));
  y = f32x4.add(read(recurrent + bytes, rest), read(biasRecurrent + bytes, rest));
  const z = sigmoid4(f32x4.add(x, y));
  write(gates + bytes, rest, z);
  x = f32x4.add(read(gates + 2 * bytes, rest), read(bias + 2 * bytes, rest));
  y = f32x4.add(read(recurrent + 2 * bytes, rest), read(biasRecurrent + 2 * bytes, rest));
  write(recurrent + 2 * bytes, rest, y);
  const n = tanh4(madd(r, y, x));
  write(gates + 2 * bytes, rest, n);
  write(h, rest, madd(z, f32x4.sub(read(hPrevious, rest), n), n));
}

/** Gates r, z, n one behind another in each row: from x in `gates`, from the state in `recurrent`. */
export function gruStep(
  h: usize, gates: usize, recurrent: usize, bias: usize, biasRecurrent: usize, hPrevious: usize, mask: usize,
  rows: usize, hidden: usize,
): void {
  const bytes = hidden << 2;
  const rest = hidden & 3;
  const full = bytes & ~15;
  for (; rows; rows--) {
    if (isMasked(mask)) memory.copy(h, hPrevious, bytes);
    else {
      for (let j: usize = 0; j < full; j += 16) {
        gruLanes(h + j, gates + j, recurrent + j, bias + j, biasRecurrent + j, hPrevious + j, bytes, 0);
      }
      if (rest) {
        gruLanes(
          h + full, gates + full, recurrent + full, bias + full, biasRecurrent + full, hPrevious + full, bytes, rest,
        );
      }
    }
    h += bytes;
    gates += 3 * bytes;
    recurrent += 3 * bytes;
    hPrevious += bytes;
    if (mask) mask += 4;
  }
}

// @ts-ignore: decorator
@inline
function gruGradLanes(
  dGates: usize, dRecurrent: usize, gates: usize, recurrent: usize, dh: usize, dOut: usize, hPrevious: usize,
  bytes: usize, rest: usize,
): void {
  let d = read(dh, rest);
  if (dOut) d = f32x4.add(d, read(dOut, rest));
  const r = read(gates, rest);
  const z = read(gates + bytes, rest);
  const n = read(gates + 2 * bytes, rest);
  const dN = throughTanh(nmadd(d, z, d), n);
  const dR = throughSigmoid(f32x4.mul(dN, read(recurrent + 2 * bytes, rest)), r);
  const dZ = throughSigmoid(f32x4.mul(d, f32x4.sub(read(hPrevious, rest), n)), z);
  write(dGates, rest, dR);
  write(dGates + bytes, rest, dZ);
  write(dGates + 2 * bytes, rest, dN);
  write(dRecurrent, rest, dR);
  write(dRecurrent + bytes, rest, dZ);
  write(dRecurrent + 2 * bytes, rest, f32x4.mul(dN, r));
  write(dh, rest, f32x4.mul(d, z));
}

export function gruStepGrad(
  dGates: usize, dRecurrent: usize, gates: usize, recurrent: usize, dh: usize, dOut: usize, hPrevious: usize,
  mask: usize, rows: usize, hidden: usize,
): void {
  const bytes = hidden << 2;
  const rest = hidden & 3;
  const full = bytes & ~15;
  for (; rows; rows--) {
    if (isMasked(mask)) {
      memory.fill(dGates, 0, 3 * bytes);
      memory.fill(dRecurrent, 0, 3 * bytes);
      passOn(dh, dOut, hidden);
    } else {
      for (let j: usize = 0; j < full; j += 16) {
        gruGradLanes(
          dGates + j, dRecurrent + j, gates + j, recurrent + j, dh + j, dOut ? dOut + j : 0, hPrevious + j, bytes, 0,
        );
      }
      if (rest) {
        gruGradLanes(
          dGates + full, dRecurrent + full, gates + full, recurrent + full, dh + full, dOut ? dOut + full : 0,
          hPrevious + full, bytes, rest,
        );
      }
    }
    dGates += 3 * bytes;
    dRecurrent += 3 * bytes;
    gates += 3 * bytes;
    recurrent += 3 * bytes;
    dh += bytes;
    if (dOut) dOut += bytes;
    hPrevious += bytes;
    if (mask) mask += 4;
  }
}
