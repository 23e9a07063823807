import { type Column, type SparseColumn, type Split, strideOf } from '../data/contract.ts';
import { ReusedArrays } from '../data/reused-arrays.ts';
import { writeSparseRow } from '../data/sparse.ts';
import { readRows } from '../data/stream.ts';
import { byteValue } from '../data/transforms.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { Stage } from './machine.ts';

/** Rows that are read from disk at once. */
const READ_ROWS = 256;

/** Makes row `index` of a split row `slot` of a stage: the same numbers as a worker gathers. */
export type SplitWriter = (stage: Stage, slot: number, index: number) => void;

/**
 * Rows of a loaded split, encoded already. `random` is what computed rows are read with: a function of the row's id.
 */
export function splitWriter(
  split: Split,
  fields: readonly string[],
  random: (id: number) => () => number,
): SplitWriter {
  if (split.kind === 'table') {
    const writers = fields.map((name) => {
      const sparse = split.sparse?.find((c) => c.name === name);
      if (sparse) return sparseWriter(sparse);
      const column = split.columns.find((c) => c.name === name);
      if (!column) throw new RangeError(`split without a column ${name}`);
      return columnWriter(column);
    });
    return (stage, slot, index) => {
      for (const write of writers) write(stage, slot, index);
    };
  }
  if (split.kind === 'streamed') {
    const arrays = new ReusedArrays();
    let first = 0;
    let write: SplitWriter | undefined;
    return (stage, slot, index) => {
      if (!write || index < first || index >= first + READ_ROWS) {
        first = index - (index % READ_ROWS);
        const ids = Int32Array.from({ length: Math.min(READ_ROWS, split.size - first) }, (_, i) => first + i);
        write = splitWriter(readRows(split, ids, arrays), fields, random);
      }
      write(stage, slot, index - first);
    };
  }
  const { ids, read } = split;
  const staging: Record<string, Float32Array | Int32Array> = {};
  for (const { name, dtype, shape } of split.fields) {
    staging[name] = dtype === 'i32' ? new Int32Array(sizeOf(shape)) : new Float32Array(sizeOf(shape));
  }
  return (stage, slot, index) => {
    const id = ids ? ids[index] : index;
    read(id, staging, random(id));
    for (const name of fields) stage.field(name)?.set(staging[name], slot * staging[name].length);
  };
}

function sparseWriter(column: SparseColumn): SplitWriter {
  const width = sizeOf(column.shape);
  return (stage, slot, index) => {
    const out = stage.field(column.name);
    if (out instanceof Float32Array) writeSparseRow(column, index, out, slot * width, width);
  };
}

function columnWriter(column: Column): SplitWriter {
  const { name, data, shape, scale, shift } = column;
  const step = strideOf(column);
  const width = sizeOf(shape);
  const table =
    data instanceof Uint8Array ? Float32Array.from({ length: 256 }, (_, b) => byteValue(b, scale, shift)) : undefined;
  return (stage, slot, index) => {
    const out = stage.field(name);
    if (!out) return;
    const from = index * step;
    if (table) for (let i = 0; i < width; i++) out[slot * width + i] = table[data[from + i]];
    else out.set(data.subarray(from, from + width), slot * width);
  };
}
