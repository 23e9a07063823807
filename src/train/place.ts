import type { LoadedData, Split } from '../data/contract.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { PlacedAugmentation } from '../parallel/augment.ts';
import type { ModuleRef, SplitAddress, SplitName } from '../parallel/session.ts';

const ALIGNMENT = 64;

type Splits = readonly (readonly [SplitName, Split])[];

/** The splits of a data set under the names that records use. */
export function namedSplits(data: LoadedData): Splits {
  const all: [SplitName, Split | undefined][] = [
    ['train', data.train],
    ['val', data.validation],
    ['test', data.test],
  ];
  return all.flatMap(([name, split]) => (split ? [[name, split] as const] : []));
}

/** Bytes that the tables of all splits take in the arena. */
export function dataBytes(splits: Splits): number {
  let bytes = 0;
  for (const [, split] of splits) {
    if (split.kind === 'table') for (const column of split.columns) bytes += padded(column.data.byteLength);
  }
  return bytes;
}

/** Copies the tables into the arena from `address` on, and says where each column lies. */
export function placeData(
  splits: Splits,
  buffer: ArrayBufferLike,
  address: number,
  reads: ReadonlyMap<SplitName, ModuleRef>,
): Partial<Record<SplitName, SplitAddress>> {
  let top = address;
  const placed: Partial<Record<SplitName, SplitAddress>> = {};
  for (const [name, split] of splits) {
    if (split.kind === 'computed') {
      const read = reads.get(name);
      if (!read) throw new RangeError(`no module reference for split ${name}`);
      const ids = split.ids && sharedCopy(split.ids);
      placed[name] = { kind: 'computed', size: split.size, fields: split.fields, read, ids };
      continue;
    }
    const columns = split.columns.map((column) => {
      const bytes = new Uint8Array(column.data.buffer, column.data.byteOffset, column.data.byteLength);
      new Uint8Array(buffer, top, bytes.length).set(bytes);
      const at = top;
      top += padded(bytes.length);
      return {
        name: column.name,
        address: at,
        width: sizeOf(column.shape),
        bytes: column.data instanceof Uint8Array,
        scale: column.scale,
        shift: column.shift,
      };
    });
    placed[name] = { kind: 'table', size: split.size, columns };
  }
  return placed;
}

/** What the workers are told of the augmentations of a data set. */
export function placeAugmentations({ augment = {}, train }: LoadedData): PlacedAugmentation[] {
  const shiftOf = (field: string) =>
    (train.kind === 'table' ? train.columns.find((c) => c.name === field)?.shift : 0) ?? 0;
  return Object.entries(augment).map(([field, options]) => ({ ...options, field, zero: shiftOf(field) }));
}

function sharedCopy(ids: Int32Array): Int32Array {
  const copy = new Int32Array(new SharedArrayBuffer(ids.byteLength));
  copy.set(ids);
  return copy;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
