import type { CompileOptions } from '../../src/graph/compile.ts';
import { compileProgram } from '../../src/graph/compile.ts';
import type { Executor, ExecutorMemory } from '../../src/graph/execute.ts';
import { createExecutor, executorBytes } from '../../src/graph/execute.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Program, TensorEntry } from '../../src/graph/program.ts';
import type { Shape } from '../../src/graph/tensor.ts';
import { compileKernels, heapBaseOf, instantiateKernels } from '../../src/kernels/wasm.ts';
import { randomStream } from './naive.ts';

/** A tensor table of parameters by name. */
export function tableOf(shapes: Readonly<Record<string, Shape>>): TensorEntry[] {
  const specs = Object.entries(shapes).map(([name, shape]) => ({
    name,
    shape,
    init: { kind: 'constant', value: 0 } as const,
  }));
  return layoutTensors(specs).entries;
}

export const MLP_SHAPES = { w1: [20, 16], b1: [16], w2: [16, 12], b2: [12], w3: [12, 5], b3: [5] };
export const MLP_TABLE = tableOf(MLP_SHAPES);

/** 20-16-12-5 with relu, gelu and dropout, weighted cross-entropy and accuracy: what most jobs are made of. */
export function mlp(rows: number, options: Partial<CompileOptions> & { rate?: number } = {}): Program {
  const { rate = 0, ...rest } = options;
  const x = ops.input('x', [rows, 20]);
  const labels = ops.input('labels', [rows], 'i32');
  const weight = ops.input('weight', [rows]);
  const p = Object.fromEntries(Object.entries(MLP_SHAPES).map(([name, shape]) => [name, ops.parameter(name, shape)]));
  const h1 = ops.dropout(ops.linear(x, p.w1, p.b1, 'relu'), rate);
  const h2 = ops.linear(h1, p.w2, p.b2, 'gelu');
  const logits = ops.linear(h2, p.w3, p.b3);
  return compileProgram({
    rows,
    fields: [
      { name: 'x', dtype: 'f32', shape: [20] },
      { name: 'unused', dtype: 'f32', shape: [7] },
      { name: 'labels', dtype: 'i32', shape: [] },
      { name: 'weight', dtype: 'f32', shape: [] },
    ],
    tensors: MLP_TABLE,
    outputs: { logits },
    loss: { value: ops.softmaxCrossEntropy(logits, labels), weight },
    sums: [{ name: 'correct', value: ops.inTopK(logits, labels, 1) }],
    gradients: true,
    ...rest,
  });
}

/** Parameters and rows `first`.. of one endless random data set. */
export function fillMlp(executor: Executor, first = 0): void {
  const stream = randomStream(7);
  for (const { name, size } of MLP_TABLE)
    executor.parameter(name).set(Array.from({ length: size }, () => stream.next() - 0.5));
  const rows = executor.program.rows;
  for (let row = 0; row < rows; row++) {
    const own = randomStream(100 + first + row);
    executor.field('x')?.set(Array.from({ length: 20 }, () => 2 * own.next() - 1), row * 20); // biome-ignore format: short
    executor.field('labels')?.set([own.int(0, 4)], row);
    executor.field('weight')?.set([own.int(0, 3)], row);
  }
}

/** Programs on the WASM kernels. */
export async function wasmExecutors(): Promise<(program: Program, tensors: readonly TensorEntry[]) => Executor> {
  const { module } = await compileKernels();
  return (program, tensors) => createExecutor(program, tensors, wasmMemory(module, executorBytes(program, tensors)));
}

export async function wasmExecutor(program: Program, tensors: readonly TensorEntry[]): Promise<Executor> {
  return (await wasmExecutors())(program, tensors);
}

function wasmMemory(module: WebAssembly.Module, bytes: number): ExecutorMemory {
  const base = Math.ceil(heapBaseOf(module) / 64) * 64;
  const pages = Math.ceil((base + bytes) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
  return {
    real: new Float32Array(memory.buffer),
    int: new Int32Array(memory.buffer),
    sums: new Float64Array(memory.buffer),
    kernels: instantiateKernels(module, memory),
    base,
  };
}
