/** Recurrent layers in ONNX: its own RNN, LSTM and GRU, or with a mask, which those lack, the time steps one by one. */
import { stringAttr } from '../graph/build.ts';
import type { OnnxGraph } from './onnx-graph.ts';
import { fixed, type Lower, type Site } from './onnx-op.ts';
import { inputShape } from './onnx-ops.ts';
import { type Dim, int, TYPE } from './onnx-proto.ts';

interface Sizes {
  readonly cell: string;
  readonly time: number;
  readonly rows: Dim;
  readonly features: number;
  readonly hidden: number;
}

/** Inputs of recurrentOutput: the tape (not looked at), x [time, rows, features], weightIh, weightHh, biases, mask. */
function sizesOf(site: Site): Sizes {
  const [time, rows, features] = inputShape(site, 1);
  const [, hidden] = inputShape(site, 3);
  return {
    cell: stringAttr(site.node.attrs, 'cell'),
    time: fixed(time, site),
    rows,
    features: fixed(features, site),
    hidden: fixed(hidden, site),
  };
}

/** ONNX's op, its activations, and where its gates stand among ours (PyTorch's). */
const CELLS: Readonly<Record<string, { op: string; order: readonly number[]; attributes: object }>> = {
  rnn: { op: 'RNN', order: [0], attributes: { activations: ['Tanh'] } },
  rnnRelu: { op: 'RNN', order: [0], attributes: { activations: ['Relu'] } },
  lstm: { op: 'LSTM', order: [0, 3, 1, 2], attributes: {} },
  gru: { op: 'GRU', order: [1, 0, 2], attributes: { linear_before_reset: int(1) } },
};

const recurrentOutput: Lower = (site, g) => {
  const { attrs } = site.node;
  const sizes = sizesOf(site);
  if (attrs.masked === true) return stepByStep(site, g, sizes);
  const { op, order, attributes } = CELLS[sizes.cell];
  const { hidden, time, rows } = sizes;
  const gates = (name: string): string => {
    const parts = order.map((gate) => g.slice(name, 0, gate * hidden, (gate + 1) * hidden));
    return parts.length === 1 ? name : g.node('Concat', parts, { axis: int(0) });
  };
  const directed = (name: string): string => g.node('Unsqueeze', [name, g.int64([0])]);
  const biasHh =
    sizes.cell === 'gru' ? gates(site.input(5)) : g.floats(new Array<number>(order.length * hidden).fill(0));
  const bias = g.node('Concat', [gates(site.input(4)), biasHh], { axis: int(0) });
  const inputs = [site.input(1), directed(gates(site.input(2))), directed(gates(site.input(3))), directed(bias)];
  const [all, last] = g.results(op, 2, inputs, {
    ...attributes,
    hidden_size: int(hidden),
    direction: attrs.reverse === true ? 'reverse' : 'forward',
  });
  return attrs.sequence === true ? g.reshape(all, [time, rows, hidden]) : g.reshape(last, [rows, hidden]);
};

/** At a time where the mask is 0, the row keeps its state. */
function stepByStep(site: Site, g: OnnxGraph, { cell, time, rows, hidden }: Sizes): string {
  const { attrs } = site.node;
  const isGru = cell === 'gru';
  const weightHh = g.transpose(site.input(3), [1, 0]);
  const products = g.node('MatMul', [site.input(1), g.transpose(site.input(2), [1, 0])]);
  const fromInput = g.node('Add', [products, site.input(4)]);
  const mask = g.node('Cast', [site.input(isGru ? 6 : 5)], { to: int(TYPE.bool) });
  const zeros = g.node('Expand', [g.scalar(0), g.sizes([rows, hidden])]);
  const gate = (z: string, i: number): string => g.slice(z, 1, i * hidden, (i + 1) * hidden);
  const add = (a: string, b: string): string => g.node('Add', [a, b]);
  const mul = (a: string, b: string): string => g.node('Mul', [a, b]);
  const sigmoid = (x: string): string => g.node('Sigmoid', [x]);
  const tanh = (x: string): string => g.node('Tanh', [x]);
  const states: string[] = [];
  let [h, c] = [zeros, zeros];
  for (let i = 0; i < time; i++) {
    const t = attrs.reverse === true ? time - 1 - i : i;
    const x = g.node('Gather', [fromInput, g.int64([t], [])], { axis: int(0) });
    const seen = g.node('Unsqueeze', [g.node('Gather', [mask, g.int64([t], [])], { axis: int(0) }), g.int64([1])]);
    const keep = (next: string, before: string): string => g.node('Where', [seen, next, before]);
    const fromState = g.node('MatMul', [h, weightHh]);
    if (cell === 'lstm') {
      const z = add(x, fromState);
      const nextC = add(mul(sigmoid(gate(z, 1)), c), mul(sigmoid(gate(z, 0)), tanh(gate(z, 2))));
      h = keep(mul(sigmoid(gate(z, 3)), tanh(nextC)), h);
      c = keep(nextC, c);
    } else if (isGru) {
      const r = add(fromState, site.input(5));
      const [reset, update] = [0, 1].map((k) => sigmoid(add(gate(x, k), gate(r, k))));
      const candidate = tanh(add(gate(x, 2), mul(reset, gate(r, 2))));
      h = keep(add(candidate, mul(update, g.node('Sub', [h, candidate]))), h);
    } else {
      const z = add(x, fromState);
      h = keep(cell === 'rnnRelu' ? g.node('Relu', [z]) : tanh(z), h);
    }
    states[t] = h;
  }
  if (attrs.sequence !== true) return h;
  const stacked = states.map((state) => g.node('Unsqueeze', [state, g.int64([0])]));
  return g.node('Concat', stacked, { axis: int(0) });
}

export const RECURRENT_OPS: Readonly<Record<string, Lower>> = { recurrentOutput };
