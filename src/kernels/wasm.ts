import { readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { LockstepError } from '../errors.ts';
import { hasRelaxedSimd, instantiateKernels } from './instantiate.ts';

export { instantiateKernels, type Kernels } from './instantiate.ts';

/** Which of the two modules runs: plain 128-bit SIMD, or with relaxed SIMD's fused multiply-add. */
export type Simd = 'simd128' | 'relaxed';

/**
 * The best SIMD level of this machine. On Node 20 this switches relaxed SIMD on for modules compiled from now on (later
 * versions have it by default), so call it on the main thread before workers start.
 * `LOCKSTEP_SIMD=simd128` in `env` holds it back.
 */
export function simdLevel(env: Readonly<Record<string, string | undefined>> = {}): Simd {
  const wanted = env.LOCKSTEP_SIMD;
  if (wanted !== undefined && wanted !== '' && wanted !== 'simd128' && wanted !== 'relaxed') {
    throw new LockstepError('E_OPTION', {
      where: 'environment variable LOCKSTEP_SIMD',
      expected: 'simd128 or relaxed',
      got: wanted,
      fix: 'set one of these or unset it',
    });
  }
  if (wanted === 'simd128') return 'simd128';
  if (!hasRelaxedSimd()) {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
    if (!hasRelaxedSimd()) {
      if (wanted === 'relaxed') {
        throw new LockstepError('E_KERNEL', {
          where: 'LOCKSTEP_SIMD=relaxed',
          expected: 'a JavaScript engine with relaxed SIMD',
          got: `Node ${process.versions.node} without it`,
          fix: 'unset LOCKSTEP_SIMD or use Node 20.19 or later',
        });
      }
      return 'simd128';
    }
  }
  return 'relaxed';
}

/** Compiles one kernel module. `portable` means simd128, whose results are the same on any machine. */
export async function compileKernels(
  options: { portable?: boolean; simd?: Simd } = {},
): Promise<{ module: WebAssembly.Module; simd: Simd }> {
  const simd = options.simd ?? (options.portable ? 'simd128' : simdLevel());
  if (simd === 'relaxed') simdLevel();
  const url = new URL(`./wasm/${simd}.wasm`, import.meta.url);
  const bytes = await readFile(url).catch((cause: unknown) => {
    throw new LockstepError('E_KERNEL', {
      where: url.pathname,
      expected: 'the compiled kernels',
      got: 'no such file',
      fix: 'run `npm run build:wasm`',
      cause,
    });
  });
  return { module: await WebAssembly.compile(bytes), simd };
}

/** First address that `module` leaves to others, without the memory of a run. */
export function heapBaseOf(module: WebAssembly.Module): number {
  return instantiateKernels(module, new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })).heapBase;
}
