import { describe, expect, test } from 'vitest';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import {
  adabelief, adafactor, adan, lamb, lars, lion, nadam, nadamw, novograd, type OptimizerDescription, prodigy, scheduleFreeAdamw,
  scheduleFreeSgd, sophia, swats, yogi,
} from '../../src/optim/index.ts'; // biome-ignore format: a list
import { runOptimizer } from '../../src/optim/run.ts';
import { kernelMachines } from './kernel-machine.ts';
import { type Paper, papers } from './papers.ts';
import { numbers, tensorTable } from './vectors.ts';

const adam = { b1: 0.9, b2: 0.999, eps: 1e-8 };

/** What the paper says, as papers.ts has it, and our description; on a tensor of this shape. */
const ROWS: [name: string, paper: Paper, description: OptimizerDescription, shape?: readonly number[]][] = [
  ['nadam', papers.nadam(6, { lr: 0.01, ...adam, psi: 0.004 }), nadam({ lr: 0.01 })],
  ['nadam, L2', papers.nadam(6, { lr: 0.01, ...adam, psi: 1, l2: 0.1 }), nadam({ lr: 0.01, momentumDecay: 1, weightDecay: 0.1 })],
  ['nadamw', papers.nadam(6, { lr: 0.01, ...adam, psi: 0.004, decay: 0.1 }), nadamw({ lr: 0.01, weightDecay: 0.1 })],
  ['nadam as in optax', papers.nadamConstant(6, { lr: 0.01, ...adam }), nadam({ lr: 0.01, compat: 'optax' })],
  ['lion', papers.lion(6, { lr: 0.01, b1: 0.9, b2: 0.99, decay: 0.1 }), lion({ lr: 0.01, weightDecay: 0.1 })],
  ['adabelief', papers.adabelief(6, { lr: 0.01, ...adam, eps: 1e-10, decay: 0.1 }), adabelief({ lr: 0.01, eps: 1e-10, weightDecay: 0.1 })],
  ['yogi', papers.yogi(6, { lr: 0.01, ...adam, eps: 1e-3, start: 1e-6 }), yogi()],
  ['adan', papers.adan(6, { lr: 0.01, b1: 0.98, b2: 0.92, b3: 0.99, eps: 1e-8, decay: 0.1, proximal: 1 }), adan({ lr: 0.01, weightDecay: 0.1 })],
  ['adan, not proximal', papers.adan(6, { lr: 0.01, b1: 0.9, b2: 0.8, b3: 0.99, eps: 1e-8, decay: 0.1, proximal: 0 }), adan({ lr: 0.01, betas: [0.9, 0.8, 0.99], weightDecay: 0.1, proximal: false })],
  ['sophia', papers.sophia(6, { lr: 0.01, b1: 0.9, b2: 0.9, rho: 4, decay: 0.1, interval: 3 }), sophia({ lr: 0.01, betas: [0.9, 0.9], rho: 4, interval: 3 })],
  ['scheduleFreeSgd', papers.scheduleFree(6, { lr: 0.1, beta: 0.9, decay: 0.1 }), scheduleFreeSgd({ lr: 0.1, weightDecay: 0.1 })],
  ['scheduleFreeAdamw', papers.scheduleFree(6, { lr: 0.01, beta: 0.9, decay: 0.01, adam: 1, b2: 0.999, eps: 1e-8 }), scheduleFreeAdamw({ lr: 0.01 })],
  ['prodigy', papers.prodigy(6, { ...adam, d0: 1e-2 }), prodigy({ d0: 1e-2 })],
  ['prodigy, corrected', papers.prodigy(6, { ...adam, d0: 1e-2, corrected: 1 }), prodigy({ d0: 1e-2, biasCorrection: true })],
  ['swats', papers.swats(6, { lr: 0.01, ...adam, tolerance: 1e-9 }), swats({ lr: 0.01 })],
  ['swats, switching', papers.swats(6, { lr: 0.01, ...adam, tolerance: 0.02 }), swats({ lr: 0.01, tolerance: 0.02 })],
  ['lamb', papers.lamb(6, { lr: 0.01, ...adam, decay: 0.1 }), lamb({ lr: 0.01, eps: 1e-8, weightDecay: 0.1 }), [2, 3]],
  ['lars', papers.lars(6, { lr: 2, momentum: 0.9, trust: 0.01, decay: 0.1 }), lars({ lr: 2, trustCoefficient: 0.01, weightDecay: 0.1 }), [2, 3]],
  ['novograd', papers.novograd(6, { lr: 0.01, b1: 0.95, b2: 0.98, eps: 1e-8, decay: 0.1 }), novograd({ weightDecay: 0.1 }), [6]],
  ['adafactor', papers.adafactor(6, { lr: 0.05, rows: 2, decayRate: 0.8, eps1: 1e-30, eps2: 1e-3, clip: 0.5 }), adafactor({ lr: 0.05, clipThreshold: 0.5 }), [2, 3]],
]; // biome-ignore format: a table

const START = numbers(6, 5).map((x) => x + 0.1);
const gradient = (t: number) => numbers(6, 100 + t).map((x, i) => x * (1 + i) + 0.2);
/** The largest relative difference in all parameters, after each of 20 updates. */
const worst = (actual: ArrayLike<number>, expected: readonly number[]) =>
  expected.reduce((w, x, i) => Math.max(w, Math.abs(actual[i] - x) / Math.max(Math.abs(x), 1e-3)), 0);

describe.each(ROWS.map(([name, paper, description, shape = [6]]) => ({ name, paper, description, shape })))(
  '$name',
  (row) => {
    const { paper, description, shape } = row;
    const { def, options, schedule } = resolveOptimizer(description);
    const lr = Number(schedule);
    const expected: number[][] = [];
    const p = [...START];
    for (let t = 1; t <= 20; t++) {
      paper.update(p, gradient(t), t);
      expected.push([...p]);
    }

    test('follows the paper in float64 within 1e-12', () => {
      const run = runOptimizer(def, options, tensorTable(shape), Float64Array.from(START));
      expected.forEach((row, i) => {
        run.step((_, grad) => Number(grad?.set(gradient(i + 1).map((g) => 4 * g))), lr, 0.25);
        expect(worst(run.params, row)).toBeLessThanOrEqual(1e-12);
      });
      if ('average' in paper && typeof paper.average === 'function') {
        expect(worst(run.evalParameters(), paper.average())).toBeLessThanOrEqual(1e-12);
      }
    });

    if (def.kernel && !def.measure) {
      test.each(kernelMachines)('the fused f32 kernel follows the paper, $name', ({ create }) => {
        const machine = create(def, options, tensorTable(shape)[0], Float32Array.from(START));
        expected.forEach((row, i) => {
          machine.step(
            Float32Array.from(gradient(i + 1), (g) => 4 * g),
            lr,
            0.25,
          );
          row.forEach((x, k) => {
            expect(Math.abs(machine.param()[k] - x)).toBeLessThanOrEqual(4e-6 * Math.max(1, Math.abs(x)));
          });
        });
      });
    }
  },
);

test('the two runs of SWATS are of both kinds', () => {
  const runs = [1e-9, 0.02].map((tolerance) => {
    const paper = papers.swats(6, { lr: 0.01, ...adam, tolerance });
    const p = [...START];
    for (let t = 1; t <= 20; t++) paper.update(p, gradient(t), t);
    return paper.switched();
  });
  expect(runs).toEqual([false, true]);
});
