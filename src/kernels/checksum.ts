import { readFileSync } from 'node:fs';
import { copyBytes } from './copy-bytes.ts';
import { instantiateKernels, type Kernels } from './instantiate.ts';
import { CHECKSUM_BLOCK } from './table.ts';
import { unsharedModule } from './unshared.ts';

/** Bytes that are summed at a time: they stay in the nearest cache. */
const SCRATCH = 32 * 1024;

let own: { readonly kernels: Kernels; readonly bytes: Uint8Array } | undefined;

/** Kernels over a small memory of their own; compiled when they are first needed. */
function machine(): NonNullable<typeof own> {
  if (own) return own;
  const file = readFileSync(new URL('./wasm/simd128.wasm', import.meta.url));
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536 });
  const kernels = instantiateKernels(new WebAssembly.Module(unsharedModule(file)), memory);
  const at = Math.ceil(kernels.heapBase / 64) * 64;
  own = { kernels, bytes: new Uint8Array(memory.buffer, at, SCRATCH) };
  return own;
}

/** Kernels over memory in which bytes are summed where they lie. */
const inPlace = new WeakMap<ArrayBufferLike, Kernels>();

/** From now on bytes of this memory are not copied to be summed. */
export function sumInPlace(module: WebAssembly.Module, memory: WebAssembly.Memory): void {
  inPlace.set(memory.buffer, instantiateKernels(module, memory));
}

/**
 * Continues a checksum over these bytes, from any memory: by the kernel `checksum`, behind the length. One wrong bit always changes it, and of
 * more all but one in 2^32. No proof against intent.
 *
 * @returns u32
 */
export function checksum(bytes: Uint8Array, seed: number): number {
  const { kernels, bytes: scratch } = machine();
  const there = inPlace.get(bytes.buffer);
  let sum = Math.imul(rotate(seed ^ bytes.length), 0x9e3779b1);
  for (let from = 0; from < bytes.length; from += SCRATCH) {
    const length = Math.min(SCRATCH, bytes.length - from);
    const blocks = Math.ceil(length / CHECKSUM_BLOCK);
    if (there && length === blocks * CHECKSUM_BLOCK) sum = there.checksum(bytes.byteOffset + from, blocks, sum);
    else {
      copyBytes(scratch, bytes.subarray(from, from + length));
      scratch.fill(0, length, blocks * CHECKSUM_BLOCK);
      sum = kernels.checksum(scratch.byteOffset, blocks, sum);
    }
  }
  return sum >>> 0;
}

const rotate = (x: number) => (x << 13) | (x >>> 19);
