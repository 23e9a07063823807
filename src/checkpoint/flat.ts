import type { TensorEntry } from '../graph/program.ts';
import { sizeOf } from '../graph/tensor.ts';
import { damaged, quote } from './damage.ts';
import type { Manifest } from './manifest.ts';
import { f32Elements, type NamedTensor, type Safetensors } from './safetensors.ts';

/** Between the flat vectors of the arena and the named tensors of a file. Nothing is copied on the way out. */

type Slot = Manifest['optimizer']['slots'][number];
type Expected = { readonly name: string; readonly shape: readonly number[] };

/** The parameters of a flat vector (padded as the tensor table says) by name. */
export function parameterTensors(table: readonly TensorEntry[], flat: Float32Array): NamedTensor[] {
  return table.map(({ name, shape, offset }) => view(name, shape, flat, offset));
}

/** The optimizer's slots, one flat vector each, as `slot/tensor`. */
export function slotTensors(
  table: readonly TensorEntry[],
  slots: readonly Slot[],
  flats: readonly Float32Array[],
): NamedTensor[] {
  if (slots.length !== flats.length) throw new RangeError(`${slots.length} slots, but ${flats.length} vectors`);
  return slots.flatMap((slot, i) =>
    table.map((entry) => view(slotTensorName(slot, entry), slotShape(slot, entry), flats[i], entry.offset)),
  );
}

function view(name: string, shape: readonly number[], flat: Float32Array, offset: number): NamedTensor {
  const bytes = new Uint8Array(flat.buffer, flat.byteOffset + 4 * offset, 4 * sizeOf(shape));
  return { name, dtype: 'F32', shape, bytes };
}

function slotTensorName(slot: Slot, entry: Expected): string {
  return `${slot.name}/${entry.name}`;
}

function slotShape(slot: Slot, entry: Expected): readonly number[] {
  return slot.shapes?.[entry.name] ?? entry.shape;
}

/**
 * The parameters of a file as a flat vector, padding zero.
 *
 * @throws E_CHECKPOINT unless the file holds exactly the tensors of the table, in F32.
 */
export function readParameters(table: readonly TensorEntry[], file: Safetensors, where: string): Float32Array {
  matchTensors(file, table, where);
  return flatten(table, (entry) => entry.name, file);
}

/** Likewise the optimizer's slots. */
export function readSlots(
  table: readonly TensorEntry[],
  slots: readonly Slot[],
  file: Safetensors,
  where: string,
): Float32Array[] {
  for (const slot of slots) {
    for (const entry of table) {
      const size = sizeOf(slotShape(slot, entry));
      const place = `manifest: slot ${quote(slot.name)} of ${quote(entry.name)}`;
      if (size > entry.size) throw damaged(place, `at most ${entry.size} elements`, `${size}`);
    }
  }
  const expected = slots.flatMap((slot) =>
    table.map((entry) => ({ name: slotTensorName(slot, entry), shape: slotShape(slot, entry) })),
  );
  matchTensors(file, expected, where);
  return slots.map((slot) => flatten(table, (entry) => slotTensorName(slot, entry), file));
}

function flatten(table: readonly TensorEntry[], nameOf: (entry: TensorEntry) => string, file: Safetensors) {
  const size = table.reduce((end, t) => Math.max(end, t.offset + 16 * Math.ceil(t.size / 16)), 0);
  const flat = new Float32Array(size);
  for (const entry of table) {
    const tensor = file.tensors.get(nameOf(entry));
    if (tensor) flat.set(f32Elements(tensor), entry.offset);
  }
  return flat;
}

function matchTensors({ tensors }: Safetensors, expected: readonly Expected[], where: string): void {
  for (const { name, shape } of expected) {
    const tensor = tensors.get(name);
    const wanted = `tensor ${quote(name)} as F32 [${shape.join()}]`;
    if (!tensor) throw damaged(where, wanted, 'no tensor of that name');
    if (tensor.dtype !== 'F32' || tensor.shape.join() !== shape.join()) {
      throw damaged(where, wanted, `${tensor.dtype} [${tensor.shape.join()}]`);
    }
  }
  if (tensors.size === expected.length) return;
  const names = new Set(expected.map((e) => e.name));
  const extra = [...tensors.keys()].find((name) => !names.has(name)) ?? '';
  throw damaged(where, `the ${expected.length} tensors of the manifest`, `also ${quote(extra)}`);
}
