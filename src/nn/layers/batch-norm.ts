import { normaliseAxis, shapeError, showShape } from '../../graph/build.ts';
import { batchNormInference, batchNormWithMoments } from '../../graph/ops/batch-norm.ts';
import type { Layer } from '../contract.ts';
import { ones, resolveInit, zeros } from '../initializers.ts';
import { optionError, show } from '../options.ts';
import { isTraining, parameter, runningStatistics } from '../trace.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

export interface BatchNormLayerOptions extends LayerOptions {
  /** The channels. Default -1, the last; 1 for data with channels before pixels. */
  readonly axis?: number;
  /** Weight of the newest batch in the running statistics, from 0 to 1. Default 0.1, as in PyTorch (Keras calls 1 - 0.1 so). */
  readonly momentum?: number;
  /** Added to the variance. Default 1e-5, as in PyTorch (Keras: 1e-3). */
  readonly epsilon?: number;
}

/**
 * Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167): (x - mean) / sqrt(variance + epsilon) * weight + bias by channel. Parameters
 * `weight` (ones) and `bias` (zeros), running statistics `runningMean` and `runningVariance`, all [channels].
 *
 * In training mean and variance are those of the shard, over rows and positions, as each process of PyTorch's
 * DistributedDataParallel takes its own: `shards` decides how many rows that is, not the number of workers. The running statistics follow
 * the moments of the whole global batch (variance unbiased, as in PyTorch), added in f64 along the gradient tree, once a committed
 * step. Evaluation and prediction use the running ones. With one shard all of it is what PyTorch's BatchNorm does.
 *
 * Throws E_OPTION for bad options, E_SHAPE when called with [rows].
 */
export function batchNorm(options: BatchNormLayerOptions = {}): Layer {
  checkLayerOptions('batchNorm', options, ['axis', 'momentum', 'epsilon']);
  const { axis = -1, momentum = 0.1, epsilon = 1e-5 } = options;
  if (!Number.isInteger(axis) || axis === 0) {
    throw optionError('batchNorm: axis', 'an axis other than 0, the rows', show(axis), '-1 is the last');
  }
  if (typeof momentum !== 'number' || !(momentum >= 0 && momentum <= 1)) {
    throw optionError('batchNorm: momentum', 'a number from 0 to 1', show(momentum), '0.1 takes a tenth of each batch');
  }
  if (typeof epsilon !== 'number' || !(epsilon > 0 && Number.isFinite(epsilon))) {
    throw optionError('batchNorm: epsilon', 'a number above 0', show(epsilon));
  }
  return makeLayer('batchNorm', options.name, (x, layer) => {
    if (x.shape.length < 2) {
      const fix = 'make a number a row of one: ops.reshape(x, [-1, 1])';
      throw shapeError('batchNorm', 'an input [rows, ..., channels]', showShape(x.shape), fix);
    }
    const at = normaliseAxis('batchNorm', axis, x.shape.length);
    if (at === 0)
      throw shapeError('batchNorm', 'an axis other than the rows', `axis ${axis} of ${showShape(x.shape)}`, 'use -1');
    const channels = x.shape[at];
    const weight = parameter(layer, 'weight', [channels], resolveInit('batchNorm', ones(), channels, channels));
    const bias = parameter(layer, 'bias', [channels], resolveInit('batchNorm', zeros(), channels, channels));
    const running = runningStatistics(layer, channels);
    if (!isTraining('batchNorm')) {
      return batchNormInference(x, weight, bias, running.mean, running.variance, { axis: at, epsilon });
    }
    const { result, moments } = batchNormWithMoments(x, weight, bias, { axis: at, epsilon });
    running.follow(moments, momentum);
    return result;
  });
}
