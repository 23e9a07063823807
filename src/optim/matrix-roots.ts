import { pow } from '../kernels/math.ts';
import type { FloatArray, View } from './contract.ts';

const MOST_ITERATIONS = 100;
const TOLERANCE = 1e-6;
const STALLED = 1.2;

/** Floats that `inverseRoot` needs beside its matrices. */
export const rootScratch = (n: number): number => 4 * n * n;

/**
 * out = (A + ridge I)^(-1/p) of a symmetric, positive semidefinite A [n, n], p = 2 or 4, by the coupled Newton iteration
 *
 *     X = c (A + ridge I),  H = c^(1/p) I;   repeat T = ((1 + p) I - X) / p,  H <- H T,  X <- T^p X  until X = I
 *
 * (Guo & Higham, "A Schur-Newton Method for the Matrix p-th Root and its Inverse", 2006; so do distributed Shampoos). It stops
 * before rounding makes it worse again. Everything goes through `gemm`: `out`, `a` and `scratch` lie where that can read.
 */
export function inverseRoot(
  gemm: View['gemm'],
  out: FloatArray,
  a: FloatArray,
  n: number,
  p: 2 | 4,
  ridge: number,
  scratch: FloatArray,
): void {
  const size = n * n;
  let x = scratch.subarray(0, size);
  let spare = scratch.subarray(size, 2 * size);
  const t = scratch.subarray(2 * size, 3 * size);
  const power = scratch.subarray(3 * size, 4 * size);
  let squares = 0;
  for (let i = 0; i < size; i++) {
    const value = a[i] + (i % (n + 1) === 0 ? ridge : 0);
    squares += value * value;
  }
  const c = (1 + p) / (2 * Math.sqrt(squares));
  for (let i = 0; i < size; i++) {
    x[i] = c * (a[i] + (i % (n + 1) === 0 ? ridge : 0));
    out[i] = 0;
  }
  for (let i = 0; i < n; i++) out[i * (n + 1)] = pow(c, 1 / p);
  let error = distanceToIdentity(x, n);
  for (let iteration = 0; iteration < MOST_ITERATIONS && error > TOLERANCE; iteration++) {
    for (let i = 0; i < size; i++) t[i] = -x[i] / p;
    for (let i = 0; i < n; i++) t[i * (n + 1)] += (1 + p) / p;
    gemm(0, 0, n, n, n, t, t, 0, power);
    if (p === 4) {
      gemm(0, 0, n, n, n, power, power, 0, spare);
      power.set(spare);
    }
    gemm(0, 0, n, n, n, power, x, 0, spare);
    const next = distanceToIdentity(spare, n);
    if (!(next < error * STALLED)) return; // rounding has the upper hand: what is there is the best
    gemm(0, 0, n, n, n, out, t, 0, power);
    out.set(power);
    [x, spare] = [spare, x];
    error = next;
  }
}

function distanceToIdentity(x: FloatArray, n: number): number {
  let largest = 0;
  for (let i = 0; i < x.length; i++) {
    largest = Math.max(largest, Math.abs(x[i] - (i % (n + 1) === 0 ? 1 : 0)));
  }
  return largest;
}

/**
 * Makes the rows of `rows` [n, n] orthonormal, from the first on (modified Gram-Schmidt, each row twice). Of a row that depends on
 * those before it (less than 1e-5 of it is left) row i of `spare` takes the place, or else the first unit vector that does not.
 */
export function orthonormaliseRows(rows: FloatArray, spare: FloatArray, n: number): void {
  for (let i = 0; i < n; i++) {
    const row = rows.subarray(i * n, (i + 1) * n);
    if (separate(rows, row, i, n)) continue;
    row.set(spare.subarray(i * n, (i + 1) * n));
    if (separate(rows, row, i, n)) continue;
    for (let unit = 0; unit < n; unit++) {
      row.fill(0);
      row[unit] = 1;
      if (separate(rows, row, i, n)) break;
    }
  }
}

/** Takes from `row` what lies in the first `count` rows and brings it to length 1; false if next to nothing is left. */
function separate(rows: FloatArray, row: FloatArray, count: number, n: number): boolean {
  const before = length(row);
  if (!(before > 0)) return false;
  for (let twice = 0; twice < 2; twice++) {
    for (let k = 0; k < count; k++) {
      const at = k * n;
      let product = 0;
      for (let j = 0; j < n; j++) product += rows[at + j] * row[j];
      for (let j = 0; j < n; j++) row[j] -= product * rows[at + j];
    }
  }
  const left = length(row);
  if (!(left > 1e-5 * before)) return false;
  for (let j = 0; j < n; j++) row[j] /= left;
  return true;
}

function length(row: FloatArray): number {
  let squares = 0;
  for (let j = 0; j < row.length; j++) squares += row[j] * row[j];
  return Math.sqrt(squares);
}
