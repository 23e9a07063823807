import { philox4x32 } from '../kernels/math.ts';

/** What a permutation is for: different uses of one seed share nothing. The word goes into the Philox counter. */
const PURPOSES = { shuffle: 0x53485546, split: 0x53504c54, blocks: 0x424c4f43 } as const;
export type Purpose = keyof typeof PURPOSES;

/** Rounds of the network: a small grid needs more until all its permutations are equally likely (measured by chi-square). */
const roundsFor = (size: number): number => (size < 1024 ? 16 : 6);

/**
 * A random bijection on [0, size), computed element by element: no table, so any worker finds any row of any epoch by itself.
 *
 * A Feistel network (Luby and Rackoff 1988) on pairs (left, right) of a grid a x b that is hardly larger than `size`; results
 * outside are mapped again until they lie inside (cycle walking, Black and Rogaway 2002). Halves are added modulo a and b
 * instead of xored, so the grid need not be a power of two. The round keys are Philox4x32-10 of (seed, purpose, epoch); the round
 * function is a multiply-xorshift hash, which is enough for shuffling (it is no cipher).
 */
export interface Permutation {
  readonly size: number;
  /** The element at `index`; both in [0, size). Allocates nothing. */
  at(index: number): number;
  /** Another epoch of the same permutation family; cheap when it is the current one. Allocates nothing. */
  use(epoch: number): void;
}

export function createPermutation(size: number, seed: number, purpose: Purpose, epoch: number): Permutation {
  const a = Math.max(1, Math.ceil(Math.sqrt(size)));
  const b = Math.max(1, Math.ceil(size / a));
  const rounds = roundsFor(size);
  const keys = new Int32Array(16);
  const counter = Uint32Array.of(0, PURPOSES[purpose], 0, 0);
  const key = Uint32Array.of(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0);
  const words = new Uint32Array(4);
  let current = Number.NaN;
  const use = (next: number): void => {
    if (next === current) return;
    for (let i = 0; i < rounds; i += 4) {
      counter[0] = i / 4;
      counter[2] = next;
      philox4x32(counter, key, words);
      keys.set(words, i);
    }
    current = next;
  };
  use(epoch);
  return {
    size,
    use,
    at(index) {
      let x = index;
      do {
        let left = (x / b) | 0;
        let right = x - left * b;
        for (let round = 0; round < rounds; round += 2) {
          left += below(mix(right, keys[round]), a);
          if (left >= a) left -= a;
          right += below(mix(left, keys[round + 1]), b);
          if (right >= b) right -= b;
        }
        x = left * b + right;
      } while (x >= size);
      return x;
    },
  };
}

/** The element at `index` of the shuffle of `size` rows in `epoch`: a pure function. In a loop use `createPermutation`. */
export function permute(index: number, size: number, seed: number, epoch: number): number {
  return createPermutation(size, seed, 'shuffle', epoch).at(index);
}

/** 32 bits of a half and a round key, the upper ones well mixed (only those decide in `below`). */
function mix(half: number, key: number): number {
  let h = Math.imul(half + key, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  return h ^ key;
}

/** Uniform bits to [0, n), n < 2^16: the high word of the 48-bit product, in 32-bit integers. */
function below(bits: number, n: number): number {
  return (Math.imul(bits >>> 16, n) + (Math.imul(bits & 0xffff, n) >>> 16)) >>> 16;
}
