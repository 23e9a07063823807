import type { Shape, Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { type InitRule, resolveInit } from '../initializers.ts';
import { checkName, optionError, show } from '../options.ts';
import { isTraining, parameter, requireTensor } from '../trace.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

export interface LambdaOptions extends LayerOptions {
  /** Automatic name and kind in the summary. Default 'lambda'. */
  readonly kind?: string;
}

/** What the function of a `lambda` layer may use. */
export interface LambdaContext {
  /** A trained tensor of this layer. Fans of the rule are shape[0] (1 for vectors) and the last axis. */
  parameter(name: string, shape: Shape, init: InitRule): Tensor;
  readonly training: boolean;
}

/**
 * A layer from a function of tensors: `lambda((x) => ops.mul(x, 2))`, with parameters of its own where it needs them:
 * `lambda((x, { parameter }) => ops.mul(x, parameter('scale', [x.shape[1]], ones())), { kind: 'rescale' })`.
 */
export function lambda(fn: (x: Tensor, context: LambdaContext) => Tensor, options: LambdaOptions = {}): Layer {
  if (typeof fn !== 'function') throw optionError('lambda', 'a function of a tensor', show(fn), 'pass (x) => ...');
  checkLayerOptions('lambda', options, ['kind']);
  const { kind = 'lambda', name } = options;
  checkName('lambda: kind', kind);
  return makeLayer(kind, name, (x, layer) => {
    const context: LambdaContext = {
      parameter(parameterName, shape, init) {
        const [fanIn, fanOut] = [shape.length < 2 ? 1 : shape[0], shape.at(-1) ?? 1];
        return parameter(layer, parameterName, shape, resolveInit(`${kind}: ${parameterName}`, init, fanIn, fanOut));
      },
      training: isTraining(kind),
    };
    const result: unknown = fn(x, context);
    requireTensor(`result of ${name ?? kind}`, result);
    return result;
  });
}
