import { shapeError, showShape } from '../../graph/build.ts';
import { add } from '../../graph/ops/binary.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { type SequentialPart, sequential } from './sequential.ts';

/**
 * x + the layers one after another (He et al., arXiv:1512.03385): `residual(layerNorm(), dense(512, 'gelu'), dense(128))`. The last
 * layer must give the shape of the input. Any shape. Throws E_SHAPE.
 */
export function residual(...parts: readonly SequentialPart[]): Layer {
  const layers = sequential(...parts);
  const call = (x: Tensor): Tensor => {
    const y = layers(x);
    if (showShape(y.shape) === showShape(x.shape)) return add(x, y);
    const expected = `a result of shape ${showShape(x.shape)} like its input`;
    throw shapeError('residual', expected, showShape(y.shape), 'make the last layer as wide as the input');
  };
  return Object.assign(call, { kind: 'residual' });
}
