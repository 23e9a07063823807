import type { ReferenceHeap } from './reference.ts';
import type { KernelTable, RECURRENT } from './table.ts';

/** The recurrent kernels as their definitions say. */
export function recurrentKernels({ real }: ReferenceHeap): Pick<KernelTable, (typeof RECURRENT)[number]> {
  const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
  const slope = (s: number): number => s * (1 - s);
  const masked = (mask: number, row: number): boolean => mask !== 0 && real[(mask >> 2) + row] === 0;
  /** Runs `f` with the indices of each element's state and of its first gate, unless its row is masked: then `other`. */
  const eachElement = (
    [rows, hidden, gates, mask]: readonly [number, number, number, number],
    f: (state: number, gate: number, unit: number) => void,
    other: (state: number, gate: number) => void,
  ): void => {
    for (let row = 0; row < rows; row++) {
      for (let j = 0; j < hidden; j++) {
        const [state, gate] = [row * hidden + j, row * gates * hidden + j];
        if (masked(mask, row)) other(state, gate);
        else f(state, gate, j);
      }
    }
  };
  const at = (pointer: number, index: number): number => real[(pointer >> 2) + index];
  const set = (pointer: number, index: number, value: number): void => {
    real[(pointer >> 2) + index] = value;
  };
  const upstream = (dh: number, dOut: number, i: number): number => at(dh, i) + (dOut === 0 ? 0 : at(dOut, i));

  return {
    rnnStep(h, z, bias, hPrevious, mask, rows, hidden, code) {
      eachElement(
        [rows, hidden, 1, mask],
        (i, _, j) => {
          const x = at(z, i) + at(bias, j);
          set(h, i, code === 0 ? Math.tanh(x) : Math.max(x, 0));
        },
        (i) => set(h, i, at(hPrevious, i)),
      );
    },
    rnnStepGrad(dz, h, dh, dOut, mask, rows, hidden, code) {
      eachElement(
        [rows, hidden, 1, mask],
        (i) => {
          const y = at(h, i);
          set(dz, i, upstream(dh, dOut, i) * (code === 0 ? 1 - y * y : Number(y > 0)));
          if (mask !== 0) set(dh, i, 0);
        },
        (i) => {
          set(dz, i, 0);
          set(dh, i, upstream(dh, dOut, i));
        },
      );
    },
    lstmStep(h, c, tanhC, gates, bias, hPrevious, cPrevious, mask, rows, hidden) {
      eachElement(
        [rows, hidden, 4, mask],
        (state, gate, unit) => {
          const z = (k: number): number => at(gates, gate + k * hidden) + at(bias, unit + k * hidden);
          const [i, f, g, o] = [sigmoid(z(0)), sigmoid(z(1)), Math.tanh(z(2)), sigmoid(z(3))];
          for (const [k, value] of [i, f, g, o].entries()) set(gates, gate + k * hidden, value);
          const cell = f * at(cPrevious, state) + i * g;
          set(c, state, cell);
          set(tanhC, state, Math.tanh(cell));
          set(h, state, o * Math.tanh(cell));
        },
        (state) => {
          set(h, state, at(hPrevious, state));
          set(c, state, at(cPrevious, state));
        },
      );
    },
    lstmStepGrad(dGates, gates, dh, dc, dOut, tanhC, cPrevious, mask, rows, hidden) {
      eachElement(
        [rows, hidden, 4, mask],
        (state, gate) => {
          const [i, f, g, o] = [0, 1, 2, 3].map((k) => at(gates, gate + k * hidden));
          const d = upstream(dh, dOut, state);
          const t = at(tanhC, state);
          const cell = at(dc, state) + d * o * (1 - t * t);
          const dz = [
            cell * g * slope(i),
            cell * at(cPrevious, state) * slope(f),
            cell * i * (1 - g * g),
            d * t * slope(o),
          ];
          for (const [k, value] of dz.entries()) set(dGates, gate + k * hidden, value);
          set(dc, state, cell * f);
          if (mask !== 0) set(dh, state, 0);
        },
        (state, gate) => {
          for (let k = 0; k < 4; k++) set(dGates, gate + k * hidden, 0);
          set(dh, state, upstream(dh, dOut, state));
        },
      );
    },
    gruStep(h, gates, recurrent, bias, biasRecurrent, hPrevious, mask, rows, hidden) {
      eachElement(
        [rows, hidden, 3, mask],
        (state, gate, unit) => {
          const x = (k: number): number => at(gates, gate + k * hidden) + at(bias, unit + k * hidden);
          const y = (k: number): number => at(recurrent, gate + k * hidden) + at(biasRecurrent, unit + k * hidden);
          const [r, z, own] = [sigmoid(x(0) + y(0)), sigmoid(x(1) + y(1)), y(2)];
          const n = Math.tanh(x(2) + r * own);
          for (const [k, value] of [r, z, n].entries()) set(gates, gate + k * hidden, value);
          set(recurrent, gate + 2 * hidden, own);
          set(h, state, (1 - z) * n + z * at(hPrevious, state));
        },
        (state) => set(h, state, at(hPrevious, state)),
      );
    },
    gruStepGrad(dGates, dRecurrent, gates, recurrent, dh, dOut, hPrevious, mask, rows, hidden) {
      eachElement(
        [rows, hidden, 3, mask],
        (state, gate) => {
          const [r, z, n] = [0, 1, 2].map((k) => at(gates, gate + k * hidden));
          const d = upstream(dh, dOut, state);
          const dN = d * (1 - z) * (1 - n * n);
          const dR = dN * at(recurrent, gate + 2 * hidden) * slope(r);
          const dZ = d * (at(hPrevious, state) - n) * slope(z);
          for (const [k, value] of [dR, dZ, dN].entries()) set(dGates, gate + k * hidden, value);
          for (const [k, value] of [dR, dZ, dN * r].entries()) set(dRecurrent, gate + k * hidden, value);
          set(dh, state, d * z);
        },
        (state, gate) => {
          for (let k = 0; k < 3; k++) {
            set(dGates, gate + k * hidden, 0);
            set(dRecurrent, gate + k * hidden, 0);
          }
          set(dh, state, upstream(dh, dOut, state));
        },
      );
    },
  };
}
