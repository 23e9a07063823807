import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import {
  adadelta, adagrad, adam, adamax, adamw, asgd, momentum, nesterov, type OptimizerDescription, radam, rmsprop, rprop, sgd,
} from '../../src/optim/index.ts'; // biome-ignore format: a list
import { type Objective, runOptimizer } from '../../src/optim/run.ts';
import { kernelMachines } from './kernel-machine.ts';
import { tensorTable } from './vectors.ts';

/**
 * Trajectories of PyTorch 1.13.1 in float64, written by Debian 12's python3-torch: p0 and g_t[i] = sin(0.7 t + i) (1 + 0.3 i)
 * for t = 1..10, torch.optim with the keyword arguments in `kw`, the parameters after steps 1, 2, 5 and 10.
 */
interface Golden {
  p0: number[];
  steps: Record<string, { kw: Record<string, unknown>; rows: number[][]; average?: number[] }>;
}
const read = (name: string): Golden =>
  JSON.parse(readFileSync(new URL(`../golden/${name}-pytorch-1.13.json`, import.meta.url), 'utf8'));
const first = read('optimizers');
/** By scripts/golden/optimizers.py; the same start and gradients. */
const golden: Golden = { p0: first.p0, steps: { ...first.steps, ...read('optimizers-more').steps } };

/** A new optimizer adds its row. The left column names the PyTorch run; several rows may share one. */
const ROWS: readonly (readonly [string, OptimizerDescription])[] = [
  ['sgd', sgd({ lr: 0.1 })],
  ['sgd_mom', sgd({ lr: 0.1, momentum: 0.9 })],
  ['sgd_mom', momentum({ lr: 0.1 })],
  ['sgd_mom_damp_wd', sgd({ lr: 0.1, momentum: 0.9, dampening: 0.1, weightDecay: 0.01 })],
  ['sgd_mom_damp_wd', momentum({ lr: 0.1, dampening: 0.1, weightDecay: 0.01 })],
  ['sgd_nesterov', sgd({ lr: 0.1, momentum: 0.9, nesterov: true })],
  ['sgd_nesterov', nesterov({ lr: 0.1 })],
  ['adagrad', adagrad({ lr: 0.1 })],
  ['adagrad_acc_lrdecay', adagrad({ lr: 0.1, initialAccumulator: 0.1, lrDecay: 0.05 })],
  ['rmsprop', rmsprop()],
  ['rmsprop_centered_mom', rmsprop({ alpha: 0.9, centered: true, momentum: 0.9 })],
  ['adam', adam({ lr: 0.01 })],
  ['adam_l2', adam({ lr: 0.01, weightDecay: 0.1 })],
  ['adamw', adamw({ lr: 0.01, weightDecay: 0.1 })],
  ['adamw', adam({ lr: 0.01, weightDecay: 0.1, decoupled: true })],
  ['adam_l2', adamw({ lr: 0.01, weightDecay: 0.1, decoupled: false })],
  ['adam_amsgrad', adam({ lr: 0.01, amsgrad: true })],
  ['adamw_amsgrad', adamw({ lr: 0.01, amsgrad: true, weightDecay: 0.1 })],
  ['adadelta', adadelta()],
  ['adadelta_l2', adadelta({ lr: 0.5, rho: 0.8, weightDecay: 0.1 })],
  ['adamax', adamax({ lr: 0.01 })],
  ['adamax_l2', adamax({ lr: 0.01, weightDecay: 0.1 })],
  ['radam', radam({ lr: 0.01 })],
  ['radam_l2', radam({ lr: 0.01, betas: [0.8, 0.9], weightDecay: 0.1 })],
  ['asgd', asgd({ lr: 0.1 })],
  ['asgd_decay', asgd({ lr: 0.1, lambda: 0.05, start: 4, weightDecay: 0.1 })],
  ['rprop', rprop()],
  ['rprop_limits', rprop({ lr: 0.1, etas: [0.6, 1.5], stepSizes: [0.05, 0.2] })],
];

const gradient = (t: number, i: number): number => Math.sin(0.7 * t + i) * (1 + 0.3 * i);

describe.each(ROWS)('%s as %o', (name, description) => {
  const { rows, average } = golden.steps[name];
  const { def, options, schedule } = resolveOptimizer(description);
  const lr = Number(schedule);

  test('follows PyTorch in float64 within 1e-12', () => {
    const run = runOptimizer(def, options, tensorTable([4]), Float64Array.from(golden.p0));
    let t = 0;
    // Twice the gradient and half the scale: gradScale is exact then, and must reach every use of the gradient.
    const objective: Objective = (_, grad) => {
      grad?.forEach((_, i) => {
        grad[i] = 2 * gradient(t, i);
      });
      return 0;
    };
    let worst = 0;
    for (const [step, ...expected] of rows) {
      while (t < step) {
        t++;
        run.step(objective, lr, 0.5);
      }
      expected.forEach((value, i) => {
        worst = Math.max(worst, Math.abs(run.params[i] - value) / Math.abs(value));
      });
    }
    average?.forEach((value, i) => {
      worst = Math.max(worst, Math.abs(run.evalParameters()[i] - value) / Math.abs(value));
    });
    expect(rows.map(([step]) => step)).toEqual([1, 2, 5, 10]);
    expect(worst).toBeLessThanOrEqual(1e-12);
  });

  test.each(kernelMachines)('the fused f32 kernel follows PyTorch, $name', ({ create }) => {
    const machine = create(def, options, tensorTable([4])[0], Float32Array.from(golden.p0));
    let t = 0;
    for (const [step, ...expected] of rows) {
      while (t < step) {
        t++;
        machine.step(
          Float32Array.from({ length: 4 }, (_, i) => 2 * gradient(t, i)),
          lr,
          0.5,
        );
      }
      expected.forEach((value, i) => {
        expect(Math.abs(machine.param()[i] - value)).toBeLessThanOrEqual(2e-6 * Math.max(1, Math.abs(value)));
      });
    }
  });
});
