import { shapeError, showShape } from '../../graph/build.ts';
import { linear } from '../../graph/ops/matmul.ts';
import type { Layer } from '../contract.ts';
import { type InitRule, resolveInit, zeros } from '../initializers.ts';
import { optionError, show } from '../options.ts';
import { parameter } from '../trace.ts';
import { type ActivationName, applyActivation, checkActivation, defaultInit } from './activation.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

export interface DenseOptions extends LayerOptions {
  /** Add a bias. Default true. */
  readonly bias?: boolean;
  /** Of the weight. Default: heNormal() before relu and its relatives, else xavierUniform(). */
  readonly init?: InitRule;
  /** Default zeros(). */
  readonly biasInit?: InitRule;
}

/**
 * activation(x weight + bias) over the last axis: [rows, ..., in] -> [rows, ..., units]. Parameters `weight` [in, units] and `bias`
 * [units]. The options may stand in the place of the activation. Throws E_OPTION for bad arguments, E_SHAPE when called with
 * [rows].
 */
export function dense(units: number, options?: DenseOptions): Layer;
export function dense(units: number, activation: ActivationName | undefined, options?: DenseOptions): Layer;
export function dense(units: number, second?: ActivationName | DenseOptions, third: DenseOptions = {}): Layer {
  const [activation = 'linear', options] = typeof second === 'object' ? [undefined, second] : [second, third];
  if (!Number.isInteger(units) || units < 1) {
    throw optionError(
      'dense: units',
      'an integer of at least 1',
      show(units),
      'give the number of outputs, as in dense(128)',
    );
  }
  checkActivation('dense', activation);
  checkLayerOptions('dense', options, ['bias', 'init', 'biasInit']);
  const { bias = true, biasInit = zeros() } = options;
  if (typeof bias !== 'boolean') throw optionError('dense: bias', 'true or false', show(bias));
  const init = options.init ?? defaultInit(activation);

  return makeLayer('dense', options.name, (x, layer) => {
    if (x.shape.length < 2) {
      const fix = 'make a number a row of one: ops.reshape(x, [-1, 1])';
      throw shapeError('dense', 'an input [rows, ..., in]', showShape(x.shape), fix);
    }
    const inputs = x.shape[x.shape.length - 1];
    const weight = parameter(layer, 'weight', [inputs, units], resolveInit('dense: init', init, inputs, units));
    const b = bias
      ? parameter(layer, 'bias', [units], resolveInit('dense: biasInit', biasInit, inputs, units))
      : undefined;
    if (activation === 'softmax' || activation === 'logSoftmax')
      return applyActivation(activation, linear(x, weight, b));
    return linear(x, weight, b, activation);
  });
}
