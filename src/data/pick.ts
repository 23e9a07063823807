import { type Column, type Split, strideOf } from './contract.ts';
import { sharedArray } from './raw.ts';
import { pickSparse } from './sparse.ts';
import { readRows } from './stream.ts';

/** The rows `ids` of a split, in that order, as a split of its own; an id may come more than once. */
export function pickRows(split: Split, ids: Int32Array): Split {
  if (split.kind === 'streamed') return readRows(split, ids);
  const { ids: own } = split;
  const picked = { size: ids.length, ids: own ? ids.map((id) => own[id]) : ids };
  if (split.kind === 'computed') return { ...split, ...picked };
  const columns = split.columns.map((column) => pickColumn(column, ids));
  const sparse = split.sparse?.map((column) => ({ ...column, ...pickSparse(column, ids) }));
  return { kind: 'table', ...picked, columns, ...(sparse ? { sparse } : {}) };
}

function pickColumn(column: Column, ids: Int32Array): Column {
  const width = column.shape.reduce((a, b) => a * b, 1);
  const step = strideOf(column);
  const { stride: _, ...dense } = column;
  const { data } = column;
  if (data instanceof Uint8Array) {
    const bytes = sharedArray('u8', ids.length * width);
    for (let i = 0; i < ids.length; i++) bytes.set(data.subarray(ids[i] * width, (ids[i] + 1) * width), i * width);
    return { ...column, data: bytes };
  }
  const words = sharedArray(column.dtype, ids.length * width);
  for (let i = 0; i < ids.length; i++) words.set(data.subarray(ids[i] * step, ids[i] * step + width), i * width);
  return { ...dense, data: words };
}
