import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { OptimizerDef } from '../../src/optim/contract.ts';
import { type Objective, runOptimizer } from '../../src/optim/run.ts';
import { SGD } from '../../src/optim/sgd.ts';
import { adafactor } from './sketches/adafactor.ts';
import { lamb } from './sketches/lamb.ts';
import { lbfgs } from './sketches/lbfgs.ts';
import { muon } from './sketches/muon.ts';
import { nadam } from './sketches/nadam.ts';
import { prodigy } from './sketches/prodigy.ts';
import { sam } from './sketches/sam.ts';
import { scheduleFree } from './sketches/schedule-free.ts';
import { numbers, parabola, rosenbrock, tensorTable } from './vectors.ts';

/**
 * The sketches of docs/optimizer-contract.md are code: they compile against the contract, run on it, and the page shows them
 * as they are. A row: definition, lr, updates, how near to the minimum of a matrix and a vector it must come.
 */
const SKETCHES: readonly (readonly [OptimizerDef, (step: number) => number, number, number])[] = [
  [nadam, () => 1e-2, 2000, 1e-3],
  [adafactor, (step) => 0.1 / Math.sqrt(step), 4000, 3e-2],
  [lamb, (step) => 1 / (20 + step), 4000, 3e-2],
  [prodigy, () => 1, 2000, 1e-2],
  [scheduleFree, () => 0.1, 2000, 1e-2],
  [muon, (step) => 1 / step, 2000, 5e-2],
  [sam(SGD), () => 0.1, 500, 3e-2],
  [lbfgs, () => 1, 10, 1e-6],
];

describe.each(SKETCHES)('$kind', (def, lr, steps, tolerance) => {
  const tensors = tensorTable([3, 5], [4]);
  const options = def.options.parse({});
  const bowl: Objective = (p, grad) => {
    const loss = parabola(p, grad);
    for (let i = 15; i < 32; i++) if (i === 15 || i >= 20) grad?.fill(0, i, i + 1); // padding
    return loss;
  };
  const end = (steps: number, blockSize: number) => {
    const params = Float64Array.from(numbers(32, 5));
    const run = runOptimizer(def, options, tensors, params, blockSize);
    for (let t = 1; t <= steps; t++) run.step(bowl, lr(t));
    return run;
  };

  test('finds the minimum of a bowl', () => {
    const out = end(steps, 16 * 1024).evalParameters();
    for (const { offset, size } of tensors) {
      for (const p of out.subarray(offset, offset + size)) expect(Math.abs(p - 1)).toBeLessThanOrEqual(tolerance);
    }
  });

  test('does not depend on how tensors are cut, beyond the order of sums', () => {
    const [whole, cut] = [end(5, 1000), end(5, 2)];
    expect(whole.params.some((p, i) => p !== numbers(32, 5)[i])).toBe(true);
    whole.params.forEach((p, i) => {
      expect(Math.abs(p - cut.params[i])).toBeLessThanOrEqual(1e-9);
    });
  });
});

test('L-BFGS crosses the Rosenbrock valley in a few dozen steps', () => {
  const run = runOptimizer(lbfgs, lbfgs.options.parse({}), tensorTable([2]), Float64Array.from([-1.2, 1]));
  for (let t = 0; t < 60; t++) run.step(rosenbrock, 1);
  expect(Math.hypot(run.params[0] - 1, run.params[1] - 1)).toBeLessThanOrEqual(1e-6);
});

test('Muon makes the step of a matrix nearly orthogonal', () => {
  const params = new Float64Array(16);
  const run = runOptimizer(muon, { momentum: 0 }, tensorTable([3, 5]), params);
  const gradient = numbers(15, 9);
  run.step((_, grad) => {
    grad?.set(gradient);
    return 0;
  }, 1);
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      let inner = 0;
      for (let k = 0; k < 5; k++) inner += params[i * 5 + k] * params[j * 5 + k];
      if (i === j) expect(Math.abs(inner - 1)).toBeLessThan(0.5);
      else expect(Math.abs(inner)).toBeLessThan(0.35);
    }
  }
});

test('SAM takes the gradient at the worst point nearby and moves from where it was', () => {
  const def = sam(SGD);
  const run = runOptimizer(def, def.options.parse({ rho: 0.5 }), tensorTable([1]), Float64Array.of(3));
  run.step(parabola, 0.1);
  expect(run.params[0]).toBeCloseTo(3 - 0.1 * 2 * (3 + 0.5 - 1), 12);
});

test('docs/optimizer-contract.md shows the sketches as they are', () => {
  const page = readFileSync(new URL('../../docs/optimizer-contract.md', import.meta.url), 'utf8');
  const folder = new URL('./sketches/', import.meta.url);
  for (const name of readdirSync(folder)) {
    const code = readFileSync(new URL(name, folder), 'utf8')
      .replace(/^import .*\n/gm, '')
      .trim();
    expect(page.includes(`\`\`\`ts\n${code}\n\`\`\``), `${name} as in the page`).toBe(true);
  }
});
