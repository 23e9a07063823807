import { describe, expect, it } from 'vitest';
import { bothLevels, deviation, numbers, type Sides } from './sides.ts';

/** [rows, hidden], around a vector. */
const SHAPES = [
  [0, 4],
  [1, 1],
  [3, 2],
  [2, 4],
  [5, 7],
  [4, 64],
  [3, 65],
];
const STEPS = { rnnStep: 1, lstmStep: 4, gruStep: 3 } as const;

/** Runs the step and its gradient with and without mask and output gradient, and compares everything that they wrote. */
function check(
  sides: Sides,
  rows: number,
  hidden: number,
  gates: number,
  f: (m: Memory) => readonly (readonly [number, number])[],
) {
  for (const masked of [false, true]) {
    for (const output of [false, true]) {
      sides.reset();
      const [states, all] = [rows * hidden, rows * hidden * gates];
      const random = (seed: number, count: number, size = 1): number => sides.floats(numbers(seed, count, -size, size));
      const memory = {
        state: (seed: number) => random(seed, states),
        gates: (seed: number) => random(seed, all, 4),
        bias: (seed: number) => random(seed, gates * hidden),
        mask: masked ? sides.floats(numbers(9, rows, 0, 2).map(Math.floor)) : 0,
        dOut: output ? random(10, states) : 0,
        states,
        all,
      };
      for (const [pointer, count] of f(memory)) {
        const off = deviation(sides.got(pointer, count), sides.want(pointer, count), 1e-5, 4e-7);
        expect(off, `${rows}x${hidden}, mask ${masked}, output ${output}`).toBeLessThanOrEqual(1);
      }
      sides.checkGuards();
    }
  }
}

interface Memory {
  state(seed: number): number;
  gates(seed: number): number;
  bias(seed: number): number;
  readonly mask: number;
  readonly dOut: number;
  /** Counts of a state and of all gates. */
  readonly states: number;
  readonly all: number;
}

describe.each(await bothLevels())('$simd', (sides) => {
  it.each(SHAPES)('rnnStep and its gradient equal the reference, %i rows of %i', (rows, hidden) => {
    for (const code of [0, 1]) {
      check(sides, rows, hidden, STEPS.rnnStep, (m) => {
        const [h, z, dh] = [m.state(1), m.gates(2), m.state(3)];
        sides.run('rnnStep', h, z, m.bias(4), m.state(5), m.mask, rows, hidden, code);
        sides.run('rnnStepGrad', z, h, dh, m.dOut, m.mask, rows, hidden, code);
        return [h, z, dh].map((p) => [p, m.states] as const);
      });
    }
  });

  it.each(SHAPES)('lstmStep and its gradient equal the reference, %i rows of %i', (rows, hidden) => {
    check(sides, rows, hidden, STEPS.lstmStep, (m) => {
      const [h, c, t, before, dh, dc] = [1, 2, 3, 4, 5, 6].map((seed) => m.state(seed));
      const [gates, dGates] = [m.gates(7), m.gates(8)];
      sides.run('lstmStep', h, c, t, gates, m.bias(11), m.state(12), before, m.mask, rows, hidden);
      sides.run('lstmStepGrad', dGates, gates, dh, dc, m.dOut, t, before, m.mask, rows, hidden);
      return [...[h, c, dh, dc].map((p) => [p, m.states] as const), [gates, m.all], [dGates, m.all]];
    });
  });

  it.each(SHAPES)('gruStep and its gradient equal the reference, %i rows of %i', (rows, hidden) => {
    check(sides, rows, hidden, STEPS.gruStep, (m) => {
      const [h, before, dh] = [1, 2, 3].map((seed) => m.state(seed));
      const [gates, recurrent, dGates, dRecurrent] = [4, 5, 6, 7].map((seed) => m.gates(seed));
      sides.run('gruStep', h, gates, recurrent, m.bias(11), m.bias(12), before, m.mask, rows, hidden);
      sides.run('gruStepGrad', dGates, dRecurrent, gates, recurrent, dh, m.dOut, before, m.mask, rows, hidden);
      return [
        ...[h, dh].map((p) => [p, m.states] as const),
        ...[gates, recurrent, dGates, dRecurrent].map((p) => [p, m.all] as const),
      ];
    });
  });

  it('gradients may take the place of the gates', () => {
    const [rows, hidden] = [3, 9];
    sides.reset();
    const floats = (seed: number, count: number): number => sides.floats(numbers(seed, count, 0, 1));
    const gates = numbers(1, rows * hidden * 4, 0, 1);
    const rest = [floats(5, rows * hidden), floats(6, rows * hidden), 0, 0] as const;
    const run = (apart: boolean): Int32Array => {
      const from = sides.floats(gates);
      const to = apart ? sides.room(gates.length) : from;
      const [dh, dc] = [floats(3, rows * hidden), floats(4, rows * hidden)];
      sides.wasm.lstmStepGrad(to, from, dh, dc, 0, rest[0], rest[1], 0, rows, hidden);
      return sides.gotInts(to, gates.length);
    };
    expect(run(false)).toEqual(run(true));
  });

  it('saturated gates stay finite', () => {
    sides.reset();
    const huge = [1e30, -1e30, 200, -200].flatMap((x) => [x, x, x, x]);
    const [h, c, t, before] = [0, 1, 2, 3].map(() => sides.floats(new Array(16).fill(0)));
    const gates = sides.floats([...huge, ...huge, ...huge, ...huge]);
    sides.run('lstmStep', h, c, t, gates, sides.floats(new Array(64).fill(0)), before, before, 0, 1, 16);
    for (const p of [h, c, t]) {
      expect(deviation(sides.got(p, 16), sides.want(p, 16), 1e-6, 1e-30)).toBeLessThanOrEqual(1);
    }
  });
});
