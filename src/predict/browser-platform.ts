import { decodeModel } from '../checkpoint/model-file.ts';
import { LockstepError } from '../errors.ts';
import { wasmGemm } from '../kernels/gemm.ts';
import { hasRelaxedSimd } from '../kernels/instantiate.ts';
import { compileFile, type ReadFile } from '../kernels/kernel-files.ts';
import type { Platform } from './platform.ts';

/** Web pages and workers: models as bytes, kernels by `fetch`, WASM alone. */
export const browserPlatform: Platform = {
  async openDecoder({ size: [height, width], channels }) {
    throw new LockstepError('E_OPTION', {
      where: 'predict',
      expected: `the pixels of an image, ${height} x ${width} x ${channels} bytes`,
      got: 'an encoded image',
      fix: 'draw it on a canvas of that size and take its pixels (getImageData, without the fourth of each); only Node decodes files',
    });
  },

  async readModel(source) {
    if (source instanceof Uint8Array) return decodeModel(source);
    if (source instanceof ArrayBuffer) return decodeModel(new Uint8Array(source));
    throw new LockstepError('E_OPTION', {
      where: 'Predictor.load',
      expected: 'the bytes of a model file (lockstep export DIR model.safetensors)',
      got: typeof source === 'string' ? JSON.stringify(source) : String(source),
      fix: 'here there are no folders: Predictor.load(new Uint8Array(await (await fetch(url)).arrayBuffer()))',
    });
  },

  async openKernels({ portable, files }) {
    const given = (simd: 'simd128' | 'relaxed') => files[simd] !== undefined;
    // One file passed in is the one to take.
    const onlyPlain = given('simd128') && !given('relaxed');
    const simd = !portable && !onlyPlain && hasRelaxedSimd() ? 'relaxed' : 'simd128';
    return {
      info: { gemm: 'wasm', simd },
      module: await compileFile(simd, files, fetchBytes),
      openGemm: (_, kernels, scratch) => ({ gemm: wasmGemm(kernels, scratch), exact: true }),
    };
  },
};

const fetchBytes: ReadFile = async (url) => {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
};
