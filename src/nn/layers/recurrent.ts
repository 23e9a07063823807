import { optionError as opError, shapeError, showShape } from '../../graph/build.ts';
import { mul } from '../../graph/ops/binary.ts';
import { cast } from '../../graph/ops/cast.ts';
import { less, notEqual } from '../../graph/ops/compare.ts';
import { constant } from '../../graph/ops/leaf.ts';
import { dropout } from '../../graph/ops/random.ts';
import { type RecurrentWeights, recurrentTimeMajor } from '../../graph/ops/recurrent.ts';
import { concat, reshape, transpose } from '../../graph/ops/shape.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { type InitRule, resolveInit, uniform } from '../initializers.ts';
import { checkChoice, checkOptions, optionError, show } from '../options.ts';
import { callLayer, parameter, requireTensor } from '../trace.ts';
import { checkLayerOptions, type LayerOptions } from './layer.ts';

export interface RecurrentLayerOptions extends LayerOptions {
  /** Layers one upon another, each over the whole sequence of the one below. Default 1. */
  readonly layers?: number;
  /** A second set of weights from the last time step to the first; results are concatenated, [forward, backward]. Default false. */
  readonly bidirectional?: boolean;
  /** The last state, [rows, hidden], or that of every time step, [rows, time, hidden]. Default 'last'. */
  readonly return?: 'last' | 'sequence';
  /** Share of the results that are dropped between layers in training. Default 0. */
  readonly dropout?: number;
  /** Add biases. Default true. */
  readonly bias?: boolean;
  /** Of all weights and biases. Default, as in PyTorch: uniform in +-1 / sqrt(hidden). */
  readonly init?: InitRule;
}

export interface RnnOptions extends RecurrentLayerOptions {
  /** Default 'tanh'. */
  readonly activation?: 'tanh' | 'relu';
}

/** How long each row's sequence is: one of the two, or none where all are as long as the tensor. */
export interface SequenceOptions {
  /** [rows]: row i has this many time steps, at least 1, then padding. */
  readonly lengths?: Tensor;
  /** [rows, time]: 0 where there is padding. */
  readonly mask?: Tensor;
}

/** A layer that may be told how long the sequences are: `lstm(64)(x, { lengths })`. */
export interface RecurrentLayer extends Layer {
  (x: Tensor, options?: SequenceOptions): Tensor;
}

type Cell = Parameters<typeof recurrentTimeMajor>[0];

/**
 * Long short-term memory (Hochreiter & Schmidhuber 1997, forget gates of Gers et al. 2000): c_t = f c_(t-1) + i g, h_t = o tanh(c_t).
 * [rows, time, features] -> [rows, hidden], or [rows, time, hidden]; twice as wide when bidirectional. States start at 0.
 *
 * Parameters have PyTorch's names, shapes and order of gates (i, f, g, o): `weight_ih_l0` [4 hidden, features], `weight_hh_l0`
 * [4 hidden, hidden], `bias_ih_l0`, `bias_hh_l0` [4 hidden], then `l1` and so on, with `_reverse` for the other direction.
 *
 * Rows of unequal length: `lstm(64)(x, { lengths })` or `{ mask }`. Padding changes nothing: the last state is that of the row's own
 * last time step (its first, in the other direction), and the sequence is 0 in padding. Throws E_OPTION, E_SHAPE.
 */
export function lstm(hidden: number, options: RecurrentLayerOptions = {}): RecurrentLayer {
  checkLayerOptions('lstm', options, OPTIONS);
  return recurrentLayer('lstm', 'lstm', 4, hidden, options);
}

/**
 * Gated recurrent unit (Cho et al. 2014) as in PyTorch: n = tanh(W x + b + r (U h + b')), h_t = (1 - z) n + z h_(t-1). As `lstm`, with gates
 * r, z, n and 3 hidden in the place of 4 hidden. Throws E_OPTION, E_SHAPE.
 */
export function gru(hidden: number, options: RecurrentLayerOptions = {}): RecurrentLayer {
  checkLayerOptions('gru', options, OPTIONS);
  return recurrentLayer('gru', 'gru', 3, hidden, options);
}

/** Elman's network (1990): h_t = tanh(W x_t + b + U h_(t-1) + b'), or relu. As `lstm`, with one gate. Throws E_OPTION, E_SHAPE. */
export function rnn(hidden: number, options: RnnOptions = {}): RecurrentLayer {
  checkLayerOptions('rnn', options, [...OPTIONS, 'activation']);
  const { activation = 'tanh' } = options;
  checkChoice('rnn: activation', activation, ['tanh', 'relu']);
  return recurrentLayer('rnn', activation === 'relu' ? 'rnnRelu' : 'rnn', 1, hidden, options);
}

const OPTIONS = ['layers', 'bidirectional', 'return', 'dropout', 'bias', 'init'];

function recurrentLayer(
  kind: string,
  cell: Cell,
  gates: number,
  hidden: number,
  options: RecurrentLayerOptions,
): RecurrentLayer {
  const { layers = 1, bidirectional = false, return: result = 'last', dropout: rate = 0, bias = true } = options;
  checkCount(`${kind}: hidden`, hidden, `give the width of the state, as in ${kind}(64)`);
  checkCount(`${kind}: layers`, layers, 'give the number of layers');
  checkChoice(`${kind}: return`, result, ['last', 'sequence']);
  for (const [name, value] of Object.entries({ bidirectional, bias })) {
    if (typeof value !== 'boolean') throw optionError(`${kind}: ${name}`, 'true or false', show(value));
  }
  if (typeof rate !== 'number' || !(rate >= 0 && rate < 1)) {
    throw optionError(`${kind}: dropout`, 'a share from 0 to below 1', show(rate), 'give the share to drop');
  }
  const bound = 1 / Math.sqrt(hidden);
  const init = options.init ?? uniform(-bound, bound);

  const weightsOf = (layer: Layer, index: number, features: number, reverse: boolean): RecurrentWeights => {
    const make = (name: string, shape: readonly number[], fanIn: number): Tensor => {
      const full = `${name}_l${index}${reverse ? '_reverse' : ''}`;
      return parameter(layer, full, shape, resolveInit(`${kind}: init`, init, fanIn, hidden));
    };
    const width = gates * hidden;
    const weights = {
      weightIh: make('weight_ih', [width, features], features),
      weightHh: make('weight_hh', [width, hidden], hidden),
    };
    if (!bias) return weights;
    return { ...weights, biasIh: make('bias_ih', [width], features), biasHh: make('bias_hh', [width], hidden) };
  };

  const build = (x: Tensor, layer: Layer, sequence: SequenceOptions): Tensor => {
    if (x.shape.length !== 3) {
      const fix = 'give a sequence of vectors a row: for one number a time step, ops.reshape(x, [-1, time, 1])';
      throw shapeError(kind, 'an input [rows, time, features]', showShape(x.shape), fix);
    }
    const mask = timeMajorMask(kind, x, sequence);
    let y = transpose(x, [1, 0, 2]);
    for (let index = 0; index < layers; index++) {
      const last = index === layers - 1;
      const give = last ? result : 'sequence';
      const features = y.shape[2];
      const directions = (bidirectional ? [false, true] : [false]).map((reverse) =>
        recurrentTimeMajor(cell, y, weightsOf(layer, index, features, reverse), { mask, reverse, return: give }),
      );
      y = concat(directions);
      if (!last) y = dropout(y, rate);
    }
    if (result === 'last') return y;
    // Padding passed states on; what is given out is 0 there.
    const own = mask === undefined ? y : mul(y, reshape(mask, [...mask.shape, 1]));
    return transpose(own, [1, 0, 2]);
  };

  const call = (x: Tensor, sequence: SequenceOptions = {}): Tensor => {
    requireTensor(options.name ?? kind, x);
    checkOptions(kind, sequence, ['lengths', 'mask']);
    return callLayer(layer, options.name, () => build(x, layer, sequence));
  };
  const layer: RecurrentLayer = Object.assign(call, { kind });
  return layer;
}

function checkCount(where: string, value: unknown, fix: string): void {
  if (Number.isInteger(value) && Number(value) >= 1) return;
  throw optionError(where, 'an integer of at least 1', show(value), fix);
}

/** [time, rows], 1 where a row has a time step, 0 in its padding; undefined where nothing is padded. */
function timeMajorMask(kind: string, x: Tensor, { lengths, mask }: SequenceOptions): Tensor | undefined {
  const [rows, time] = x.shape;
  if (lengths !== undefined && mask !== undefined) {
    throw opError(kind, 'lengths or a mask', 'both', 'give one of them');
  }
  if (lengths !== undefined) {
    if (lengths.shape.length !== 1 || lengths.shape[0] !== rows) {
      throw shapeError(kind, `lengths [${rows}], one number a row`, showShape(lengths.shape), 'give one length a row');
    }
    const times = Array.from({ length: time }, (_, t) => t);
    return less(constant(times, [time, 1]), reshape(cast(lengths), [1, rows]));
  }
  if (mask === undefined) return undefined;
  if (showShape(mask.shape) !== showShape([rows, time])) {
    throw shapeError(kind, `a mask [${rows}, ${time}], as the input's rows and time steps`, showShape(mask.shape), 'give one number a row and time step'); // biome-ignore format: a sentence
  }
  return transpose(notEqual(cast(mask), 0), [1, 0]);
}
