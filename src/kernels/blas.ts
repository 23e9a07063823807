import { readFileSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { LockstepError } from '../errors.ts';
import type { Sgemm } from './gemm.ts';
import { type Koffi, loadKoffi } from './koffi.ts';

/** A system BLAS that was found and tried. */
export interface BlasInfo {
  /** What the loader was given: a file name or a path. */
  readonly library: string;
  /** What the library says about itself, such as 'OpenBLAS 0.3.21 ...'; '' if it says nothing. */
  readonly version: string;
  /** The core type whose kernels run; '' if the library does not say. */
  readonly core: string;
}

/** Why there is no BLAS. */
export type BlasMissing = 'koffi' | 'library';

/** The environment of the process, passed in. On the main thread, what is written to process.env reaches C's getenv. */
export type Environment = Record<string, string | undefined>;

/** cblas libraries by platform, best first. A plain reference BLAS is slower than the wasm kernels and is not taken. */
const CANDIDATES: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: [
    'libopenblas.so.0',
    'libopenblas.so',
    'libopenblasp.so.0',
    'libmkl_rt.so.2',
    'libmkl_rt.so.1',
    'libmkl_rt.so',
    'libblis.so.4',
    'libblis.so.3',
    'libblis.so',
    'libcblas.so.3',
  ],
  darwin: [
    '/System/Library/Frameworks/Accelerate.framework/Accelerate',
    '/opt/homebrew/opt/openblas/lib/libopenblas.dylib',
    '/usr/local/opt/openblas/lib/libopenblas.dylib',
  ],
  win32: ['libopenblas.dll', 'openblas.dll', 'mkl_rt.2.dll', 'mkl_rt.1.dll', 'mkl_rt.dll'],
};

const SGEMM =
  'void cblas_sgemm(int,int,int,int,int,int,float,_In_ float*,int,_In_ float*,int,float,_Inout_ float*,int)';

/** One thread a call: Lockstep's own workers use the cores. */
const THREAD_VARIABLES = [
  'OPENBLAS_NUM_THREADS',
  'OMP_NUM_THREADS',
  'MKL_NUM_THREADS',
  'BLIS_NUM_THREADS',
  'VECLIB_MAXIMUM_THREADS',
] as const;

/**
 * Sets what BLAS libraries read from the environment when they load, where the user has not: one thread, and AVX-512 kernels
 * for an OpenBLAS too old to know this processor. On the main thread, before anything loads a BLAS.
 */
export function prepareBlasEnvironment(env: Environment): void {
  for (const name of THREAD_VARIABLES) env[name] ??= '1';
  if (env.OPENBLAS_CORETYPE === undefined && oldOpenblas(env) && hasAvx512()) env.OPENBLAS_CORETYPE = 'SKYLAKEX';
}

/** All that OpenBLAS's SKYLAKEX kernels use. */
function hasAvx512(): boolean {
  if (process.platform !== 'linux' || process.arch !== 'x64') return false;
  try {
    const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' '));
    return ['avx512f', 'avx512dq', 'avx512bw', 'avx512vl'].every((flag) => flags.has(flag));
  } catch {
    return false; // no /proc: leave the choice to the library
  }
}

/**
 * Whether the OpenBLAS that will load is older than 0.3.25, the first that chooses kernels for unknown processors by what
 * they can do. The version stands in the name of the file behind the links (libopenblasp-r0.3.21.so).
 */
function oldOpenblas(env: Environment): boolean {
  const triplet = process.arch === 'x64' ? 'x86_64-linux-gnu' : 'aarch64-linux-gnu';
  const folders = [
    ...(env.LD_LIBRARY_PATH ?? '').split(':').filter((folder) => folder !== ''),
    ...[`/usr/lib/${triplet}`, `/lib/${triplet}`, '/usr/lib64', '/lib64', '/usr/local/lib', '/usr/lib', '/lib'],
  ];
  for (const folder of folders) {
    for (const name of ['libopenblas.so.0', 'libopenblas.so']) {
      try {
        const version = /r?(\d+)\.(\d+)\.(\d+)/.exec(basename(realpathSync(`${folder}/${name}`)));
        if (!version) return false;
        const [major, minor, patch] = version.slice(1).map(Number);
        return major === 0 && (minor < 3 || (minor === 3 && patch < 25));
      } catch {
        // not here: try the next place
      }
    }
  }
  return false;
}

/** The first usable BLAS of this machine, or what is missing. Never throws. */
export function findBlas(): BlasInfo | BlasMissing {
  const koffi = loadKoffi();
  if (!koffi) return 'koffi';
  for (const library of CANDIDATES[process.platform] ?? []) {
    const opened = tryOpen(koffi, library);
    if (opened) return opened.info;
  }
  return 'library';
}

/**
 * Opens the library that `findBlas` found, for the calling thread: one BLAS thread, checked.
 *
 * @throws E_KERNEL if it does not open here or keeps several threads.
 */
export function openBlas(library: string): Sgemm {
  const koffi = loadKoffi();
  const opened = koffi && tryOpen(koffi, library);
  if (!opened) {
    throw new LockstepError('E_KERNEL', {
      where: `BLAS library ${library}`,
      expected: 'a single-threaded cblas_sgemm, as on the main thread',
      got: koffi ? 'none' : 'no package koffi',
      fix: 'set LOCKSTEP_GEMM=wasm to do without BLAS',
    });
  }
  return opened.sgemm;
}

function tryOpen(koffi: Koffi, library: string): { info: BlasInfo; sgemm: Sgemm } | undefined {
  try {
    const lib = koffi.load(library);
    const optional = (prototype: string): ((...args: never[]) => unknown) | undefined => {
      try {
        return lib.func(prototype);
      } catch {
        return undefined; // another BLAS without this function
      }
    };
    const text = (prototype: string): string => String(optional(prototype)?.() ?? '');
    const sgemm = lib.func(SGEMM) as unknown as Sgemm;
    const version = text('const char* openblas_get_config()');
    if (library.startsWith('libcblas') && !version && !optional('void ATL_buildinfo()')) return undefined;
    setOneThread(optional);
    const threads = optional('int openblas_get_num_threads()')?.();
    if ((threads !== undefined && threads !== 1) || !multiplies(sgemm)) return undefined;
    const core = text('const char* openblas_get_corename()');
    return { info: { library, version: version.trim() || basename(library), core }, sgemm };
  } catch {
    return undefined; // no such library
  }
}

type OneThread = (threads: number) => void;

function setOneThread(optional: (prototype: string) => ((...args: never[]) => unknown) | undefined): void {
  const setters = [
    'void openblas_set_num_threads(int)',
    'void MKL_Set_Num_Threads(int)',
    'void bli_thread_set_num_threads(long)',
  ];
  for (const prototype of setters) (optional(prototype) as OneThread | undefined)?.(1);
}

/** [1 2 3; 4 5 6] [1 0; 0 1; 1 1]: tells a library with other integers or another order apart before it does harm. */
function multiplies(sgemm: Sgemm): boolean {
  const c = new Float32Array(4);
  sgemm(101, 111, 111, 2, 2, 3, 1, Float32Array.of(1, 2, 3, 4, 5, 6), 3, Float32Array.of(1, 0, 0, 1, 1, 1), 2, 0, c, 2);
  return c[0] === 4 && c[1] === 5 && c[2] === 10 && c[3] === 11;
}
