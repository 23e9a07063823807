import { biasActivation, defaultAlpha } from '../../graph/ops/activation.ts';
import type { Conv1dOptions, Conv2dOptions, ConvTranspose2dOptions } from '../../graph/ops/convolution.ts';
import {
  conv1d as conv1dOp,
  conv2d as conv2dOp,
  convTranspose2d as convTranspose2dOp,
} from '../../graph/ops/convolution.ts';
import { perAxis, withChannels } from '../../graph/ops/windows.ts';
import { sizeOf, type Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { type InitRule, resolveInit, zeros } from '../initializers.ts';
import { optionError, show } from '../options.ts';
import { parameter } from '../trace.ts';
import { type ActivationName, applyActivation, checkActivation, defaultInit } from './activation.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

interface FilterOptions extends LayerOptions {
  /** Add a bias to each filter. Default true. */
  readonly bias?: boolean;
  /** Of the weight. Default: heNormal() before relu and its relatives, else xavierUniform(), as in dense. */
  readonly init?: InitRule;
  /** Default zeros(). */
  readonly biasInit?: InitRule;
}

export interface Conv1dLayerOptions extends FilterOptions, Conv1dOptions {}
export interface Conv2dLayerOptions extends FilterOptions, Conv2dOptions {}
export interface ConvTranspose2dLayerOptions extends FilterOptions, ConvTranspose2dOptions {}
export interface DepthwiseConv2dLayerOptions extends FilterOptions, Omit<Conv2dOptions, 'groups'> {
  /** Filters for each channel. Default 1. */
  readonly multiplier?: number;
}

/** The activation may be left out before the options. */
type Arguments<O> = readonly [options?: O] | readonly [activation: ActivationName | undefined, options?: O];

function activationAndOptions<O extends FilterOptions>(
  args: Arguments<O>,
): [ActivationName, O | Record<string, never>] {
  const [first, second] = args;
  if (typeof first === 'object') return ['linear', first];
  return [first ?? 'linear', second ?? {}];
}

const FILTER_OPTIONS = ['bias', 'init', 'biasInit'];
const WINDOW_OPTIONS = ['stride', 'padding', 'dilation'];

interface Kind {
  readonly kind: string;
  readonly activation: ActivationName;
  readonly options: FilterOptions;
  /** Names of the options besides those of every layer with filters. */
  readonly known: readonly string[];
  /** Shape of the weight and number of filters for so many channels. */
  weight(channels: number): { shape: readonly number[]; filters: number };
  apply(x: Tensor, weight: Tensor): Tensor;
  /** Axes of an image: 1 or 2. */
  readonly axes: number;
}

/** A layer of filters: convolution, then bias and activation in one pass. */
function filterLayer({ kind, activation, options, known, weight, apply, axes }: Kind): Layer {
  checkActivation(kind, activation);
  checkLayerOptions(kind, options, [...FILTER_OPTIONS, ...known]);
  const { bias = true, biasInit = zeros(), init = defaultInit(activation) } = options;
  if (typeof bias !== 'boolean') throw optionError(`${kind}: bias`, 'true or false', show(bias));
  return makeLayer(kind, options.name, (from, layer) => {
    const x = withChannels(kind, from, axes);
    const { shape, filters } = weight(x.shape[axes + 1]);
    const positions = sizeOf(shape.slice(0, axes));
    const [fanIn, fanOut] = [positions * shape[axes], positions * filters];
    const w = parameter(layer, 'weight', shape, resolveInit(`${kind}: init`, init, fanIn, fanOut));
    const b = bias
      ? parameter(layer, 'bias', [filters], resolveInit(`${kind}: biasInit`, biasInit, fanIn, filters))
      : undefined;
    const z = apply(x, w);
    if (activation === 'softmax' || activation === 'logSoftmax') {
      return applyActivation(activation, biasActivation(z, b, 'linear', 0));
    }
    return biasActivation(z, b, activation, defaultAlpha(activation));
  });
}

function count(kind: string, name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1) return value;
  throw optionError(`${kind}: ${name}`, 'an integer of at least 1', show(value), `as in ${kind}(32, 3)`);
}

/** `groups`, which must divide the filters; the channels are checked when they are known. */
function groupsOf(kind: string, groups: unknown, filters: number): number {
  const number = count(kind, 'groups', groups ?? 1);
  if (filters % number === 0) return number;
  throw optionError(`${kind}: groups`, `a divisor of ${filters} filters`, String(number));
}

/** Channels of one group. */
function groupChannels(kind: string, channels: number, groups: number): number {
  if (channels % groups === 0) return channels / groups;
  throw optionError(`${kind}: groups`, `a divisor of the ${channels} channels of the input`, String(groups));
}

/**
 * `filters` convolutions over images: x [rows, height, width, channels], or [rows, height, width] for one channel -> [rows, out
 * height, out width, filters]. `size` is that of the window, a number or [height, width]. Parameters `weight` [height, width,
 * channels / groups, filters] and `bias` [filters]. Throws E_OPTION, E_SHAPE.
 *
 *     conv2d(32, 3, 'relu', { padding: 'same' })
 */
export function conv2d(
  filters: number,
  size: number | readonly number[],
  ...args: Arguments<Conv2dLayerOptions>
): Layer {
  const [activation, options] = activationAndOptions(args);
  const window = perAxis('conv2d', 'size', size, 2, 1);
  const number = count('conv2d', 'filters', filters);
  const groups = groupsOf('conv2d', options.groups, number);
  return filterLayer({
    kind: 'conv2d',
    activation,
    options,
    known: [...WINDOW_OPTIONS, 'groups'],
    axes: 2,
    weight: (channels) => ({ shape: [...window, groupChannels('conv2d', channels, groups), number], filters: number }),
    apply: (x, weight) => conv2dOp(x, weight, options),
  });
}

/**
 * `filters` convolutions over sequences: x [rows, length, channels], or [rows, length] for one channel -> [rows, out length, filters].
 * Parameters `weight` [size, channels / groups, filters] and `bias` [filters].
 */
export function conv1d(filters: number, size: number, ...args: Arguments<Conv1dLayerOptions>): Layer {
  const [activation, options] = activationAndOptions(args);
  const window = perAxis('conv1d', 'size', size, 1, 1);
  const number = count('conv1d', 'filters', filters);
  const groups = groupsOf('conv1d', options.groups, number);
  return filterLayer({
    kind: 'conv1d',
    activation,
    options,
    known: [...WINDOW_OPTIONS, 'groups'],
    axes: 1,
    weight: (channels) => ({ shape: [...window, groupChannels('conv1d', channels, groups), number], filters: number }),
    apply: (x, weight) => conv1dOp(x, weight, options),
  });
}

/**
 * Filters that see one channel each, `multiplier` for every channel: x [rows, height, width, channels] -> [rows, out height, out width,
 * channels * multiplier]. Parameters `weight` [height, width, 1, channels * multiplier] and `bias`. With a conv2d(n, 1) behind it,
 * a separable convolution.
 */
export function depthwiseConv2d(
  size: number | readonly number[],
  ...args: Arguments<DepthwiseConv2dLayerOptions>
): Layer {
  const kind = 'depthwiseConv2d';
  const [activation, options] = activationAndOptions(args);
  const window = perAxis(kind, 'size', size, 2, 1);
  const multiplier = count(kind, 'multiplier', options.multiplier ?? 1);
  const { stride = 1, padding = 'valid', dilation = 1 } = options;
  return filterLayer({
    kind,
    activation,
    options,
    known: [...WINDOW_OPTIONS, 'multiplier'],
    axes: 2,
    weight: (channels) => ({ shape: [...window, 1, channels * multiplier], filters: channels * multiplier }),
    apply: (x, weight) => conv2dOp(x, weight, { stride, padding, dilation, groups: x.shape[3] }),
  });
}

/**
 * Transposed convolution, which makes images larger: x [rows, height, width, channels] -> [rows, out height, out width, filters], size *
 * stride with padding 'same', else (size - 1) * stride - 2 * padding + dilation * (window - 1) + 1 + outputPadding. Parameters `weight`
 * [height, width, filters / groups, channels] and `bias` [filters].
 */
export function convTranspose2d(
  filters: number,
  size: number | readonly number[],
  ...args: Arguments<ConvTranspose2dLayerOptions>
): Layer {
  const kind = 'convTranspose2d';
  const [activation, options] = activationAndOptions(args);
  const window = perAxis(kind, 'size', size, 2, 1);
  const number = count(kind, 'filters', filters);
  const groups = groupsOf(kind, options.groups, number);
  return filterLayer({
    kind,
    activation,
    options,
    known: [...WINDOW_OPTIONS, 'groups', 'outputPadding'],
    axes: 2,
    weight(channels) {
      groupChannels(kind, channels, groups);
      return { shape: [...window, number / groups, channels], filters: number };
    },
    apply: (x, weight) => convTranspose2dOp(x, weight, options),
  });
}
