import { cos, log, philox4x32, sin } from '../kernels/math.ts';
import type { FloatArray } from './contract.ts';

const words = new Uint32Array(4);
const counter = new Uint32Array(4);

/**
 * Standard normal numbers of the elements `first` .. of tensor `tensor` at update `step`: the stream of the kernel
 * `randomNormal` (Philox counter (element / 4, tensor, step, 0), Box-Muller on lanes (0, 1) and (2, 3)) in f64.
 */
export function standardNormal(
  out: FloatArray,
  key: ArrayLike<number>,
  tensor: number,
  step: number,
  first: number,
): void {
  for (let i = 0; i < out.length; i++) {
    const element = first + i;
    if (i === 0 || element % 4 === 0) {
      counter[0] = Math.floor(element / 4);
      counter[1] = tensor;
      counter[2] = step;
      philox4x32(counter, key, words);
    }
    const pair = element % 4 < 2 ? 0 : 2;
    const radius = Math.sqrt(-2 * log(1 - (words[pair] >>> 8) / 16777216));
    const angle = 2 * Math.PI * ((words[pair + 1] >>> 8) / 16777216);
    out[i] = radius * (element % 2 === 0 ? cos(angle) : sin(angle));
  }
}
