import { LockstepError } from '../errors.ts';
import {
  type BlasInfo,
  type BlasMissing,
  type Environment,
  findBlas,
  openBlas,
  prepareBlasEnvironment,
} from './blas.ts';
import { blasGemm, type Gemm, wasmGemm } from './gemm.ts';
import type { KernelTable, Pointer } from './table.ts';
import { type Simd, simdLevel } from './wasm.ts';

/** Which kernels a run uses. Plain data: the main thread chooses, workers open. */
export interface BackendChoice {
  readonly gemm: 'blas' | 'wasm';
  readonly blas?: BlasInfo;
  readonly simd: Simd;
  /** A line for the run header: what to install for how much speed. Only where no BLAS was found. */
  readonly advice?: string;
}

/**
 * Chooses SIMD level and GEMM for this process: on the main thread, before workers start. `portable` takes plain simd128
 * and no BLAS: the same bytes on any machine. `LOCKSTEP_GEMM=blas|wasm` and `LOCKSTEP_SIMD=simd128` force.
 *
 * @throws E_KERNEL if LOCKSTEP_GEMM=blas and there is none; E_OPTION for other values.
 */
export function chooseBackend(
  options: { portable?: boolean } = {},
  system: { env: Environment; findBlas: () => BlasInfo | BlasMissing } = { env: process.env, findBlas },
): BackendChoice {
  const { env } = system;
  const forced = env.LOCKSTEP_GEMM || undefined;
  if (forced !== undefined && forced !== 'blas' && forced !== 'wasm') {
    throw new LockstepError('E_OPTION', {
      where: 'environment variable LOCKSTEP_GEMM',
      expected: 'blas or wasm',
      got: forced,
      fix: 'set one of these or unset it',
    });
  }
  if (options.portable) return { gemm: 'wasm', simd: 'simd128' };
  const simd = simdLevel(env);
  if (forced === 'wasm') return { gemm: 'wasm', simd };
  prepareBlasEnvironment(env);
  const blas = system.findBlas();
  if (typeof blas !== 'string') return { gemm: 'blas', blas, simd };
  if (forced === 'blas') {
    throw new LockstepError('E_KERNEL', {
      where: 'LOCKSTEP_GEMM=blas',
      expected: 'a system BLAS',
      got: blas === 'koffi' ? 'no package koffi' : 'no BLAS library',
      fix: remedy(blas),
    });
  }
  const factor = simd === 'relaxed' ? '2 to 3.5' : '3.5 to 7';
  return {
    gemm: 'wasm',
    simd,
    advice: `matrix products run in WASM; with a BLAS they are ${factor} x as fast: ${remedy(blas)}`,
  };
}

function remedy(missing: BlasMissing): string {
  if (missing === 'koffi') return '`npm install koffi` (optional dependency), and a BLAS if the machine has none';
  switch (process.platform) {
    case 'darwin':
      return '`brew install openblas`';
    case 'win32':
      return 'put libopenblas.dll (github.com/OpenMathLib/OpenBLAS/releases) on the PATH';
    default:
      return '`apt-get install libopenblas0-pthread` (Debian, Ubuntu) or `dnf install openblas` (Fedora)';
  }
}

/**
 * Opens the chosen GEMM in the calling thread. `scratch` is the address of GEMM_SCRATCH_BYTES of this thread.
 *
 * @throws E_KERNEL if the BLAS does not open in this thread.
 */
export function openGemm(
  choice: BackendChoice,
  memory: WebAssembly.Memory,
  kernels: KernelTable,
  scratch: Pointer,
): Gemm {
  const wasm = wasmGemm(kernels, scratch);
  return choice.blas ? blasGemm(openBlas(choice.blas.library), memory, wasm) : wasm;
}
