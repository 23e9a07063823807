import { shapeError, showShape } from '../../graph/build.ts';
import type { Pool1dOptions, Pool2dOptions } from '../../graph/ops/pooling.ts';
import * as pool from '../../graph/ops/pooling.ts';
import { max, mean } from '../../graph/ops/reduce.ts';
import { perAxis } from '../../graph/ops/windows.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

export interface Pool1dLayerOptions extends LayerOptions, Pool1dOptions {}
export interface Pool2dLayerOptions extends LayerOptions, Pool2dOptions {}

type Size2d = number | readonly number[];

/** Largest element of each window of images, by channel; size and stride (default: the size) are numbers or [height, width]. */
export function maxPool2d(size: Size2d = 2, options: Pool2dLayerOptions = {}): Layer {
  perAxis('maxPool2d', 'size', size, 2, 1);
  checkLayerOptions('maxPool2d', options, ['stride', 'padding']);
  return makeLayer('maxPool2d', options.name, (x) => pool.maxPool2d(x, size, options));
}

/** Mean of each window of images, by channel, over the elements that lie in the image. */
export function avgPool2d(size: Size2d = 2, options: Pool2dLayerOptions = {}): Layer {
  perAxis('avgPool2d', 'size', size, 2, 1);
  checkLayerOptions('avgPool2d', options, ['stride', 'padding']);
  return makeLayer('avgPool2d', options.name, (x) => pool.avgPool2d(x, size, options));
}

/** Largest element of each window of sequences, by channel. */
export function maxPool1d(size = 2, options: Pool1dLayerOptions = {}): Layer {
  perAxis('maxPool1d', 'size', size, 1, 1);
  checkLayerOptions('maxPool1d', options, ['stride', 'padding']);
  return makeLayer('maxPool1d', options.name, (x) => pool.maxPool1d(x, size, options));
}

/** Mean of each window of sequences, by channel, over the elements that lie in the sequence. */
export function avgPool1d(size = 2, options: Pool1dLayerOptions = {}): Layer {
  perAxis('avgPool1d', 'size', size, 1, 1);
  checkLayerOptions('avgPool1d', options, ['stride', 'padding']);
  return makeLayer('avgPool1d', options.name, (x) => pool.avgPool1d(x, size, options));
}

/** Mean over all positions, by channel: [rows, ..., channels] -> [rows, channels]. */
export function globalAvgPool(options: LayerOptions = {}): Layer {
  checkLayerOptions('globalAvgPool', options);
  return makeLayer('globalAvgPool', options.name, (x) => mean(x, { axis: positions('globalAvgPool', x) }));
}

/** Largest element over all positions, by channel: [rows, ..., channels] -> [rows, channels]. Ties share the gradient. */
export function globalMaxPool(options: LayerOptions = {}): Layer {
  checkLayerOptions('globalMaxPool', options);
  return makeLayer('globalMaxPool', options.name, (x) => max(x, { axis: positions('globalMaxPool', x) }));
}

function positions(kind: string, x: Tensor): number[] {
  if (x.shape.length >= 3) return x.shape.slice(1, -1).map((_, d) => d + 1);
  const fix = 'pool images [rows, height, width, channels] or sequences [rows, length, channels]';
  throw shapeError(kind, 'an input [rows, ..., channels] with positions', showShape(x.shape), fix);
}
