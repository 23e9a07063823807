import { LockstepError } from '../../errors.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Layer, Sequential } from '../contract.ts';
import { optionError, show } from '../options.ts';
import { enterLayer, isTensor } from '../trace.ts';
import { lambda } from './lambda.ts';
import { checkLayerOptions, type LayerOptions } from './layer.ts';

/** A layer, or a function of a tensor (it becomes a `lambda`). */
export type SequentialPart = Layer | ((x: Tensor) => Tensor);

/**
 * Layers one after another, as one layer; as a model it reads the field `x`. The last argument may be options: with a name,
 * parameters stand under it (`tower/dense/weight`). Throws E_OPTION for what is no layer.
 */
export function sequential(...parts: readonly SequentialPart[]): Sequential;
export function sequential(...parts: readonly [SequentialPart, ...SequentialPart[], LayerOptions]): Sequential;
export function sequential(...args: readonly (SequentialPart | LayerOptions)[]): Sequential {
  const last = args.at(-1);
  const options: LayerOptions = typeof last === 'object' && last !== null ? last : {};
  checkLayerOptions('sequential', options);
  const layers = (options === last ? args.slice(0, -1) : args).map(toLayer);
  if (layers.length === 0) throw optionError('sequential', 'at least one layer', 'none', 'add one, such as dense(10)');

  const { name } = options;
  const call = (from: Tensor | { readonly x: Tensor }): Tensor => {
    const first = isTensor(from) ? from : fieldX(from);
    const run = (): Tensor => layers.reduce((x, layer) => layer(x), first);
    return name === undefined ? run() : enterLayer(model, name, run);
  };
  const model: Sequential = Object.assign(call, { kind: 'sequential' });
  return model;
}

function toLayer(part: SequentialPart | LayerOptions, index: number): Layer {
  if (typeof part !== 'function') {
    throw optionError(`sequential: argument ${index + 1}`, 'a layer', show(part), 'pass layers, and options last');
  }
  return isLayer(part) ? part : lambda((x) => part(x));
}

function isLayer(part: object): part is Layer {
  return 'kind' in part;
}

function fieldX(inputs: { readonly x: Tensor }): Tensor {
  if (typeof inputs === 'object' && inputs !== null && Object.hasOwn(inputs, 'x')) return inputs.x;
  const fields = typeof inputs === 'object' && inputs !== null ? Object.keys(inputs).join(', ') : String(inputs);
  throw new LockstepError('E_MODEL', {
    where: 'sequential',
    expected: 'a field x in the data',
    got: `the fields ${fields}`,
    fix: 'name the field x, or choose one: model: ({ name }) => sequential(...)(name)',
  });
}
