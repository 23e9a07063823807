import { describe, expect, it } from 'vitest';
import { LockstepError } from '../../src/errors.ts';
import { referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import { GEMM_SCRATCH_BYTES } from '../../src/kernels/table.ts';
import { compileKernels, heapBaseOf, instantiateKernels, simdLevel } from '../../src/kernels/wasm.ts';
import { bothLevels, deviation, LEVELS, numbers } from './sides.ts';

describe.each(LEVELS)('%s', (simd) => {
  it('exports every kernel of the table as a function', async () => {
    const { module } = await compileKernels({ simd });
    const kernels: Record<string, unknown> = { ...instantiateKernels(module, newMemory()) };
    for (const name of Object.keys(referenceKernels(referenceHeap(64))))
      expect(typeof kernels[name], name).toBe('function');
  });

  it('leaves the memory above heapBase alone when it starts', async () => {
    const { module } = await compileKernels({ simd });
    const memory = newMemory();
    const bytes = new Uint8Array(memory.buffer).fill(0xa5);
    const { heapBase } = instantiateKernels(module, memory);
    expect(heapBase).toBe(heapBaseOf(module));
    expect(heapBase).toBeLessThan(65536);
    expect(bytes.subarray(heapBase).every((byte) => byte === 0xa5)).toBe(true);
  });

  it('several instances share one memory', async () => {
    const { module } = await compileKernels({ simd });
    const memory = newMemory();
    const [first, second] = [instantiateKernels(module, memory), instantiateKernels(module, memory)];
    const f32 = new Float32Array(memory.buffer);
    f32.set([1, 2, 3], 8192);
    first.exp(40960, 32768, 3, 0);
    second.log(49152, 40960, 3, 0);
    for (const [i, value] of [1, 2, 3].entries()) expect(f32[12288 + i]).toBeCloseTo(value, 6);
  });
});

function newMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
}

it('portable means simd128', async () => {
  expect((await compileKernels({ portable: true })).simd).toBe('simd128');
});

it('LOCKSTEP_SIMD holds relaxed SIMD back, and other values are refused', () => {
  expect(simdLevel({ LOCKSTEP_SIMD: 'simd128' })).toBe('simd128');
  expect(['simd128', 'relaxed']).toContain(simdLevel({}));
  expect(() => simdLevel({ LOCKSTEP_SIMD: 'avx' })).toThrow(LockstepError);
});

it('the two modules differ where a product is added, so both are really tested', async () => {
  const [plain, relaxed] = (await bothLevels()).map((sides) => {
    const [m, n, k] = [3, 8, 50];
    const [a, b] = [sides.floats(numbers(1, m * k)), sides.floats(numbers(2, k * n))];
    const c = sides.room(m * n);
    const scratch = sides.room(GEMM_SCRATCH_BYTES / 4);
    sides.wasm.gemm(0, 0, m, n, k, a, k, b, n, 0, c, n, scratch);
    return sides.got(c, m * n);
  });
  expect([...relaxed]).not.toEqual([...plain]);
  expect(deviation(relaxed, plain, 0, 1e-5)).toBeLessThanOrEqual(1);
});
