import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checksum, sumInPlace } from '../../src/kernels/checksum.ts';
import { referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import { CHECKSUM_BLOCK } from '../../src/kernels/table.ts';
import { bothLevels } from './sides.ts';

describe.each(await bothLevels())('$simd', (sides) => {
  it('the kernel gives what its formula says', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 32, maxLength: 320 }), fc.integer(), (words, seed) => {
        sides.reset();
        const blocks = words.length >> 5;
        const x = sides.ints(words);
        expect(sides.wasm.checksum(x, blocks, seed)).toBe(sides.reference.checksum(x, blocks, seed));
      }),
    );
  });
});

/** The same over bytes at once, by the plain version. */
function plainly(bytes: Uint8Array, seed: number): number {
  const scratch = 32 * 1024;
  const heap = referenceHeap(scratch);
  const kernels = referenceKernels(heap);
  let sum = Math.imul(((seed ^ bytes.length) << 13) | ((seed ^ bytes.length) >>> 19), 0x9e3779b1);
  for (let from = 0; from < bytes.length; from += scratch) {
    const all = new Uint8Array(heap.int.buffer, heap.int.byteOffset, scratch).fill(0);
    const part = bytes.subarray(from, from + scratch);
    all.set(part);
    sum = kernels.checksum(0, Math.ceil(part.length / CHECKSUM_BLOCK), sum);
  }
  return sum >>> 0;
}

describe('the checksum of bytes', () => {
  const arena = new WebAssembly.Memory({ initial: 34, maximum: 65_536, shared: true });
  sumInPlace(
    new WebAssembly.Module(readFileSync(new URL('../../src/kernels/wasm/simd128.wasm', import.meta.url))),
    arena,
  );
  const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => (i * 2654435761) >>> 13);

  it.each([0, 1, 127, 128, 129, 32_768, 32_769, 70_000])('of %i is that of the formula, from any memory', (length) => {
    const part = bytes.subarray(0, length);
    const shared = new Uint8Array(new SharedArrayBuffer(length + 3), 3);
    shared.set(part);
    const there = new Uint8Array(arena.buffer, 32 * 65_536 + 8, length);
    there.set(part);
    for (const seed of [0, 0xffffffff, 12345]) {
      expect(checksum(part, seed)).toBe(plainly(part, seed));
      expect(checksum(shared, seed)).toBe(plainly(part, seed));
      expect(checksum(there, seed)).toBe(plainly(part, seed));
    }
  });

  it('changes with every bit, with the length, and with the order', () => {
    const whole = checksum(bytes, 1);
    fc.assert(
      fc.property(fc.nat({ max: 8 * bytes.length - 1 }), (bit) => {
        bytes[bit >> 3] ^= 1 << (bit & 7);
        const other = checksum(bytes, 1);
        bytes[bit >> 3] ^= 1 << (bit & 7);
        return other !== whole;
      }),
    );
    expect(checksum(new Uint8Array(5), 1)).not.toBe(checksum(new Uint8Array(6), 1));
    const swapped = bytes.slice();
    swapped.set(bytes.subarray(0, 128), 128);
    swapped.set(bytes.subarray(128, 256), 0);
    expect(checksum(swapped, 1)).not.toBe(whole);
    expect(checksum(bytes, 2)).not.toBe(whole);
  });
});
