import { cos, exp, log, sin } from '../../kernels/math.ts';
import { optionError, shapeError, showShape } from '../build.ts';
import type { Tensor } from '../tensor.ts';
import { add, mul, sub } from './binary.ts';
import { constant } from './leaf.ts';
import { concat, reshape, slice } from './shape.ts';

/**
 * Rotary positions (Su et al., arXiv:2104.09864): in each head of x [rows, positions, heads * size] the columns j and j + size / 2 of
 * position p turn by the angle p / base^(2 j / size), so that inner products of queries and keys depend on distances alone.
 * (Pairs half a head apart, as in GPT-NeoX and Llama; the paper takes neighbours.) Throws E_SHAPE, E_OPTION.
 */
export function rotary(x: Tensor, options: { heads: number; base?: number }): Tensor {
  const { heads, base = 10000 } = options;
  if (x.shape.length !== 3 || x.shape[2] % (2 * heads) !== 0) {
    const fix = 'choose a width of which every head gets an even part';
    throw shapeError('rotary', `an input [rows, positions, ${heads} heads of even size]`, showShape(x.shape), fix);
  }
  if (!(base > 1 && Number.isFinite(base))) throw optionError('rotary', 'a base above 1', base, 'use 10000');
  const [rows, positions, width] = x.shape;
  const half = width / heads / 2;
  const angles = Array.from(
    { length: positions * half },
    (_, i) => Math.floor(i / half) * exp((-(i % half) / half) * log(base)),
  );
  const [c, s] = [cos, sin].map((f) => constant(angles.map(f), [positions, 1, half]));
  const split = reshape(x, [rows, positions, heads, 2 * half]);
  const [left, right] = [slice(split, 3, 0, half), slice(split, 3, half)];
  const turned = [sub(mul(left, c), mul(right, s)), add(mul(right, c), mul(left, s))];
  return reshape(concat(turned), x.shape);
}
