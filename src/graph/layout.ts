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
}

/** The tensor table: where each parameter lies in the flat vectors. `flatSize` is their length in elements, a multiple of 16. */
export function layoutTensors(specs: readonly TensorSpec[]): { entries: TensorEntry[]; flatSize: number } {
  const entries: TensorEntry[] = [];
  const names = new Set<string>();
  let offset = 0;
  for (const { name, shape, init, group = 0 } of specs) {
    if (names.has(name)) {
      throw new LockstepError('E_MODEL', {
        where: `parameter ${name}`,
        expected: 'a name of its own',
        got: 'two parameters of that name',
        fix: 'name the layers differently',
      });
    }
    names.add(name);
    const size = sizeOf(shape);
    entries.push({ name, shape: [...shape], size, offset, init, group });
    offset += Math.ceil(size / LINE) * LINE;
  }
  return { entries, flatSize: offset };
}

/** A range of one tensor in the flat vectors; offset and length in elements. */
export interface Block {
  /** Index in the tensor table. */
  readonly tensor: number;
  /** Element offset in the flat vectors. */
  readonly offset: number;
  readonly length: number;
}

/** Cuts the flat vectors into blocks of at most `maxFloats` elements (a multiple of 16), never across a tensor. */
export function makeBlocks(entries: readonly TensorEntry[], maxFloats = 16384): Block[] {
  const blocks: Block[] = [];
  for (const [tensor, entry] of entries.entries()) {
    for (let start = 0; start < entry.size; start += maxFloats) {
      blocks.push({ tensor, offset: entry.offset + start, length: Math.min(maxFloats, entry.size - start) });
    }
  }
  return blocks;
}
