import { shapeError, showShape } from '../../graph/build.ts';
import { add, mul } from '../../graph/ops/binary.ts';
import { layerNorm as layerNormOp, rmsNorm as rmsNormOp } from '../../graph/ops/norm.ts';
import { reshape, transpose } from '../../graph/ops/shape.ts';
import { sizeOf, type Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { ones, resolveInit, zeros } from '../initializers.ts';
import { optionError, show } from '../options.ts';
import { parameter } from '../trace.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

export interface NormLayerOptions extends LayerOptions {
  /** Added to the variance. Default 1e-5. */
  readonly epsilon?: number;
  /** Learn a scale of each column, parameter `weight` (starts at 1). Default true. */
  readonly weight?: boolean;
  /** Learn a shift of each column, parameter `bias` (starts at 0). Default true; for rmsNorm false. */
  readonly bias?: boolean;
}

/**
 * Layer normalisation (Ba et al., arXiv:1607.06450) of the last axis: [rows, ..., columns] -> the same. Parameters `weight` and `bias`
 * [columns]. Throws E_OPTION for bad options.
 */
export function layerNorm(options: NormLayerOptions = {}): Layer {
  const { epsilon, weight, bias } = checked('layerNorm', options, true);
  return makeLayer('layerNorm', options.name, (x, layer) => {
    const columns = x.shape[x.shape.length - 1];
    return layerNormOp(x, { epsilon, ...affine(layer, columns, weight, bias) });
  });
}

/**
 * RMS normalisation (Zhang & Sennrich, arXiv:1910.07467) of the last axis: x / sqrt(mean of x^2 + epsilon) * weight. Parameter `weight`
 * [columns]. Throws E_OPTION for bad options.
 */
export function rmsNorm(options: NormLayerOptions = {}): Layer {
  const { epsilon, weight, bias } = checked('rmsNorm', options, false);
  return makeLayer('rmsNorm', options.name, (x, layer) => {
    const columns = x.shape[x.shape.length - 1];
    return rmsNormOp(x, { epsilon, ...affine(layer, columns, weight, bias) });
  });
}

/**
 * Group normalisation (Wu & He, arXiv:1803.08494): mean and variance over all positions and the channels of a group. Channels are the
 * last axis: [rows, ..., channels] -> the same. Parameters `weight` and `bias` [channels]. One group is layer normalisation over
 * everything, as many groups as channels instance normalisation. Throws E_OPTION, and E_SHAPE unless groups divides the channels.
 */
export function groupNorm(groups: number, options: NormLayerOptions = {}): Layer {
  if (!Number.isInteger(groups) || groups < 1) {
    throw optionError('groupNorm: groups', 'an integer of at least 1', show(groups), 'give it as in groupNorm(8)');
  }
  const { epsilon, weight, bias } = checked('groupNorm', options, true);
  return makeLayer('groupNorm', options.name, (x, layer) => {
    const channels = x.shape[x.shape.length - 1];
    if (x.shape.length < 2 || channels % groups !== 0) {
      const fix = `choose a number of groups that divides the channels`;
      throw shapeError('groupNorm', `an input [rows, ..., channels], channels a multiple of ${groups}`, showShape(x.shape), fix); // biome-ignore format: short
    }
    const positions = sizeOf(x.shape.slice(1, -1));
    const size = channels / groups;
    const grouped = transpose(reshape(x, [x.shape[0], positions, groups, size]), [0, 2, 1, 3]);
    const flat = layerNormOp(reshape(grouped, [x.shape[0], groups, positions * size]), { epsilon });
    const back = transpose(reshape(flat, [x.shape[0], groups, positions, size]), [0, 2, 1, 3]);
    const parameters = affine(layer, channels, weight, bias);
    let y = reshape(back, x.shape);
    if (parameters.weight) y = mul(y, parameters.weight);
    return parameters.bias ? add(y, parameters.bias) : y;
  });
}

function checked(
  kind: string,
  options: NormLayerOptions,
  biasDefault: boolean,
): Required<Omit<NormLayerOptions, 'name'>> {
  checkLayerOptions(kind, options, ['epsilon', 'weight', 'bias']);
  const { epsilon = 1e-5, weight = true, bias = biasDefault } = options;
  if (typeof epsilon !== 'number' || !(epsilon >= 0 && Number.isFinite(epsilon))) {
    throw optionError(`${kind}: epsilon`, 'a number of at least 0', show(epsilon));
  }
  for (const [name, value] of Object.entries({ weight, bias })) {
    if (typeof value !== 'boolean') throw optionError(`${kind}: ${name}`, 'true or false', show(value));
  }
  return { epsilon, weight, bias };
}

function affine(layer: Layer, columns: number, weight: boolean, bias: boolean): { weight?: Tensor; bias?: Tensor } {
  const init = (rule: ReturnType<typeof ones>) => resolveInit('norm', rule, columns, columns);
  return {
    ...(weight && { weight: parameter(layer, 'weight', [columns], init(ones())) }),
    ...(bias && { bias: parameter(layer, 'bias', [columns], init(zeros())) }),
  };
}
