import { at, type Nd, tabulate } from './naive.ts';

export type NaiveCell = 'rnn' | 'rnnRelu' | 'lstm' | 'gru';

export interface NaiveOptions {
  /** [rows, time] */
  readonly mask?: Nd;
  readonly reverse?: boolean;
  readonly sequence?: boolean;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** One new state of one row, by PyTorch's formulas; gate k of unit j is row k * hidden + j of the weights. */
function step(cell: NaiveCell, x: number[], y: number[], h: number[], c: number[]): { h: number[]; c: number[] } {
  const n = h.length;
  const gate = (k: number, j: number): number => x[k * n + j] + y[k * n + j];
  if (cell === 'lstm') {
    const cell = c.map((old, j) => sigmoid(gate(1, j)) * old + sigmoid(gate(0, j)) * Math.tanh(gate(2, j)));
    return { c: cell, h: cell.map((value, j) => sigmoid(gate(3, j)) * Math.tanh(value)) };
  }
  if (cell === 'gru') {
    const mix = h.map((old, j) => {
      const [r, z] = [sigmoid(gate(0, j)), sigmoid(gate(1, j))];
      return (1 - z) * Math.tanh(x[2 * n + j] + r * y[2 * n + j]) + z * old;
    });
    return { h: mix, c };
  }
  return { h: h.map((_, j) => (cell === 'rnn' ? Math.tanh(gate(0, j)) : Math.max(0, gate(0, j)))), c };
}

/** A recurrent layer row by row and time by time: x [rows, time, features] -> [rows, hidden] or [rows, time, hidden]. */
export function naiveRecurrent(
  cell: NaiveCell,
  x: Nd,
  weights: { readonly weightIh: Nd; readonly weightHh: Nd; readonly biasIh?: Nd; readonly biasHh?: Nd },
  { mask, reverse = false, sequence = false }: NaiveOptions = {},
): Nd {
  const { weightIh, weightHh, biasIh, biasHh } = weights;
  const [rows, time, features] = x.shape;
  const [width, hidden] = weightHh.shape;
  const affine = (w: Nd, b: Nd | undefined, v: number[]): number[] =>
    Array.from({ length: width }, (_, i) => v.reduce((sum, value, j) => sum + at(w, [i, j]) * value, b?.data[i] ?? 0));
  const states = Array.from({ length: rows }, (_, row) => {
    let state = { h: new Array<number>(hidden).fill(0), c: new Array<number>(hidden).fill(0) };
    const all: number[][] = [];
    for (let i = 0; i < time; i++) {
      const t = reverse ? time - 1 - i : i;
      const input = Array.from({ length: features }, (_, j) => at(x, [row, t, j]));
      const active = mask === undefined || at(mask, [row, t]) !== 0;
      if (active)
        state = step(cell, affine(weightIh, biasIh, input), affine(weightHh, biasHh, state.h), state.h, state.c);
      all[t] = state.h;
    }
    return { all, last: state.h };
  });
  if (sequence) return tabulate([rows, time, hidden], ([row, t, j]) => states[row].all[t][j]);
  return tabulate([rows, hidden], ([row, j]) => states[row].last[j]);
}
