import { describe, expect, test } from 'vitest';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import { gradientNoise, momentum, nesterov, type OptimizerDescription, sgd } from '../../src/optim/index.ts';
import { runOptimizer } from '../../src/optim/run.ts';
import { ALL } from './all.ts';
import { numbers, tensorTable } from './vectors.ts';

const SHAPES = [[3, 4], [4, 3], [5]];
const START = numbers(48, 11).map((x) => x + 0.3);

/** How far some updates with these gradients go, whatever the parameters are. */
function distance(description: OptimizerDescription, scale: number): number[] {
  const { def, options } = resolveOptimizer(description);
  const run = runOptimizer(def, options, tensorTable(...SHAPES), Float64Array.from(START), 7, [1, 2]);
  for (let t = 1; t <= 12; t++) {
    const gradient = numbers(START.length, t).map((g) => scale * g);
    run.step((_, grad) => {
      grad?.set(gradient);
      return 1;
    }, 0.01);
  }
  return START.map((p, i) => run.params[i] - p);
}

function goesTwiceAsFar(description: OptimizerDescription): boolean {
  const [once, twice] = [distance(description, 1), distance(description, 2)];
  return once.every((d, i) => Math.abs(2 * d - twice[i]) <= 1e-12);
}

/** Drivers, and those whose trained parameters are not all there is to it, make no local steps. */
const asked = ALL.map(({ description }) => description).filter((description) => {
  const { def } = resolveOptimizer(description);
  return def.drive === undefined && def.evalParameters === undefined;
});

describe('an optimizer says so where, and only where, twice the gradients go twice as far', () => {
  test.each(asked.map((description) => [JSON.stringify(description), description] as const))('%s', (_, description) => {
    expect(goesTwiceAsFar(description)).toBe(resolveOptimizer(description).def.proportional === true);
  });

  test.each([
    sgd({ lr: 0.01, momentum: 0.9, dampening: 0.3 }),
    momentum({ lr: 0.01, momentumAfter: 2 }),
    nesterov({ lr: 0.01, lrInMomentum: true }),
  ])('%o', (description) => {
    expect([goesTwiceAsFar(description), resolveOptimizer(description).def.proportional]).toEqual([true, true]);
  });

  test('a wrapper is what it wraps', () => {
    expect(resolveOptimizer(gradientNoise(sgd({ lr: 0.01 }))).def.proportional).toBe(true);
  });
});

describe('momentumAfter', () => {
  const { def, options } = resolveOptimizer(nesterov({ lr: 1, momentum: 0.7, momentumAfter: 2 }));
  const g = [1, -2, 3, 0.5, 4].map((x) => x / 8);

  test('the first updates are plain descent, and the buffer then begins with the last gradient of theirs', () => {
    const run = runOptimizer(def, options, tensorTable([1]), Float64Array.of(0), 1);
    const [found, expected]: number[][] = [[], []];
    let [p, b] = [0, 0];
    for (const [i, gradient] of g.entries()) {
      run.step((_, grad) => {
        grad?.fill(gradient);
        return 1;
      }, 0.5);
      found.push(run.params[0]);
      b = i < 2 ? gradient : 0.7 * b + gradient;
      p -= 0.5 * (i < 2 ? gradient : gradient + 0.7 * b);
      expected.push(p);
    }
    for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 12);
  });
});
