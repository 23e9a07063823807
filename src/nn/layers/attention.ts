import { shapeError, showShape } from '../../graph/build.ts';
import { crossAttention, selfAttention } from '../../graph/ops/attention.ts';
import { linear } from '../../graph/ops/matmul.ts';
import { rotary } from '../../graph/ops/rotary.ts';
import { concat, slice } from '../../graph/ops/shape.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { type InitRule, resolveInit, xavierUniform, zeros } from '../initializers.ts';
import { checkOptions, optionError, show } from '../options.ts';
import { callLayer, parameter, requireTensor } from '../trace.ts';
import { checkLayerOptions, type LayerOptions } from './layer.ts';

export interface AttentionLayerOptions extends LayerOptions {
  /** Number of heads; divides the width of the input. */
  readonly heads: number;
  /** Position i sees positions 0 to i only: for decoders. Default false. */
  readonly causal?: boolean;
  /** Turn queries and keys by their positions (Su et al., arXiv:2104.09864). Default false. */
  readonly rotary?: boolean;
  /** Add biases to the projections. Default true. */
  readonly bias?: boolean;
  /** Of the projections into queries, keys and values. Default xavierUniform() of width and width. */
  readonly init?: InitRule;
  /** Of the projection of the heads' results. Default: as `init`. */
  readonly outInit?: InitRule;
}

/** What a call of attention may be given beside the sequence. */
export interface AttentionInputs {
  /** What the sequence looks at, [rows, keys, any width]: cross attention. Default: the sequence itself. */
  readonly context?: Tensor;
  /** [rows, keys] (f32): keys whose mask is 0 are not seen (padding). Default: all are. */
  readonly mask?: Tensor;
}

/** `multiHeadAttention(...)`: a layer that may be given a context and a mask. */
export interface MultiHeadAttention extends Layer {
  (x: Tensor, inputs?: AttentionInputs): Tensor;
}

/**
 * Multi-head attention (Vaswani et al., arXiv:1706.03762): x [rows, positions, width] -> the same. Self attention, called as
 * `layer(x)`, projects queries, keys and values in one GEMM: parameters `qkv/weight` [width, 3 width] and `qkv/bias`. Cross attention,
 * `layer(x, { context })`, has `query/weight` [width, width] and `context/weight` [context width, 2 width] with their biases instead.
 * Both end in `project/weight` [width, width] and `project/bias`. Throws E_OPTION for bad options, E_SHAPE for inputs that do not fit.
 */
export function multiHeadAttention(options: AttentionLayerOptions): MultiHeadAttention {
  const kind = 'multiHeadAttention';
  checkLayerOptions(kind, options, ['heads', 'causal', 'rotary', 'bias', 'init', 'outInit']);
  const { heads, causal = false, rotary: turned = false, bias = true, init = xavierUniform() } = options;
  const { outInit = init } = options;
  if (!Number.isInteger(heads) || heads < 1) {
    const fix = 'give it as in multiHeadAttention({ heads: 4 })';
    throw optionError(`${kind}: heads`, 'an integer of at least 1', show(heads), fix);
  }
  for (const [name, value] of Object.entries({ causal, rotary: turned, bias })) {
    if (typeof value !== 'boolean') throw optionError(`${kind}: ${name}`, 'true or false', show(value));
  }

  const build = (x: Tensor, { context, mask }: AttentionInputs): Tensor => {
    const width = checkSequence(x, heads);
    const project = (from: Tensor, name: string, parts: number, rule: InitRule): Tensor => {
      const inputs = from.shape[from.shape.length - 1];
      const start = resolveInit(`${kind}: init`, rule, inputs, width);
      const weight = parameter(layer, `${name}/weight`, [inputs, parts * width], start);
      const zero = resolveInit(kind, zeros(), inputs, width);
      return linear(from, weight, bias ? parameter(layer, `${name}/bias`, [parts * width], zero) : undefined);
    };
    const turn = (packed: Tensor, columns: number): Tensor => {
      if (!turned) return packed;
      const rest = packed.shape[2] > columns ? [slice(packed, 2, columns)] : [];
      return concat([rotary(slice(packed, 2, 0, columns), { heads: (columns / width) * heads }), ...rest]);
    };
    const how = { heads, causal, mask };
    const values = context
      ? crossAttention(
          turn(project(x, 'query', 1, init), width),
          turn(project(checkContext(context, x), 'context', 2, init), width),
          how,
        )
      : selfAttention(turn(project(x, 'qkv', 3, init), 2 * width), how);
    return project(values, 'project', 1, outInit);
  };

  const call = (x: Tensor, inputs: AttentionInputs = {}): Tensor => {
    requireTensor(options.name ?? kind, x);
    checkOptions(kind, inputs, ['context', 'mask']);
    if (inputs.context) requireTensor(`${kind}: context`, inputs.context);
    if (inputs.mask) requireTensor(`${kind}: mask`, inputs.mask);
    return callLayer(layer, options.name, () => build(x, inputs));
  };
  const layer: MultiHeadAttention = Object.assign(call, { kind });
  return layer;
}

/** The width of a sequence that the heads divide. */
function checkSequence(x: Tensor, heads: number): number {
  if (x.shape.length !== 3) {
    const fix = 'give a vector at each position: embedding(...) of ids, or reshape(x, [rows, positions, width])';
    throw shapeError('multiHeadAttention', 'an input [rows, positions, width]', showShape(x.shape), fix);
  }
  const width = x.shape[2];
  if (width % heads === 0) return width;
  const fix = 'choose a number of heads that divides the width';
  throw shapeError(
    'multiHeadAttention',
    `a width that ${heads} heads divide`,
    `${width} of ${showShape(x.shape)}`,
    fix,
  );
}

function checkContext(context: Tensor, x: Tensor): Tensor {
  if (context.shape.length === 3 && context.shape[0] === x.shape[0]) return context;
  const fix = 'give a vector at each position of the context';
  throw shapeError('multiHeadAttention', `a context [${x.shape[0]}, keys, width]`, showShape(context.shape), fix);
}
