import { z } from 'zod';

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };
const SIZE = /^(\d+(?:\.\d+)?)\s*([kmgt]?)b?$/i;

/** Bytes as a number, or as a text with a unit: '500MB', '2 GB'. */
export type MemorySize = number | string;

/** Checks a size and gives it in bytes; at least 64 KB. */
export const MEMORY_SIZE = z
  .union([z.number(), z.string().regex(SIZE)])
  .transform((size) => {
    const [, digits, unit] = SIZE.exec(String(size)) ?? [];
    return Math.floor(Number(digits) * UNITS[(unit ?? '').toLowerCase()]);
  })
  .refine((bytes) => bytes >= 64_000, "a size of at least 64 KB, such as '500MB' or 2e9");
