import { LockstepError } from '../errors.ts';
import type { FieldInfo, SparseColumn } from './contract.ts';
import { type RawTable, type SparseRows, sharedArray } from './raw.ts';
import type { Encoder } from './transforms.ts';

/** Rows of numbers of which only those that are not zero are kept (compressed sparse rows), all of the table or rows `ids`. */
export function encodeSparse(raw: RawTable, ids: Int32Array | undefined, encoder: Encoder): SparseColumn[] {
  return encoder.fields.flatMap((field) => {
    const [part] = encoder.parts(field.name);
    const column = raw.columns.get(part.column);
    if (column?.kind !== 'sparse') return [];
    checkWidth(column, field, raw);
    return [{ ...field, ...(ids ? pickSparse(column, ids) : column) }];
  });
}

/** Throws E_DATA_VALUE for the first row with a feature that the training rows do not have. */
function checkWidth(rows: SparseRows, { shape: [width], name }: FieldInfo, raw: RawTable): void {
  const at = rows.indices.findIndex((index) => index >= width);
  if (at < 0) return;
  const row = rows.pointers.findIndex((end) => end > at) - 1;
  throw tooWide(raw.place(row, name), width, rows.indices[at]);
}

export function tooWide(where: string, width: number, index: number): LockstepError {
  return new LockstepError('E_DATA_VALUE', {
    where,
    expected: `features of the training rows (${width} of them)`,
    got: `number ${index}, counted from 0`,
    fix: 'give the training source the option features, as many as the largest file has',
  });
}

/** Rows `ids` of sparse rows, in shared memory of their own. */
export function pickSparse({ pointers, indices, values }: SparseRows, ids: Int32Array): SparseRows {
  const ends = sharedArray('i32', ids.length + 1);
  for (let i = 0; i < ids.length; i++) ends[i + 1] = ends[i] + pointers[ids[i] + 1] - pointers[ids[i]];
  const count = ends[ids.length];
  const picked = { pointers: ends, indices: sharedArray('i32', count), values: sharedArray('f32', count) };
  for (let i = 0; i < ids.length; i++) {
    const [begin, end] = [pointers[ids[i]], pointers[ids[i] + 1]];
    picked.indices.set(indices.subarray(begin, end), ends[i]);
    picked.values.set(values.subarray(begin, end), ends[i]);
  }
  return picked;
}

/** Writes row `row` to `out` from `offset` on, zeros included. */
export function writeSparseRow(rows: SparseRows, row: number, out: Float32Array, offset: number, width: number): void {
  out.fill(0, offset, offset + width);
  const end = rows.pointers[row + 1];
  for (let i = rows.pointers[row]; i < end; i++) out[offset + rows.indices[i]] = rows.values[i];
}
