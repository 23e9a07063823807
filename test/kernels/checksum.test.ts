import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checksum, ReadingMemory, RunningChecksum, sumInPlace } from '../../src/kernels/checksum.ts';
import { referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import { CHECKSUM_BLOCK, CHECKSUM_STATE, READING_BYTES } from '../../src/kernels/table.ts';
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

describe.each(await bothLevels())('$simd', (sides) => {
  it('the kernel that goes on where it was gives what its formula says, and copies', () => {
    const words = CHECKSUM_STATE / 4;
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: words, maxLength: words }), fc.nat(127), fc.uint8Array({ minLength: 1, maxLength: 700 }), fc.nat(300), fc.boolean(), (of, begun, data, after, copies) => {
        sides.reset();
        of[words - 2] = begun;
        of[words - 1] = data.length + after;
        const state = sides.ints(of);
        const padded = new Uint8Array(4 * Math.ceil(data.length / 4));
        padded.set(data);
        const x = sides.ints([...new Int32Array(padded.buffer)]);
        const out = sides.ints(Array(padded.length / 4).fill(7));
        for (const kernels of [sides.wasm, sides.reference]) kernels.checksumTake(state, copies ? out : 0, x, data.length);
        const [got, want] = [sides.gotInts(state, words), sides.wantInts(state, words)];
        const rest = got[words - 2] % CHECKSUM_BLOCK; // of what begins a block no more is said
        const said = (of: Int32Array) => [of.slice(0, 32), of.slice(64), new Uint8Array(of.buffer, 128, rest)];
        expect(said(got)).toEqual(said(want));
        expect(sides.gotInts(out, padded.length / 4)).toEqual(sides.wantInts(out, padded.length / 4));
        sides.checkGuards();
      }),
    ); // biome-ignore format: a property
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

  const module = new WebAssembly.Module(readFileSync(new URL('../../src/kernels/wasm/simd128.wasm', import.meta.url)));
  const reading = ReadingMemory.in(module, arena, 20 * 65_536);
  const readOver = (part: Uint8Array, to: Uint8Array, cuts: readonly number[], seed: number, from: ReadingMemory) => {
    const sum = new RunningChecksum(seed, reading);
    sum.begin(part.length);
    let at = 0;
    for (const cut of [...cuts, part.length].sort((a, b) => a - b)) {
      const bytes = from.bytes.subarray(at % 64, (at % 64) + Math.max(0, Math.min(cut, part.length) - at));
      bytes.set(part.subarray(at, at + bytes.length));
      sum.take(bytes, to.subarray(at, at + bytes.length));
      at += bytes.length;
    }
    return sum.value;
  };

  it('is the same of bytes that come in any cuts, from any memory to any memory', () => {
    const places = [new Uint8Array(arena.buffer, 32 * 65_536, 70_000), new Uint8Array(70_000)];
    fc.assert(
      fc.property(fc.nat(70_000), fc.array(fc.nat(70_000), { maxLength: 12 }), fc.integer(), fc.nat(1), fc.boolean(), (length, cuts, seed, to, inArena) => {
        const part = bytes.subarray(0, length);
        places[to].fill(0);
        expect(readOver(part, places[to], cuts, seed, inArena ? reading : ReadingMemory.default)).toBe(checksum(part, seed));
        expect(Buffer.compare(places[to].subarray(0, length), part)).toBe(0);
        expect(places[to].subarray(length).every((byte) => byte === 0)).toBe(true);
      }),
      { numRuns: 60 },
    ); // biome-ignore format: a property
  });

  it('goes on over several runs, empty ones too', () => {
    const sum = new RunningChecksum(5);
    const runs = [0, 40_000, 0, 1].map((length) => bytes.subarray(0, length));
    for (const run of runs) {
      sum.begin(run.length);
      sum.take(run);
    }
    expect(sum.value).toBe(runs.reduce((before, run) => checksum(run, before), 5));
    expect(reading.bytes.length + 512).toBe(READING_BYTES);
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
