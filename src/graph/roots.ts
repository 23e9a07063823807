import { LockstepError } from '../errors.ts';
import { gradients as differentiate } from './autodiff.ts';
import { withScope } from './build.ts';
import { canonicalise } from './canonical.ts';
import type { CompileOptions, WeightedTensor } from './compile.ts';
import { cast } from './ops/cast.ts';
import { constant } from './ops/leaf.ts';
import { broadcastTo } from './ops/shape.ts';
import { type Lookup, lookupsOf } from './row-lists.ts';
import type { Tensor } from './tensor.ts';
import { sizeOf } from './tensor.ts';

/** A sum over all elements, of value or of value * weight. */
export interface SumRoot {
  readonly name: string;
  readonly value: Tensor;
  readonly weight: Tensor | undefined;
}

/** Everything that a program must compute, in canonical form. */
export interface Roots {
  readonly outputs: readonly { readonly name: string; readonly value: Tensor }[];
  readonly sums: readonly SumRoot[];
  /** By the tensor table; undefined where the loss does not reach a parameter, and for sparse tables. */
  readonly gradients: readonly (Tensor | undefined)[];
  /** Where the gradients of sparse tables come from, by the tensor table; empty for all others. */
  readonly lookups: readonly (readonly Lookup[])[];
  readonly moments: readonly Tensor[];
}

/** Merges the traced graph, differentiates the loss and merges again what that added. */
export function findRoots(options: CompileOptions): Roots {
  const outputs = Object.entries(options.outputs).map(([name, value]) => ({ name, value }));
  const loss = options.loss && weighted('loss', options.loss);
  const sums = [...(loss ? [loss, weightSum(loss)] : []), ...(options.sums ?? []).map((s) => weighted(s.name, s))];
  const training = options.training ?? options.gradients;

  // Merged first: then all uses of a parameter are one node, whose gradient is their sum.
  const { moments = [] } = options;
  const forward = [
    ...moments,
    ...outputs.map((o) => o.value),
    ...sums.flatMap((s) => [s.value, ...(s.weight ? [s.weight] : [])]),
  ];
  const first = canonicalise(forward, { training });
  const parameters = new Map<unknown, Tensor>();
  for (const node of first.values()) if (node.op === 'parameter') parameters.set(node.attrs.name, node);
  const sources = options.tensors.map(({ name, buffer }) => (buffer ? undefined : parameters.get(name)));
  const found = options.gradients ? lossGradients(loss, first, sources) : new Map<Tensor, Tensor>();

  const second = canonicalise([...forward.map((x) => renamed(first, x)), ...found.values()], { training });
  const final = (x: Tensor): Tensor => renamed(second, renamed(first, x));
  const gradients = sources.map((source) => {
    const gradient = source && found.get(source);
    return gradient && renamed(second, gradient);
  });
  return {
    outputs: outputs.map(({ name, value }) => ({ name, value: final(value) })),
    sums: sums.map(({ name, value, weight }) => ({ name, value: final(value), weight: weight && final(weight) })),
    moments: moments.map(final),
    gradients: gradients.map((gradient, i) => (options.tensors[i].sparse ? undefined : gradient)),
    lookups: gradients.map((gradient, i) => {
      const { sparse, name } = options.tensors[i];
      if (!sparse || gradient === undefined) return [];
      const lookups = lookupsOf(gradient, options.rows);
      if (lookups === undefined) throw new TypeError(`table ${name} is used for more than lookups`);
      return lookups;
    }),
  };
}

/** Ids that a row looks up in each table that nothing else is done with, by name. */
export function lookupsByTable(options: CompileOptions): ReadonlyMap<string, number> {
  const { gradients } = findRoots(options);
  return new Map(
    options.tensors.flatMap(({ name }, i): [string, number][] => {
      const gradient = gradients[i];
      const lookups = gradient && lookupsOf(gradient, options.rows);
      if (lookups === undefined) return [];
      return [[name, lookups.reduce((sum, { ids }) => sum + sizeOf(ids.shape), 0) / options.rows]];
    }),
  );
}

function lossGradients(
  loss: SumRoot | undefined,
  first: ReadonlyMap<Tensor, Tensor>,
  sources: readonly (Tensor | undefined)[],
): Map<Tensor, Tensor> {
  if (loss === undefined) {
    throw new LockstepError('E_LOSS', {
      where: 'compile',
      expected: 'a loss to differentiate',
      got: 'none',
      fix: 'give a loss, or compile without gradients',
    });
  }
  const used = sources.filter((source) => source !== undefined);
  const found = differentiate(renamed(first, loss.value), loss.weight && renamed(first, loss.weight), used);
  return new Map(used.flatMap((source, i): [Tensor, Tensor][] => {
    const gradient = found[i];
    return gradient === undefined ? [] : [[source, gradient]];
  })); // biome-ignore format: short
}

function renamed(names: ReadonlyMap<Tensor, Tensor>, x: Tensor): Tensor {
  const name = names.get(x);
  if (name === undefined) throw new TypeError(`${x.op} was not merged`);
  return name;
}

function weighted(name: string, { value, weight }: WeightedTensor): SumRoot {
  return withScope(name, () => {
    const f32 = cast(value);
    return { name, value: f32, weight: weight && broadcastTo(cast(weight), f32.shape) };
  });
}

/** The sum of the weights; of as many ones as the loss has elements where it has none. */
function weightSum({ value, weight }: SumRoot): SumRoot {
  const count = sizeOf(value.shape);
  const low = count % 2 ** 24; // two f32 that are exact and whose f64 sum is the count
  return { name: 'weight', value: weight ?? constant([count - low, low]), weight: undefined };
}
