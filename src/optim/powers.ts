/** Stand-in until src/kernels/math.ts is there. */
export function pow(base: number, exponent: number): number {
  if (!Number.isInteger(exponent)) return base ** exponent;
  let result = 1;
  for (let n = exponent, b = base; n > 0; n = Math.floor(n / 2), b *= b) if (n % 2 === 1) result *= b;
  return result;
}

export const cos = (x: number): number => Math.cos(x);
