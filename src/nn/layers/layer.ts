import type { Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { checkName, checkOptions } from '../options.ts';
import { callLayer, requireTensor } from '../trace.ts';

export interface LayerOptions {
  /** Path segment of its parameters and row in the summary. Default: kind and order (`dense`, `dense_1`). */
  readonly name?: string;
}

/** Checks the names of a layer's options and its own name. Throws E_OPTION. */
export function checkLayerOptions(kind: string, options: LayerOptions, known: readonly string[] = []): void {
  checkOptions(kind, options, ['name', ...known]);
  checkName(`${kind}: name`, options.name);
}

/** A layer object whose calls run `build` under its path. `build` makes parameters with `parameter(layer, ...)`. */
export function makeLayer(kind: string, name: string | undefined, build: (x: Tensor, layer: Layer) => Tensor): Layer {
  const call = (x: Tensor): Tensor => {
    requireTensor(name ?? kind, x);
    return callLayer(layer, name, () => build(x, layer));
  };
  const layer: Layer = Object.assign(call, { kind });
  return layer;
}
