import type { Gemm } from '../kernels/gemm.ts';
import { wasmGemm } from '../kernels/gemm.ts';
import type { KernelTable } from '../kernels/table.ts';
import { GEMM_SCRATCH_BYTES, ROW_LIST_STRIDE } from '../kernels/table.ts';
import { align } from './plan.ts';
import type { Call, Program, Region, TensorEntry } from './program.ts';
import type { Shape } from './tensor.ts';
import { sizeOf } from './tensor.ts';

/** Prepares one GEMM of a program to be run many times: `bind` of the BLAS or WASM Gemm of this thread. */
export type BindGemm = Gemm['bind'];

type Kernel = (...args: number[]) => unknown;

/** Stands between a program and one of its calls, once, when it is bound (profiles): gives what runs in its place. */
export type Observe = (call: Call, run: () => void) => () => void;

/**
 * A program bound to memory: the function runs all its calls once, without allocating. `addresses` are the byte addresses of
 * the regions, multiples of 64; constants must have been written by then.
 */
export function bindProgram(
  program: Program,
  addresses: Readonly<Record<Region, number>>,
  kernels: KernelTable,
  bindGemm: BindGemm,
  observe?: Observe,
): () => void {
  const bind = ({ kernel, args }: Call): (() => void) => {
    const values = args.map((arg) => (typeof arg === 'number' ? arg : addresses[arg.region] + arg.offset));
    if (kernel !== 'gemm') return bindCall(kernels[kernel], values);
    const [transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc] = values;
    return bindGemm({ transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc });
  };
  const steps = program.calls.map((call) => observe?.(call, bind(call)) ?? bind(call));
  return () => {
    for (let i = 0; i < steps.length; i++) steps[i]();
  };
}

/** A closure for each number of arguments: a spread would allocate in every call. */
function bindCall(f: Kernel, v: readonly number[]): () => void {
  const [a, b, c, d, e, g, h, i, j, k, l] = v;
  switch (v.length) {
    case 3:
      return () => void f(a, b, c);
    case 4:
      return () => void f(a, b, c, d);
    case 5:
      return () => void f(a, b, c, d, e);
    case 6:
      return () => void f(a, b, c, d, e, g);
    case 7:
      return () => void f(a, b, c, d, e, g, h);
    case 8:
      return () => void f(a, b, c, d, e, g, h, i);
    case 9:
      return () => void f(a, b, c, d, e, g, h, i, j);
    case 10:
      return () => void f(a, b, c, d, e, g, h, i, j, k);
    case 11:
      return () => void f(a, b, c, d, e, g, h, i, j, k, l);
    default: {
      const args = [...v];
      return () => void f(...args);
    }
  }
}

/** Memory for one thread's executor: views over one address space, its kernels, and a free range. */
export interface ExecutorMemory {
  /** Indexed by byte address / 4; f64 only with the reference kernels. */
  readonly real: Float32Array | Float64Array;
  readonly int: Int32Array;
  /** Indexed by byte address / 8. */
  readonly sums: Float64Array;
  readonly kernels: KernelTable;
  /** First byte that the executor may use; a multiple of 64. It takes `executorBytes` from there. */
  readonly base: number;
  /** Default: the kernel table's, with scratch of its own. */
  readonly bindGemm?: BindGemm;
  /** Address of the flat parameters when another executor holds them already. */
  readonly parameters?: number;
}

/** Runs one program on one thread, by names: tests and prediction. */
export interface Executor {
  readonly program: Program;
  /** Address of the flat parameters, to share them with another executor. */
  readonly parameters: number;
  /** The live parameter of that name; write it to set it. */
  parameter(name: string): Float32Array | Float64Array;
  /** The gradient of that parameter after a run; of a sparse table with all its rows, as they are now. */
  gradient(name: string): Float32Array | Float64Array;
  /** The live input of that name, or undefined when the program does not read it. */
  field(name: string): Float32Array | Float64Array | Int32Array | undefined;
  /** Seed low, seed high, step, shard: what dropout follows. Zeros to begin with. */
  setKey(key: readonly number[]): void;
  run(): void;
  output(name: string): { shape: Shape; data: Float32Array | Float64Array | Int32Array };
  /** A sum of the program: 'loss', 'weight' ... */
  sum(name: string): number;
}

function flatBytes(tensors: readonly TensorEntry[]): number {
  return tensors.reduce((end, entry) => Math.max(end, align(4 * (entry.offset + entry.size))), 0);
}

/** Bytes that an executor takes from `base`. The last `gemmScratch` of them are the GEMM's; that of the reference kernels needs none. */
export function executorBytes(
  program: Program,
  tensors: readonly TensorEntry[],
  gemmScratch = GEMM_SCRATCH_BYTES,
): number {
  return layoutRegions(program, tensors, 0).scratch + gemmScratch;
}

function layoutRegions(
  program: Program,
  tensors: readonly TensorEntry[],
  base: number,
): { addresses: Record<Region, number>; lists: { ids: number; rows: number }[]; scratch: number } {
  let end = base;
  const take = (bytes: number): number => {
    const start = end;
    end += align(bytes);
    return start;
  };
  const addresses = {
    parameters: take(flatBytes(tensors)),
    gradients: take(flatBytes(tensors)),
    moments: take(program.momentBytes),
    batch: take(program.batchBytes),
    activations: take(program.activationBytes),
    constants: take(program.constants.length),
    sums: take(8 * program.sums.length),
    key: take(16),
    ends: take(program.endBytes),
    rowLists: take(ROW_LIST_STRIDE * program.rowLists.reduce((end, { list }) => Math.max(end, list + 1), 0)),
  };
  const lists = program.rowLists.map(({ ids, width }) => ({ ids: take(4 * ids), rows: take(4 * ids * width) }));
  return { addresses, lists, scratch: end };
}

/** Lays the program's regions out from `memory.base`, writes its constants and binds it. */
export function createExecutor(program: Program, tensors: readonly TensorEntry[], memory: ExecutorMemory): Executor {
  const { real, int, sums, kernels } = memory;
  const { addresses, lists, scratch } = layoutRegions(program, tensors, memory.base);
  program.rowLists.forEach(({ list }, i) => {
    int.set([0, lists[i].ids, lists[i].rows], (addresses.rowLists + ROW_LIST_STRIDE * list) / 4);
  });
  if (memory.parameters !== undefined) addresses.parameters = memory.parameters;
  writeConstants(program.constants, addresses.constants, real, int);
  const run = bindProgram(program, addresses, kernels, memory.bindGemm ?? wasmGemm(kernels, scratch).bind);

  const at = (region: Region, byteOffset: number, size: number, dtype: 'f32' | 'i32') => {
    const start = (addresses[region] + byteOffset) / 4;
    return (dtype === 'i32' ? int : real).subarray(start, start + size);
  };
  const entry = (name: string): TensorEntry => named('parameter', name, tensors);
  const flat = (region: Region, { offset, size }: TensorEntry): Float32Array | Float64Array => {
    const start = addresses[region] / 4 + offset;
    return real.subarray(start, start + size);
  };
  return {
    program,
    parameters: addresses.parameters,
    parameter: (name) => flat('parameters', entry(name)),
    gradient(name) {
      const gradient = flat('gradients', entry(name));
      if (!entry(name).sparse) return gradient;
      gradient.fill(0);
      program.rowLists.forEach(({ name: table, list, width }, i) => {
        if (table !== name) return;
        const count = int[(addresses.rowLists + ROW_LIST_STRIDE * list) / 4];
        for (let k = 0; k < count * width; k++) {
          const at = int[lists[i].ids / 4 + Math.floor(k / width)] * width + (k % width);
          gradient[at] += real[lists[i].rows / 4 + k];
        }
      });
      return gradient;
    },
    field(name) {
      const field = program.fields.find((f) => f.name === name);
      return field && at('batch', field.offset, sizeOf(field.shape), field.dtype);
    },
    setKey: (key) => int.set(key, addresses.key / 4),
    run,
    output(name) {
      const { shape, dtype, ref } = named('output', name, program.outputs);
      return { shape, data: at(ref.region, ref.offset, sizeOf(shape), dtype) };
    },
    sum(name) {
      const index = program.sums.indexOf(name);
      if (index < 0) throw new TypeError(`the program has no sum ${name}`);
      return sums[addresses.sums / 8 + index];
    },
  };
}

function named<T extends { readonly name: string }>(what: string, name: string, list: readonly T[]): T {
  const found = list.find((item) => item.name === name);
  if (found === undefined) throw new TypeError(`the program has no ${what} ${name}`);
  return found;
}

/** Constants are f32 and i32 mixed: where the views are apart, each gets its own reading of every word. */
function writeConstants(bytes: Uint8Array, address: number, real: Float32Array | Float64Array, int: Int32Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = 0; offset < bytes.length; offset += 4) {
    if (real.buffer !== int.buffer) real[(address + offset) / 4] = view.getFloat32(offset, true);
    int[(address + offset) / 4] = view.getInt32(offset, true);
  }
}
