import { shapeError, showShape } from '../../graph/build.ts';
import { reshape as reshapeOp } from '../../graph/ops/shape.ts';
import { sizeOf } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { optionError, show } from '../options.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

/**
 * Each row under another shape: reshape([28, 28, 1]) makes images of rows of 784 numbers. Throws E_SHAPE where the number of
 * elements differs.
 */
export function reshape(shape: readonly number[], options: LayerOptions = {}): Layer {
  if (!Array.isArray(shape) || !shape.every((n) => Number.isInteger(n) && n >= 1)) {
    throw optionError('reshape: shape', 'a list of integers of at least 1', show(shape), 'as in reshape([28, 28, 1])');
  }
  checkLayerOptions('reshape', options);
  return makeLayer('reshape', options.name, (x) => {
    const own = x.shape.slice(1);
    if (sizeOf(own) !== sizeOf(shape)) {
      const expected = `rows of ${sizeOf(shape)} elements for ${showShape(shape)}`;
      throw shapeError('reshape', expected, `${sizeOf(own)}: ${showShape(own)}`, 'choose a shape of as many elements');
    }
    return reshapeOp(x, [x.shape[0], ...shape]);
  });
}
