import type { TensorEntry } from '../../src/graph/program.ts';
import { referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import type { KernelTable } from '../../src/kernels/table.ts';
import { compileKernels, instantiateKernels, type Simd, simdLevel } from '../../src/kernels/wasm.ts';
import type { OptimizerDef, View } from '../../src/optim/contract.ts';
import { plainGemm } from '../../src/optim/product.ts';

/** One tensor trained by a fused kernel in a small memory of its own. */
export interface KernelMachine {
  step(grad: Float32Array, lr: number, gradScale: number): void;
  param(): Float32Array;
  slot(index: number): Float32Array;
}

type Memory = { kernels: KernelTable; real: Float32Array; sums: Float64Array; base: number };

const reference = (bytes: number): Memory => {
  const heap = referenceHeap(bytes, 'f32');
  if (!(heap.real instanceof Float32Array)) throw new Error('asked for f32');
  return { kernels: referenceKernels(heap), real: heap.real, sums: heap.sums, base: 0 };
};

/** One memory for all machines of a module: a new machine wipes the one before it. */
async function compiled(simd: Simd): Promise<(bytes: number) => Memory> {
  const { module } = await compileKernels({ simd });
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65_536, shared: true });
  const kernels = instantiateKernels(module, memory);
  const base = Math.ceil(kernels.heapBase / 64) * 64;
  return (bytes) => {
    const [real, sums] = [new Float32Array(memory.buffer), new Float64Array(memory.buffer)];
    real.fill(0, base >> 2, (base + bytes) >> 2);
    return { kernels, real, sums, base };
  };
}

const implementations: readonly { name: string; memory: (bytes: number) => Memory }[] = [
  { name: 'reference', memory: reference },
  { name: 'simd128', memory: await compiled('simd128') },
  ...(simdLevel() === 'relaxed' ? [{ name: 'relaxed', memory: await compiled('relaxed') }] : []),
];

/** Every implementation of the kernels, as tables of vitest want them. */
export const kernelMachines = implementations.map(({ name, memory }) => ({
  name,
  create: (def: OptimizerDef, options: object, tensor: TensorEntry, start: Float32Array) =>
    kernelMachine(memory, def, options, tensor, start),
}));

function kernelMachine(
  memory: (bytes: number) => Memory,
  def: OptimizerDef,
  options: object,
  tensor: TensorEntry,
  start: Float32Array,
): KernelMachine {
  const kernel = def.kernel?.(options);
  if (kernel === undefined) throw new Error(`${def.kind} has no kernel`);
  const stride = 4 * Math.ceil((start.length + 16) / 16) * 16; // 64-byte aligned, with room for a kernel to overrun
  const { kernels, real, sums, base } = memory(8 * 64 + 6 * stride);
  const scalars = base;
  const at = (index: number): number => base + 8 * 64 + index * stride;
  const view = (pointer: number): Float32Array => real.subarray(pointer >> 2, (pointer >> 2) + start.length);
  const [param, grad] = [at(0), at(1)];
  const inits = Object.values(def.slots(options, tensor)).map(({ init = 0 }) => (init === 'parameter' ? start : init));
  const slots = inits.map((_, i) => at(2 + i));
  const [slot0 = 0, slot1 = 0, slot2 = 0, slot3 = 0] = slots;
  view(param).set(start);
  inits.forEach((init, i) => {
    if (typeof init === 'number') view(slots[i]).fill(init);
    else view(slots[i]).set(init);
  });
  const state = { ...def.state };
  const measurable = (): View => ({
    param: view(param),
    grad: view(grad),
    slots: Object.fromEntries(Object.keys(def.slots(options, tensor)).map((name, i) => [name, view(slots[i])])),
    tensor,
    first: 0,
    normal: () => undefined,
    gemm: plainGemm,
  });
  let step = 0;
  return {
    step(gradient, lr, gradScale) {
      step++;
      view(grad).set(gradient);
      const out = sums.subarray(scalars >> 3, (scalars >> 3) + def.scalarNames.length);
      const info = { step, lr, gradScale, options };
      const measured = new Float64Array(def.measures ?? 0);
      def.measure?.(measurable(), measured, info, state);
      def.scalars(info, out, state, measured);
      kernels[kernel](param, grad, slot0, slot1, slot2, start.length, scalars, slot3);
      const overrun = real.subarray((param >> 2) + start.length, grad >> 2);
      if (overrun.some((x) => x !== 0)) throw new Error(`${kernel} wrote past the end`);
    },
    param: () => view(param).slice(),
    slot: (index) => view(slots[index]).slice(),
  };
}
