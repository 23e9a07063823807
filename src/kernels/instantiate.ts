import type { KernelTable } from './table.ts';

/** A module with one function of three v128 that returns f32x4.relaxed_madd of them. */
const RELAXED_PROBE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version
  0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b, // type (v128, v128, v128) -> v128
  0x03, 0x02, 0x01, 0x00, // function 0 of type 0
  0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02, 0x0b, // code
]); // biome-ignore format: by section

/** Whether this JavaScript engine compiles relaxed SIMD as it stands. Runs in browsers. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(RELAXED_PROBE);
}

/** The kernels as functions over `memory`; `heapBase` is the first address that the module leaves to others. */
export interface Kernels extends KernelTable {
  readonly heapBase: number;
}

/** Binds a compiled module to a memory: synchronous and cheap, once a thread. Runs in browsers. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const table: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(exports)) {
    table[name] = value instanceof WebAssembly.Global ? value.value : value;
  }
  // The one place where WebAssembly's untyped exports become the table; test/kernels/wasm.test.ts checks every name.
  return table as unknown as Kernels;
}
