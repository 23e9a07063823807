import { readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { LockstepError } from '../errors.ts';
import type { KernelTable } from './table.ts';

/** Which of the two modules runs: plain 128-bit SIMD, or with relaxed SIMD's fused multiply-add. */
export type Simd = 'simd128' | 'relaxed';

/** A module with one function of three v128 that returns f32x4.relaxed_madd of them. */
const RELAXED_PROBE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version
  0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b, // type (v128, v128, v128) -> v128
  0x03, 0x02, 0x01, 0x00, // function 0 of type 0
  0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02, 0x0b, // code
]); // biome-ignore format: by section

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
  if (!WebAssembly.validate(RELAXED_PROBE)) {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
    if (!WebAssembly.validate(RELAXED_PROBE)) {
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

/** The kernels as functions over `memory`; `heapBase` is the first address that the module leaves to others. */
export interface Kernels extends KernelTable {
  readonly heapBase: number;
}

/** Binds a compiled module to a memory: synchronous and cheap, once a thread. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const table: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(exports)) {
    table[name] = value instanceof WebAssembly.Global ? value.value : value;
  }
  // The one place where WebAssembly's untyped exports become the table; test/kernels/wasm.test.ts checks every name.
  return table as unknown as Kernels;
}

/** First address that `module` leaves to others, without the memory of a run. */
export function heapBaseOf(module: WebAssembly.Module): number {
  return instantiateKernels(module, new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })).heapBase;
}
