import { cos, log, philox4x32 } from '../kernels/math.ts';

/** What a stream of random numbers is for: different uses of one seed share nothing. The word goes into the Philox key. */
export const PURPOSE = { bootstrap: 0xb007, power: 0x90e3, experiment: 0xe4be } as const;

export interface RandomStream {
  /** In [0, 1), 24 bits. */
  uniform(): number;
  /** A whole number in [0, n). */
  below(n: number): number;
  /** Standard normal, by Box and Muller. */
  normal(): number;
}

/** Numbers by Philox: a pure function of seed and purpose, the same on every machine. */
export function randomStream(seed: number, purpose: number): RandomStream {
  const counter = new Uint32Array(4);
  const key = Uint32Array.of(seed, purpose);
  const words = new Uint32Array(4);
  let lane = 4;
  const word = (): number => {
    if (lane === 4) {
      philox4x32(counter, key, words);
      counter[0] += 1;
      lane = 0;
    }
    return words[lane++];
  };
  const uniform = () => (word() >>> 8) / 2 ** 24;
  return {
    uniform,
    below: (n) => Math.floor(uniform() * n),
    normal: () => Math.sqrt(-2 * log(1 - uniform())) * cos(2 * Math.PI * uniform()),
  };
}
