import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { instantiateKernels } from '../../src/kernels/instantiate.ts';
import { unsharedModule } from '../../src/kernels/unshared.ts';
import { simdLevel } from '../../src/kernels/wasm.ts';

const read = (name: string) => readFileSync(new URL(`../../src/kernels/wasm/${name}.wasm`, import.meta.url));

describe('unsharedModule', () => {
  it.each(['simd128', 'relaxed'])('%s computes the same over a memory that is not shared', async (name) => {
    if (name === 'relaxed') simdLevel();
    const original = read(name);
    const copy = unsharedModule(original);
    expect(copy).not.toEqual(new Uint8Array(original));
    expect(original.equals(read(name))).toBe(true);
    const results = [
      { bytes: original, shared: true },
      { bytes: copy, shared: false },
    ].map(async ({ bytes, shared }) => {
      const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, ...(shared ? { shared } : {}) });
      const kernels = instantiateKernels(await WebAssembly.compile(bytes), memory);
      const at = 64 * Math.ceil(kernels.heapBase / 64);
      const x = new Float32Array(memory.buffer, at, 100);
      for (let i = 0; i < x.length; i++) x[i] = Math.fround(i / 7 - 5);
      kernels.gelu(at, at, 100, 0);
      kernels.softmax(at + 512, at, 10, 10);
      return Array.from(new Float32Array(memory.buffer, at, 228));
    });
    const [shared, unshared] = await Promise.all(results);
    expect(unshared).toEqual(shared);
    expect(unshared.some((v) => v !== 0)).toBe(true);
  });

  it('refuses what is no module with one imported memory', () => {
    expect(() => unsharedModule(new Uint8Array(0))).toThrow(RangeError);
    expect(() => unsharedModule(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0))).toThrow(RangeError);
    const cut = read('simd128').subarray(0, 40);
    expect(() => unsharedModule(cut)).toThrow(RangeError);
  });
});
