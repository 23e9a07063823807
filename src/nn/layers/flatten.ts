import { reshape } from '../../graph/ops/shape.ts';
import { sizeOf } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

/** One vector a row: [rows, a, b, ...] -> [rows, a * b * ...]; [rows] -> [rows, 1]. */
export function flatten(options: LayerOptions = {}): Layer {
  checkLayerOptions('flatten', options);
  return makeLayer('flatten', options.name, (x) => reshape(x, [x.shape[0], sizeOf(x.shape.slice(1))]));
}
