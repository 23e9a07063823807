/** out[i,j] = activation(z[i,j] + bias[j]), one pass. */
import {
  Elu, Gelu, GeluTanh, LeakyRelu, Linear, Relu, Sigmoid, Silu, Softplus, Tanh,
} from './activations';
import { copy } from './move';
import { loadTail, op, splat, storeTail } from './simd';
import { elu, gelu, geluTanh, leakyRelu, relu, sigmoid, silu, softplus, tanh } from './unary';

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

/** Eight columns a turn, for formulas with many constants: two vectors share what was loaded. */
// @ts-ignore: decorator
@inline
function pairsWithBias<F>(out: usize, z: usize, bias: usize, rows: usize, columns: usize, alpha: f32): void {
  const a = splat(alpha);
  const size = columns << 2;
  for (; rows; rows--) {
    for (let j: usize = 0; j < size; j += 32) {
      const y0 = op<F>().f(f32x4.add(v128.load(z + j), v128.load(bias + j)), a);
      const y1 = op<F>().f(f32x4.add(v128.load(z + j, 16), v128.load(bias + j, 16)), a);
      v128.store(out + j, y0);
      v128.store(out + j, y1, 16);
    }
    z += size;
    out += size;
  }
}

/** `code` as in ACTIVATION_CODES (src/kernels/table.ts). */
export function biasActivation(
  out: usize, z: usize, bias: usize, rows: usize, columns: usize, code: i32, alpha: f32,
): void {
  if (bias == 0) {
    activation(out, z, rows * columns, code, alpha);
    return;
  }
  switch (code) {
    case 0: rowsWithBias<Linear>(out, z, bias, rows, columns, alpha); break;
    case 1: rowsWithBias<Relu>(out, z, bias, rows, columns, alpha); break;
    case 2: rowsWithBias<LeakyRelu>(out, z, bias, rows, columns, alpha); break;
    case 3: rowsWithBias<Elu>(out, z, bias, rows, columns, alpha); break;
    case 4: rowsWithBias<Tanh>(out, z, bias, rows, columns, alpha); break;
    case 5: rowsWithBias<Sigmoid>(out, z, bias, rows, columns, alpha); break;
    case 6:
      if (columns & 7) rowsWithBias<Gelu>(out, z, bias, rows, columns, alpha);
      else pairsWithBias<Gelu>(out, z, bias, rows, columns, alpha);
      break;
    case 7: rowsWithBias<GeluTanh>(out, z, bias, rows, columns, alpha); break;
    case 8: rowsWithBias<Silu>(out, z, bias, rows, columns, alpha); break;
    default: rowsWithBias<Softplus>(out, z, bias, rows, columns, alpha); break;
  }
}

function activation(out: usize, z: usize, count: usize, code: i32, alpha: f32): void {
  switch (code) {
    case 0: copy(out, z, count); break;
    case 1: relu(out, z, count, alpha); break;
    case 2: leakyRelu(out, z, count, alpha); break;
    case 3: elu(out, z, count, alpha); break;
    case 4: tanh(out, z, count, alpha); break;
    case 5: sigmoid(out, z, count, alpha); break;
    case 6: gelu(out, z, count, alpha); break;
    case 7: geluTanh(out, z, count, alpha); break;
    case 8: silu(out, z, count, alpha); break;
    default: softplus(out, z, count, alpha); break;
  }
}
