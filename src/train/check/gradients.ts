import type { Table } from '../../data/contract.ts';
import { writeSparseRow } from '../../data/sparse.ts';
import { createExecutor, executorBytes } from '../../graph/execute.ts';
import { instantiateKernels } from '../../kernels/wasm.ts';
import type { TrainResult } from '../options.ts';
import type { RunPlan } from '../plan-run.ts';
import { valueAt } from './rows.ts';

const PAGE = 65536;
const ALIGNMENT = 64;

/** Which parameters a batch does not move. */
export interface StillTensor {
  readonly name: string;
  /** Units (last axis) whose gradient is exactly 0 for every row, of how many. */
  readonly still: number;
  readonly units: number;
}

/**
 * The gradient of a table's loss at given parameters, on one thread: tensors of which some units get no gradient at all. The
 * plan must have a training program of exactly that many rows.
 */
export function stillTensors(plan: RunPlan, table: Table, parameters: TrainResult['parameters']): StillTensor[] {
  const { tensors, trainPrograms } = plan.compiled;
  const program = trainPrograms.find((p) => p.rows === table.size);
  if (!program) throw new RangeError(`no training program of ${table.size} rows`);
  const room = executorBytes(program, tensors) + PAGE;
  const pages = Math.ceil(room / PAGE) + 16;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const kernels = instantiateKernels(plan.kernels, memory);
  const executor = createExecutor(program, tensors, {
    real: new Float32Array(memory.buffer),
    int: new Int32Array(memory.buffer),
    sums: new Float64Array(memory.buffer),
    kernels,
    base: Math.ceil(kernels.heapBase / ALIGNMENT) * ALIGNMENT,
  });
  for (const column of table.columns) {
    const field = executor.field(column.name);
    if (field) for (let i = 0; i < field.length; i++) field[i] = valueAt(column, i);
  }
  for (const column of table.sparse ?? []) {
    const field = executor.field(column.name);
    const width = column.shape[0];
    if (field instanceof Float32Array) {
      for (let row = 0; row < table.size; row++) writeSparseRow(column, row, field, row * width, width);
    }
  }
  for (const { name } of tensors) executor.parameter(name).set(parameters[name].data);
  executor.run();
  return tensors.flatMap(({ name, shape }) => {
    const gradient = executor.gradient(name);
    const units = shape[shape.length - 1] ?? 1;
    const moved = new Set<number>();
    for (let i = 0; i < gradient.length; i++) if (gradient[i] !== 0) moved.add(i % units);
    const still = units - moved.size;
    return still > 0 ? [{ name, still, units }] : [];
  });
}
