/** out[i,j] = activation(z[i,j] + bias[j]), one pass. */
import {
  Elu, Gelu, GeluTanh, LeakyRelu, Linear, Relu, Sigmoid, Silu, Softplus, Tanh,
} from './activations';
import { loadTail, op, splat, storeTail } from './simd';

// @ts-ignore: decorator
@inline
function rowsWithBias<F>(out: usize, z: usize, bias: usize, rows: usize, columns: usize, alpha: f32): void {
  const a = splat(alpha);
  const vectors = (columns & ~3) << 2;
  const rest = columns & 3;
  for (let i: usize = 0; i < rows; i++) {
    let b = bias;
    const end = z + vectors;
    while (z < end) {
      v128.store(out, op<F>().f(f32x4.add(v128.load(z), v128.load(b)), a));
      z += 16;
      out += 16;
      b += 16;
    }
    if (rest) {
      const sum = f32x4.add(loadTail(z, rest, splat(0)), loadTail(b, rest, splat(0)));
      storeTail(out, rest, op<F>().f(sum, a));
      z += rest << 2;
      out += rest << 2;
    }
  }
}

// @ts-ignore: decorator
@inline
function flat<F>(out: usize, z: usize, count: usize, alpha: f32): void {
  const a = splat(alpha);
  const end = z + ((count & ~3) << 2);
  while (z < end) {
    v128.store(out, op<F>().f(v128.load(z), a));
    z += 16;
    out += 16;
  }
  const rest = count & 3;
  if (rest) storeTail(out, rest, op<F>().f(loadTail(z, rest, splat(0)), a));
}

// @ts-ignore: decorator
@inline
function run<F>(out: usize, z: usize, bias: usize, rows: usize, columns: usize, alpha: f32): void {
  if (bias) rowsWithBias<F>(out, z, bias, rows, columns, alpha);
  else flat<F>(out, z, rows * columns, alpha);
}

/** `code` as in ACTIVATION_CODES (src/kernels/table.ts). */
export function biasActivation(
  out: usize, z: usize, bias: usize, rows: usize, columns: usize, code: i32, alpha: f32,
): void {
  switch (code) {
    case 0: run<Linear>(out, z, bias, rows, columns, alpha); break;
    case 1: run<Relu>(out, z, bias, rows, columns, alpha); break;
    case 2: run<LeakyRelu>(out, z, bias, rows, columns, alpha); break;
    case 3: run<Elu>(out, z, bias, rows, columns, alpha); break;
    case 4: run<Tanh>(out, z, bias, rows, columns, alpha); break;
    case 5: run<Sigmoid>(out, z, bias, rows, columns, alpha); break;
    case 6: run<Gelu>(out, z, bias, rows, columns, alpha); break;
    case 7: run<GeluTanh>(out, z, bias, rows, columns, alpha); break;
    case 8: run<Silu>(out, z, bias, rows, columns, alpha); break;
    default: run<Softplus>(out, z, bias, rows, columns, alpha); break;
  }
}
