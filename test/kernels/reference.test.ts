import { expect, test } from 'vitest';
import { philox4x32, referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';

const F = 0xffffffff;

/** Random123's kat_vectors, philox4x32 10: counter, key, result. */
test.each([
  [
    [0, 0, 0, 0, 0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [F, F, F, F, F, F],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
])('Philox4x32-10 gives the known answer %#', ([c0, c1, c2, c3, k0, k1], words) => {
  const out = new Uint32Array(4);
  philox4x32(out, c0, c1, c2, c3, k0, k1);
  expect([...out]).toEqual(words);
});

test('erf has the tabulated values (Abramowitz & Stegun, table 7.1)', () => {
  const heap = referenceHeap(64);
  heap.real.set([0.5, 1, 2, -1, 8]);
  referenceKernels(heap).erf(0, 0, 5, 0);
  const expected = [0.5204998778, 0.8427007929, 0.995322265, -0.8427007929, 1];
  for (const [i, value] of expected.entries()) expect(Math.abs(heap.real[i] - value)).toBeLessThan(1e-10);
});

test('words keep their bits and their double precision when they are copied', () => {
  const heap = referenceHeap(256);
  heap.real.set([0.1, 0.2]);
  heap.int.set([7, 8]);
  referenceKernels(heap).copy(64, 0, 2);
  expect([...heap.real.subarray(16, 18)]).toEqual([0.1, 0.2]);
  expect([...heap.int.subarray(16, 18)]).toEqual([7, 8]);
});

test('dropout starts anywhere in its stream', () => {
  const heap = referenceHeap(1024);
  heap.real.fill(1);
  heap.int.set([1, 2, 3, 4]);
  const kernels = referenceKernels(heap);
  kernels.dropout(256, 128, 24, 0.5, 0, 9, 0);
  kernels.dropout(512, 128, 17, 0.5, 0, 9, 7);
  expect([...heap.real.subarray(128, 145)]).toEqual([...heap.real.subarray(71, 88)]);
  expect(new Set(heap.real.subarray(64, 88))).toEqual(new Set([0, 2]));
});
