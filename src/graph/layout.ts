import { LockstepError } from '../errors.ts';
import type { Initializer, TensorEntry } from './program.ts';
import type { Shape } from './tensor.ts';
import { sizeOf } from './tensor.ts';

/** Elements that a 64-byte line holds: every tensor starts at a multiple. */
const LINE = 16;

export interface TensorSpec {
  readonly name: string;
  readonly shape: Shape;
  readonly init: Initializer;
  /** Index of the optimizer's parameter group; default 0. */
  readonly group?: number;
  /** Its gradient is lists of rows; default false. */
  readonly sparse?: boolean | undefined;
  /** State of a layer and no parameter; default false. */
  readonly buffer?: boolean | undefined;
}

/** Bytes of the flat parameters without sparse tables, which lie behind them: as many as a flat gradient fills. */
export function denseBytes({ tensors }: { readonly tensors: readonly TensorEntry[] }): number {
  return 4 * tensors.reduce((end, t) => (t.sparse ? end : Math.max(end, t.offset + t.size)), 0);
}

/** Where each parameter lies in the flat vectors. */
export interface TensorLayout {
  /** The tensor table, in the order of the specs. */
  readonly entries: TensorEntry[];
  /** Length of the flat vectors in elements, a multiple of 16. */
  readonly flatSize: number;
  /** Length of flat gradients: sparse tensors and then buffers lie behind the others and have no place in them. */
  readonly gradientSize: number;
}

/** Makes the tensor table. Throws E_MODEL for two parameters of one name. */
export function layoutTensors(specs: readonly TensorSpec[]): TensorLayout {
  const names = new Set<string>();
  for (const { name } of specs) {
    if (names.has(name)) {
      throw new LockstepError('E_MODEL', {
        where: `parameter ${name}`,
        expected: 'a name of its own',
        got: 'two parameters of that name',
        fix: 'name the layers differently',
      });
    }
    names.add(name);
  }
  const offsets = new Map<TensorSpec, number>();
  const place = (from: number, some: readonly TensorSpec[]): number =>
    some.reduce((offset, spec) => {
      offsets.set(spec, offset);
      return offset + Math.ceil(sizeOf(spec.shape) / LINE) * LINE;
    }, from);
  const gradientSize = place(0, specs.filter(({ sparse, buffer }) => !sparse && !buffer)); // biome-ignore format: short
  const buffers = place(gradientSize, specs.filter(({ sparse, buffer }) => sparse && !buffer)); // biome-ignore format: short
  const flatSize = place(buffers, specs.filter(({ buffer }) => buffer)); // biome-ignore format: short
  const entries = specs.map((spec): TensorEntry => {
    const { name, shape, init, group = 0, sparse, buffer } = spec;
    const offset = offsets.get(spec) ?? 0;
    return {
      name,
      shape: [...shape],
      size: sizeOf(shape),
      offset,
      init,
      group,
      ...(sparse && { sparse }),
      ...(buffer && { buffer }),
    };
  });
  return { entries, flatSize, gradientSize };
}

/** A range of one tensor in the flat vectors; offset and length in elements. */
export interface Block {
  /** Index in the tensor table. */
  readonly tensor: number;
  /** Element offset in the flat vectors. */
  readonly offset: number;
  readonly length: number;
}

/** Cuts flat gradients into blocks of at most `maxFloats` elements (a multiple of 16), never across a tensor. */
export function makeBlocks(entries: readonly TensorEntry[], maxFloats = 16384): Block[] {
  const blocks: Block[] = [];
  for (const [tensor, entry] of entries.entries()) {
    if (entry.sparse || entry.buffer) continue;
    for (let start = 0; start < entry.size; start += maxFloats) {
      blocks.push({ tensor, offset: entry.offset + start, length: Math.min(maxFloats, entry.size - start) });
    }
  }
  return blocks;
}
