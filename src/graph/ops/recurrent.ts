/**
 * Recurrent layers over a whole sequence: the input's products of all time steps are one GEMM, each time step is one GEMM with the state
 * and one fused kernel, and backwards the weight gradients are one GEMM over all time steps again.
 *
 * What a pass leaves for its gradient lies in one tensor, the tape: planes of [time, rows, ...], those of states with one slot more for
 * the state before the first step. `recurrentGrad` has the same planes, with gradients in the place of the gates, and takes over
 * the tape's memory.
 */
import { LockstepError } from '../../errors.ts';
import { createNode, numberAttr, numbersAttr, requireF32, shapeError, showShape, stringAttr } from '../build.ts';
import type { Lowering, OpDef } from '../op.ts';
import type { Ref } from '../program.ts';
import type { Tensor } from '../tensor.ts';
import { add } from './binary.ts';
import { cast } from './cast.ts';
import { notEqual } from './compare.ts';
import { cutGemm } from './cut-gemm.ts';
import { constant } from './leaf.ts';
import { matmul } from './matmul.ts';
import { reshape, transpose } from './shape.ts';
import { lowerMove, shift } from './strides.ts';

/** 'rnn' with tanh, 'rnnRelu' with relu. */
type Cell = 'rnn' | 'rnnRelu' | 'lstm' | 'gru';
const GATES: Readonly<Record<Cell, number>> = { rnn: 1, rnnRelu: 1, lstm: 4, gru: 3 };

/** Weights of one layer in one direction, in PyTorch's layout: gates stand one behind another along axis 0. */
export interface RecurrentWeights {
  /** [gates * hidden, features] */
  readonly weightIh: Tensor;
  /** [gates * hidden, hidden] */
  readonly weightHh: Tensor;
  /** [gates * hidden]; default zeros. */
  readonly biasIh?: Tensor;
  /** [gates * hidden]; default zeros. */
  readonly biasHh?: Tensor;
}

export interface RecurrentOptions {
  /** [rows, time], f32 or i32: at a time that is 0 the row keeps its state. Default: all count. */
  readonly mask?: Tensor;
  /** From the last time step to the first. Default false. */
  readonly reverse?: boolean;
  /** The last state [rows, hidden] or that of every time step [rows, time, hidden]. Default 'last'. */
  readonly return?: 'last' | 'sequence';
}

interface Sizes {
  readonly cell: Cell;
  readonly time: number;
  readonly rows: number;
  readonly features: number;
  readonly hidden: number;
  /** Width of all gates of a row. */
  readonly width: number;
  readonly reverse: boolean;
  readonly masked: boolean;
}

/** Element offsets of the planes in a tape. */
interface Planes {
  /** [time, rows, width] */
  readonly gates: number;
  /** [time + 1, rows, hidden] */
  readonly h: number;
  /** LSTM: [time + 1, rows, hidden]. */
  readonly c: number;
  /** LSTM: [time, rows, hidden]. */
  readonly tanhC: number;
  /** GRU: [time, rows, width], the products with the state. */
  readonly recurrent: number;
  readonly size: number;
}

function isCell(name: string): name is Cell {
  return Object.hasOwn(GATES, name);
}

/** Everything is known from the attributes, which the tape and all its gradients share. */
function sizesOf({ attrs }: Pick<Tensor, 'attrs'>): Sizes {
  const cell = stringAttr(attrs, 'cell');
  if (!isCell(cell)) throw new TypeError(`no recurrent cell is called ${cell}`);
  const [time, rows, features, hidden] = numbersAttr(attrs, 'sizes');
  const width = GATES[cell] * hidden;
  return { cell, time, rows, features, hidden, width, reverse: attrs.reverse === true, masked: attrs.masked === true };
}

function planesOf({ cell, time, rows, hidden, width }: Sizes): Planes {
  let size = 0;
  const take = (elements: number): number => {
    const start = size;
    size += Math.ceil(elements / 16) * 16;
    return start;
  };
  const state = (time + 1) * rows * hidden;
  const planes = {
    gates: take(time * rows * width),
    h: take(state),
    c: take(cell === 'lstm' ? state : 0),
    tanhC: take(cell === 'lstm' ? time * rows * hidden : 0),
    recurrent: take(cell === 'gru' ? time * rows * width : 0),
  };
  return { ...planes, size };
}

/** Attributes and tensors agree with one another, or nothing is computed: models are also read from files. */
function checkTape({ inputs, attrs, size }: Pick<Tensor, 'inputs' | 'attrs'> & { readonly size: number }): void {
  const sizes = sizesOf({ attrs });
  const { cell, time, rows, features, hidden, width, masked } = sizes;
  const whole = [time, rows, features, hidden].every((n) => Number.isInteger(n) && n >= 1);
  const biases = cell === 'gru' ? [[width], [width]] : [[width]];
  const mask = masked ? [[time, rows]] : [];
  const expected = [[time, rows, features], [width, features], [width, hidden], ...biases, ...mask];
  const agree =
    inputs.length === expected.length && inputs.every((x, i) => showShape(x.shape) === showShape(expected[i]));
  if (whole && agree && planesOf(sizes).size === size) return;
  throw new TypeError(
    `recurrent layer: attributes that do not fit ${inputs.map((x) => showShape(x.shape)).join(', ')}`,
  );
}

/** Where a time step finds its memory. */
interface Step {
  readonly gates: Ref;
  readonly recurrent: Ref;
  readonly h: Ref;
  readonly hPrevious: Ref;
  readonly c: Ref;
  readonly cPrevious: Ref;
  readonly tanhC: Ref;
  readonly mask: Ref | 0;
  readonly time: number;
}

/** The time steps in the order of the forward pass over the planes at `tape`. */
function stepsOf(sizes: Sizes, tape: Ref, mask: Ref | 0): Step[] {
  const { time, rows, hidden, width, reverse } = sizes;
  const planes = planesOf(sizes);
  return Array.from({ length: time }, (_, i) => {
    const t = reverse ? time - 1 - i : i;
    const [slot, previous] = reverse ? [t, t + 1] : [t + 1, t];
    const state = (plane: number, at: number): Ref => shift(tape, plane + at * rows * hidden);
    return {
      gates: shift(tape, planes.gates + t * rows * width),
      recurrent: shift(tape, planes.recurrent + t * rows * width),
      h: state(planes.h, slot),
      hPrevious: state(planes.h, previous),
      c: state(planes.c, slot),
      cPrevious: state(planes.c, previous),
      tanhC: state(planes.tanhC, t),
      mask: mask === 0 ? 0 : shift(mask, t * rows),
      time: t,
    };
  });
}

const maskOf = (sizes: Sizes, l: Lowering, index: number): Ref | 0 => (sizes.masked ? l.input(index) : 0);
const code = (cell: Cell): number => Number(cell === 'rnnRelu');

/** Inputs: x [time, rows, features], weightIh, weightHh, biases (one, or two for GRU), mask [time, rows] if any. */
const tapeOp: OpDef = {
  name: 'recurrentTape',
  infer(inputs, attrs) {
    const size = numberAttr(attrs, 'size');
    checkTape({ inputs, attrs, size });
    return { shape: [size], dtype: 'f32' };
  },
  lower(node, l) {
    const sizes = sizesOf(node);
    const { cell, time, rows, features, hidden, width } = sizes;
    const planes = planesOf(sizes);
    const bias = l.input(3);
    const mask = maskOf(sizes, l, cell === 'gru' ? 5 : 4);
    const steps = stepsOf(sizes, l.out, mask);
    const gates = shift(l.out, planes.gates);
    // Weights are transposed once: GEMM need not do it anew in every time step.
    const weightIh = l.scratch(features * width);
    lowerMove(l, weightIh, l.input(1), [features, width], [1, features], [width, 1]);
    cutGemm(l, 'm', {
      ...{ transA: false, transB: false, m: time * rows, n: width, k: features },
      ...{ a: l.input(0), lda: features, b: weightIh, ldb: width, beta: 0, c: gates, ldc: width },
    });
    l.call('fill', steps[0].hPrevious, 0, rows * hidden);
    if (cell === 'lstm') l.call('fill', steps[0].cPrevious, 0, rows * hidden);
    if (cell === 'gru') l.call('fill', steps[0].recurrent, 0, rows * width);
    const weightHh = time > 1 ? l.scratch(hidden * width) : l.input(2);
    if (time > 1) lowerMove(l, weightHh, l.input(2), [hidden, width], [1, hidden], [width, 1]);
    for (const [i, s] of steps.entries()) {
      if (i > 0) {
        const to = cell === 'gru' ? ({ beta: 0, c: s.recurrent } as const) : ({ beta: 1, c: s.gates } as const);
        cutGemm(l, 'm', {
          ...{ transA: false, transB: false, m: rows, n: width, k: hidden },
          ...{ a: s.hPrevious, lda: hidden, b: weightHh, ldb: width, ...to, ldc: width },
        });
      }
      if (cell === 'lstm') {
        l.call('lstmStep', s.h, s.c, s.tanhC, s.gates, bias, s.hPrevious, s.cPrevious, s.mask, rows, hidden);
      } else if (cell === 'gru') {
        l.call('gruStep', s.h, s.gates, s.recurrent, bias, l.input(4), s.hPrevious, s.mask, rows, hidden);
      } else l.call('rnnStep', s.h, s.gates, bias, s.hPrevious, s.mask, rows, hidden, code(cell));
    }
  },
  flops(node) {
    const { time, rows, features, hidden, width } = sizesOf(node);
    return 2 * rows * width * (time * features + (time - 1) * hidden);
  },
};

/**
 * The states that a layer gives: the last [rows, hidden], or all [time, rows, hidden]. Inputs: the tape and all its inputs, whose
 * gradients start here.
 */
const outputOp: OpDef = {
  name: 'recurrentOutput',
  infer([tape, ...inputs], attrs) {
    checkTape({ inputs, attrs, size: tape.shape.length === 1 ? tape.shape[0] : 0 });
    const [time, rows, , hidden] = numbersAttr(attrs, 'sizes');
    return { shape: attrs.sequence === true ? [time, rows, hidden] : [rows, hidden], dtype: 'f32' };
  },
  gradient(node, up) {
    const sizes = sizesOf(node);
    const { time, rows, features, masked } = sizes;
    const [tape, x, weightIh, weightHh, ...rest] = node.inputs;
    const grad = createNode(gradOp, [tape, up, weightHh, ...(masked ? rest.slice(-1) : [])], node.attrs);
    const dGates = createNode(gatesGradOp, [grad], node.attrs);
    const dX = reshape(matmul(dGates, weightIh), [time, rows, features]);
    const dWeightIh = createNode(inputWeightGradOp, [grad, x], { ...node.attrs, shape: weightIh.shape });
    const biasGradient = (recurrent: boolean): Tensor => createNode(biasGradOp, [grad], { ...node.attrs, recurrent });
    const dBiases = sizes.cell === 'gru' ? [biasGradient(false), biasGradient(true)] : [biasGradient(false)];
    const dWeightHh = createNode(weightGradOp, [grad], { ...node.attrs, shape: weightHh.shape });
    return [undefined, dX, dWeightIh, dWeightHh, ...dBiases, ...(masked ? [undefined] : [])];
  },
  lower(node, l) {
    const sizes = sizesOf(node);
    const { time, rows, hidden, reverse } = sizes;
    const h = planesOf(sizes).h;
    const slot = rows * hidden;
    if (node.attrs.sequence === true) l.call('copy', l.out, shift(l.input(0), reverse ? h : h + slot), time * slot);
    else l.call('copy', l.out, shift(l.input(0), reverse ? h : h + time * slot), slot);
  },
};

/** Back-propagation through time. Inputs: the tape, the gradient of the output, weightHh, mask if any. */
const gradOp: OpDef = {
  name: 'recurrentGrad',
  infer: ([tape]) => ({ shape: tape.shape, dtype: 'f32' }),
  gradient() {
    throw new LockstepError('E_GRADIENT', {
      where: 'recurrent layer',
      expected: 'a first derivative',
      got: 'the gradient of a gradient',
      fix: 'differentiate recurrent layers once only',
    });
  },
  lower(node, l) {
    const sizes = sizesOf(node);
    const { cell, time, rows, hidden, width, masked } = sizes;
    const sequence = node.attrs.sequence === true;
    const slot = rows * hidden;
    const mask = maskOf(sizes, l, 3);
    const steps = stepsOf(sizes, l.input(0), mask);
    const targets = stepsOf(sizes, l.out, mask);
    const dh = l.scratch(slot);
    const dc = cell === 'lstm' ? l.scratch(slot) : dh;
    if (sequence) l.call('fill', dh, 0, slot);
    else l.call('copy', dh, l.input(1), slot);
    if (cell === 'lstm') l.call('fill', dc, 0, slot);
    for (let i = time - 1; i >= 0; i--) {
      const s = steps[i];
      const dOut = sequence ? shift(l.input(1), s.time * slot) : 0;
      const to = targets[i];
      if (cell === 'lstm') {
        l.call('lstmStepGrad', to.gates, s.gates, dh, dc, dOut, s.tanhC, s.cPrevious, s.mask, rows, hidden);
      } else if (cell === 'gru') {
        l.call(
          'gruStepGrad',
          to.gates,
          to.recurrent,
          s.gates,
          s.recurrent,
          dh,
          dOut,
          s.hPrevious,
          s.mask,
          rows,
          hidden,
        );
      } else l.call('rnnStepGrad', to.gates, s.h, dh, dOut, s.mask, rows, hidden, code(cell));
      if (i === 0) break;
      cutGemm(l, 'k', {
        ...{ transA: false, transB: false, m: rows, n: hidden, k: width },
        ...{ a: cell === 'gru' ? to.recurrent : to.gates, lda: width, b: l.input(2), ldb: hidden },
        ...{ beta: masked || cell === 'gru' ? 1 : 0, c: dh, ldc: hidden },
      });
    }
    // The gradient of weightHh reads the states.
    const h = planesOf(sizes).h;
    const from = shift(l.input(0), h);
    if (from.offset !== shift(l.out, h).offset) l.call('copy', shift(l.out, h), from, (time + 1) * slot);
  },
  inPlace: [0],
  flops(node) {
    const { time, rows, hidden, width } = sizesOf(node);
    return 2 * (time - 1) * rows * hidden * width;
  },
};

/** Gradients of the gates' inputs, [time * rows, width]: the first plane. */
const gatesGradOp: OpDef = {
  name: 'recurrentGatesGrad',
  infer(_inputs, attrs) {
    const [time, rows] = numbersAttr(attrs, 'sizes');
    return { shape: [time * rows, numberAttr(attrs, 'width')], dtype: 'f32' };
  },
  alias: true,
};

/** Sum over all times and rows; `recurrent`: of the gradients of the products with the state. */
const biasGradOp: OpDef = {
  name: 'recurrentBiasGrad',
  infer: (_inputs, attrs) => ({ shape: [numberAttr(attrs, 'width')], dtype: 'f32' }),
  lower(node, l) {
    const sizes = sizesOf(node);
    const planes = planesOf(sizes);
    const plane = shift(l.input(0), node.attrs.recurrent === true ? planes.recurrent : planes.gates);
    l.call('reduceSum', l.out, plane, 1, sizes.time * sizes.rows, sizes.width);
  },
};

/** d weightIh = sum over time and rows of d gates^T x. Inputs: the gradient's tape, x. */
const inputWeightGradOp: OpDef = {
  name: 'recurrentInputWeightGrad',
  infer: (_inputs, attrs) => ({ shape: numbersAttr(attrs, 'shape'), dtype: 'f32' }),
  lower(node, l) {
    const { time, rows, features, width } = sizesOf(node);
    cutGemm(l, 'k', {
      ...{ transA: true, transB: false, m: width, n: features, k: time * rows },
      ...{ a: l.input(0), lda: width, b: l.input(1), ldb: features, beta: 0, c: l.out, ldc: features },
    });
  },
  flops(node) {
    const { time, rows, features, width } = sizesOf(node);
    return 2 * time * rows * features * width;
  },
};

/** d weightHh = sum over time of d gates^T hPrevious, one GEMM. The first step has no state to multiply. */
const weightGradOp: OpDef = {
  name: 'recurrentWeightGrad',
  infer: (_inputs, attrs) => ({ shape: numbersAttr(attrs, 'shape'), dtype: 'f32' }),
  lower(node, l) {
    const sizes = sizesOf(node);
    const { cell, time, rows, hidden, width, reverse } = sizes;
    if (time === 1) {
      l.call('fill', l.out, 0, width * hidden);
      return;
    }
    const planes = planesOf(sizes);
    const gates = (cell === 'gru' ? planes.recurrent : planes.gates) + (reverse ? 0 : rows * width);
    cutGemm(l, 'k', {
      ...{ transA: true, transB: false, m: width, n: hidden, k: (time - 1) * rows },
      ...{ a: shift(l.input(0), gates), lda: width, b: shift(l.input(0), planes.h + rows * hidden), ldb: hidden },
      ...{ beta: 0, c: l.out, ldc: hidden },
    });
  },
  flops(node) {
    const { time, rows, hidden, width } = sizesOf(node);
    return 2 * (time - 1) * rows * hidden * width;
  },
};

export const RECURRENT_OPS: readonly OpDef[] = [
  tapeOp,
  outputOp,
  gradOp,
  gatesGradOp,
  biasGradOp,
  inputWeightGradOp,
  weightGradOp,
];

/** The same with x and the sequence as [time, rows, ...] and the mask as [time, rows]: how stacked layers pass it on. */
export function recurrentTimeMajor(cell: Cell, x: Tensor, w: RecurrentWeights, options: RecurrentOptions): Tensor {
  const { weightIh, weightHh, biasIh, biasHh } = w;
  requireF32(cell, [x, weightIh, weightHh]);
  const [time, rows, features] = x.shape;
  const hidden = weightHh.shape[1];
  const width = GATES[cell] * hidden;
  checkShape(cell, 'weightIh', weightIh, [width, features]);
  checkShape(cell, 'weightHh', weightHh, [width, hidden]);
  for (const [name, bias] of [['biasIh', biasIh], ['biasHh', biasHh]] as const) {
    if (bias !== undefined) checkShape(cell, name, bias, [width]);
  } // biome-ignore format: short
  const zeros = constant(0, [width]);
  const biases = cell === 'gru' ? [biasIh ?? zeros, biasHh ?? zeros] : [sumOf(biasIh, biasHh) ?? zeros];
  const { mask, reverse = false } = options;
  if (mask !== undefined) checkShape(cell, 'mask', mask, [time, rows]);
  const sizes = { cell, sizes: [time, rows, features, hidden], width, reverse, masked: mask !== undefined };
  const { size } = planesOf({ cell, time, rows, features, hidden, width, reverse, masked: mask !== undefined });
  const inputs = [x, weightIh, weightHh, ...biases, ...(mask === undefined ? [] : [mask])];
  const tape = createNode(tapeOp, inputs, { ...sizes, size });
  return createNode(outputOp, [tape, ...inputs], { ...sizes, sequence: options.return === 'sequence' });
}

function sumOf(a: Tensor | undefined, b: Tensor | undefined): Tensor | undefined {
  return a !== undefined && b !== undefined ? add(a, b) : (a ?? b);
}

function checkShape(cell: Cell, name: string, x: Tensor, expected: readonly number[]): void {
  if (showShape(x.shape) === showShape(expected)) return;
  throw shapeError(cell, `${name} ${showShape(expected)}`, showShape(x.shape), 'make the shapes agree');
}

function recurrent(cell: Cell, x: Tensor, weights: RecurrentWeights, options: RecurrentOptions): Tensor {
  if (x.shape.length !== 3) {
    throw shapeError(cell, 'x [rows, time, features]', showShape(x.shape), 'reshape x to three axes');
  }
  const { mask } = options;
  if (mask !== undefined) checkShape(cell, 'mask', mask, x.shape.slice(0, 2));
  const own = mask && transpose(notEqual(cast(mask), 0), [1, 0]);
  const y = recurrentTimeMajor(cell, transpose(x, [1, 0, 2]), weights, { ...options, mask: own });
  return y.shape.length === 3 ? transpose(y, [1, 0, 2]) : y;
}

/** h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu; x [rows, time, features]. Throws E_SHAPE. */
export function rnn(
  x: Tensor,
  weights: RecurrentWeights,
  options: RecurrentOptions & { readonly activation?: 'tanh' | 'relu' } = {},
): Tensor {
  return recurrent(options.activation === 'relu' ? 'rnnRelu' : 'rnn', x, weights, options);
}

/**
 * Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gates of Gers et al. 2000), gates in PyTorch's order i, f, g, o:
 * c_t = f c_(t-1) + i g, h_t = o tanh(c_t). x [rows, time, features]; states start at 0. Throws E_SHAPE.
 */
export function lstm(x: Tensor, weights: RecurrentWeights, options: RecurrentOptions = {}): Tensor {
  return recurrent('lstm', x, weights, options);
}

/**
 * Gated recurrent unit (Cho et al. 2014) in PyTorch's form, gates r, z, n: n = tanh(W x + b + r (W_hh h + b_hh)),
 * h_t = (1 - z) n + z h_(t-1). x [rows, time, features]; states start at 0. Throws E_SHAPE.
 */
export function gru(x: Tensor, weights: RecurrentWeights, options: RecurrentOptions = {}): Tensor {
  return recurrent('gru', x, weights, options);
}
