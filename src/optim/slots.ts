import type { TensorEntry } from '../graph/program.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { BoundOptimizer } from './groups.ts';

/** Elements that a 64-byte line holds: what belongs to a tensor starts at a multiple. */
const LINE = 16;

/** One slot of all tensors that have it, as one flat vector. */
export interface SlotVector {
  readonly name: string;
  /** Shape by tensor, where it is not the parameter's everywhere; tensors without the slot are left out. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Where each tensor's part begins, in elements; -1: it has none. Without `shapes` as in the parameters. */
  readonly offsets: readonly number[];
  /** Initial value by tensor. */
  readonly inits: readonly (number | 'parameter')[];
  /** Length, in elements. */
  readonly floats: number;
}

/** Places the slots of an optimizer for a model: by name, in the order in which the tensors name them. */
export function planSlots({ def, groups, groupOf }: BoundOptimizer, tensors: readonly TensorEntry[]): SlotVector[] {
  const specs = tensors.map((tensor, i) => {
    const { options, frozen } = groups[groupOf[i]];
    return frozen ? {} : def.slots(options, tensor);
  });
  const names = [...new Set(specs.flatMap((spec) => Object.keys(spec)))];
  return names.map((name) => {
    const shapes = specs.map((spec, i) => (name in spec ? (spec[name].shape ?? tensors[i].shape) : undefined));
    const inits = specs.map((spec) => spec[name]?.init ?? 0);
    if (shapes.every((shape, i) => shape?.join() === tensors[i].shape.join())) {
      const floats = Math.max(...tensors.map(({ offset, size }) => offset + lines(size)));
      return { name, offsets: tensors.map(({ offset }) => offset), inits, floats };
    }
    const named = shapes.flatMap((shape, i) => (shape === undefined ? [] : [[tensors[i].name, shape] as const]));
    return { name, shapes: Object.fromEntries(named), ...slotOffsets(shapes), inits };
  });
}

/** Where the parts of a slot with shapes of its own lie: one after the other, in the order of the tensors. */
export function slotOffsets(shapes: readonly (readonly number[] | undefined)[]): { offsets: number[]; floats: number } {
  let floats = 0;
  const offsets = shapes.map((shape) => {
    if (shape === undefined) return -1;
    const at = floats;
    floats += lines(sizeOf(shape));
    return at;
  });
  return { offsets, floats };
}

const lines = (size: number): number => LINE * Math.ceil(size / LINE);

/** Names of an optimizer's persistent numbers: those of group 0 as the definition has them, others with their group. */
export function stateNames({ def, groups }: BoundOptimizer): string[] {
  const own = Object.keys(def.state ?? {});
  return groups.flatMap((_, g) => own.map((name) => (g === 0 ? name : `${name}@${g}`)));
}
