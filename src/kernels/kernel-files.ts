import { LockstepError } from '../errors.ts';
import { unsharedModule } from './unshared.ts';

/** The wasm files of the kernels, where they are not beside the code (a bundle): bytes, or URLs to read. */
export interface KernelFiles {
  readonly simd128?: Uint8Array | ArrayBuffer | string | URL;
  readonly relaxed?: Uint8Array | ArrayBuffer | string | URL;
}

/** Reads a kernel file at a URL. Throws what the platform throws. */
export type ReadFile = (url: URL | string) => Promise<Uint8Array>;

// The whole expressions stand here so that bundlers find the files and take them along.
const BESIDE_THE_CODE = {
  simd128: () => new URL('./wasm/simd128.wasm', import.meta.url),
  relaxed: () => new URL('./wasm/relaxed.wasm', import.meta.url),
};

/**
 * Compiles one of the two kernel modules, for a memory that is not shared.
 *
 * @throws E_KERNEL if the file is not there or is no kernel module.
 */
export async function compileFile(
  simd: 'simd128' | 'relaxed',
  files: KernelFiles,
  read: ReadFile,
): Promise<WebAssembly.Module> {
  const given = files[simd];
  let place = given === undefined ? `${simd}.wasm beside the code` : `kernels.${simd}`;
  try {
    if (given instanceof Uint8Array || given instanceof ArrayBuffer) {
      return await WebAssembly.compile(unsharedModule(new Uint8Array(given)));
    }
    const url = given ?? BESIDE_THE_CODE[simd]();
    place = String(url);
    return await WebAssembly.compile(unsharedModule(await read(url)));
  } catch (cause) {
    throw new LockstepError('E_KERNEL', {
      where: `kernels for prediction, ${place}`,
      expected: 'the compiled kernels',
      got: cause instanceof Error ? cause.message : String(cause),
      fix: 'a bundle needs the files lockstep/kernels/*.wasm in a folder wasm beside it, or passed in: Predictor.load(model, { kernels: { simd128, relaxed } }) with their bytes or URLs',
      cause,
    });
  }
}
