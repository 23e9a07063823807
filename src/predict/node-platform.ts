import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { imageDecoder } from '../data/image-decode.ts';
import { chooseBackend, openGemm } from '../kernels/backend.ts';
import { compileFile, type ReadFile } from '../kernels/kernel-files.ts';
import { readStoredModel } from './node-model.ts';
import type { Platform } from './platform.ts';

/** Node: models from disk, the system's BLAS where there is one. */
export const nodePlatform: Platform = {
  readModel: readStoredModel,
  openDecoder: imageDecoder,

  async openKernels({ portable, files }) {
    const backend = chooseBackend({ portable });
    const { gemm, simd, blas } = backend;
    return {
      info: blas
        ? { gemm, simd, blas: [blas.library, blas.version, blas.core].filter(Boolean).join(' ') }
        : { gemm, simd },
      module: await compileFile(simd, files, readUrl),
      openGemm: (memory, kernels, scratch) => ({
        gemm: openGemm(backend, memory, kernels, scratch),
        exact: gemm === 'wasm',
      }),
    };
  },
};

const readUrl: ReadFile = async (url) => {
  const text = String(url);
  if (/^https?:/.test(text)) {
    const response = await fetch(text);
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  }
  return readFile(text.startsWith('file:') ? fileURLToPath(text) : text);
};
