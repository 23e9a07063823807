import type { TensorEntry } from '../graph/program.ts';
import { sizeOf } from '../graph/tensor.ts';
import { slotOffsets } from '../optim/slots.ts';
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
    partsOf(slot, table).map(({ entry, shape, offset }) => view(slotTensorName(slot, entry), shape, flats[i], offset)),
  );
}

function view(name: string, shape: readonly number[], flat: Float32Array, offset: number): NamedTensor {
  const bytes = new Uint8Array(flat.buffer, flat.byteOffset + 4 * offset, 4 * sizeOf(shape));
  return { name, dtype: 'F32', shape, bytes };
}

function slotTensorName(slot: Slot, entry: Expected): string {
  return `${slot.name}/${entry.name}`;
}

/** The tensors that have a slot, with its shape and place: as the parameters lie, or by shapes of its own, one after the other. */
function partsOf(slot: Slot, table: readonly TensorEntry[]) {
  const { shapes } = slot;
  const parameters = table.filter(({ buffer }) => !buffer);
  if (!shapes) return parameters.map((entry) => ({ entry, shape: entry.shape, offset: entry.offset }));
  const { offsets } = slotOffsets(
    parameters.map(({ name }) => (Object.hasOwn(shapes, name) ? shapes[name] : undefined)),
  );
  return parameters.flatMap((entry, i) =>
    offsets[i] < 0 ? [] : [{ entry, shape: shapes[entry.name], offset: offsets[i] }],
  );
}

/**
 * The parameters of a file as a flat vector, padding zero.
 *
 * @throws E_CHECKPOINT unless the file holds exactly the tensors of the table, in F32.
 */
export function readParameters(table: readonly TensorEntry[], file: Safetensors, where: string): Float32Array {
  matchTensors(file, table, where);
  return flatten(table, file);
}

/** Likewise the optimizer's slots. */
export function readSlots(
  table: readonly TensorEntry[],
  slots: readonly Slot[],
  file: Safetensors,
  where: string,
): Float32Array[] {
  const expected = slots.flatMap((slot) =>
    partsOf(slot, table).map(({ entry, shape }) => ({ name: slotTensorName(slot, entry), shape })),
  );
  matchTensors(file, expected, where);
  return slots.map((slot) => {
    const parts = partsOf(slot, table);
    return flatten(
      parts.map(({ entry, shape, offset }) => ({ name: slotTensorName(slot, entry), size: sizeOf(shape), offset })),
      file,
    );
  });
}

function flatten(parts: readonly { name: string; size: number; offset: number }[], file: Safetensors): Float32Array {
  const size = parts.reduce((end, p) => Math.max(end, p.offset + 16 * Math.ceil(p.size / 16)), 0);
  const flat = new Float32Array(size);
  for (const { name, offset } of parts) {
    const tensor = file.tensors.get(name);
    if (tensor) flat.set(f32Elements(tensor), offset);
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
