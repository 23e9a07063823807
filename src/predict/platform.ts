import type { StoredModel } from '../checkpoint/model-file.ts';
import type { DecodeImage, ImageForm } from '../data/image-decode.ts';
import type { Gemm } from '../kernels/gemm.ts';
import type { Kernels } from '../kernels/instantiate.ts';
import type { KernelFiles } from '../kernels/kernel-files.ts';
import type { Pointer } from '../kernels/table.ts';

/** Where a model comes from: bytes of a model file; in Node also a path (or file: URL) of a run, a checkpoint or a model file. */
export type ModelSource = string | URL | Uint8Array | ArrayBuffer;

/** Which kernels compute; `blas` is the library. */
export interface KernelInfo {
  readonly gemm: 'blas' | 'wasm';
  readonly simd: 'simd128' | 'relaxed';
  readonly blas?: string;
}

/** Matrix products over a memory. `exact`: a row's bits do not depend on how many rows are multiplied with it. */
export interface OpenGemm {
  readonly gemm: Gemm;
  readonly exact: boolean;
}

/** The kernels of this place, compiled and not yet bound to a memory. */
export interface PlatformKernels {
  readonly info: KernelInfo;
  readonly module: WebAssembly.Module;
  /** `scratch` is the address of GEMM_SCRATCH_BYTES. */
  openGemm(memory: WebAssembly.Memory, kernels: Kernels, scratch: Pointer): OpenGemm;
}

/** Which of several checkpoints to take. */
export interface CheckpointChoice {
  /** The best by this metric of the evaluations ('val.loss'), not the newest. */
  readonly best?: string;
}

/** Decodes images of one form; see src/data/image-decode.ts. */
export type OpenDecoder = (form: ImageForm) => Promise<DecodeImage>;

/** What differs between Node and a web page. */
export interface Platform {
  /** @throws E_CHECKPOINT if there is no whole model; E_OPTION for a source that cannot be read here. */
  readModel(source: ModelSource, choice: CheckpointChoice): Promise<StoredModel>;
  /** @throws E_KERNEL if the kernels are not found. */
  openKernels(options: { readonly portable: boolean; readonly files: KernelFiles }): Promise<PlatformKernels>;
  /** @throws E_DATA_MISSING or E_OPTION where encoded images cannot be read. */
  readonly openDecoder: OpenDecoder;
}
