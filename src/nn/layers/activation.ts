import { activation as activationOp } from '../../graph/ops/activation.ts';
import { logSoftmax, softmax } from '../../graph/ops/softmax.ts';
import type { Tensor } from '../../graph/tensor.ts';
import { ACTIVATION_CODES, type Activation } from '../../kernels/table.ts';
import type { Layer } from '../contract.ts';
import { heNormal, type InitRule, xavierUniform } from '../initializers.ts';
import { checkChoice } from '../options.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

/** Elementwise functions, which dense fuses into its bias pass, and the two that work on the last axis. */
export type ActivationName = Activation | 'softmax' | 'logSoftmax';

const ACTIVATION_NAMES: readonly string[] = [...Object.keys(ACTIVATION_CODES), 'softmax', 'logSoftmax'];

export function checkActivation(where: string, name: unknown): void {
  checkChoice(`${where}: activation`, name, ACTIVATION_NAMES);
}

/** Activations that pass about half of the variance on, for which He et al. 2015 derived their rule. */
const RECTIFIERS: readonly ActivationName[] = ['relu', 'leakyRelu', 'elu', 'gelu', 'geluTanh', 'silu', 'softplus'];

/** How weights start before this activation. */
export function defaultInit(name: ActivationName): InitRule {
  return RECTIFIERS.includes(name) ? heNormal() : xavierUniform();
}

export function applyActivation(name: ActivationName, x: Tensor): Tensor {
  if (name === 'softmax') return softmax(x);
  if (name === 'logSoftmax') return logSoftmax(x);
  return activationOp(name, x);
}

/**
 * An activation as a layer, any shape: 'relu', 'leakyRelu' (slope 0.01), 'elu', 'gelu', 'geluTanh', 'silu', 'softplus', 'tanh',
 * 'sigmoid', 'linear', and over the last axis 'softmax', 'logSoftmax'. Throws E_OPTION for another name.
 */
export function activation(name: ActivationName, options: LayerOptions = {}): Layer {
  checkActivation('activation', name);
  checkLayerOptions('activation', options);
  return makeLayer(name, options.name, (x) => applyActivation(name, x));
}
