import { expect, test } from 'vitest';
import { OPTIMIZERS, resolveOptimizer } from '../../src/optim/catalogue.ts';
import type { OptimizerDescription } from '../../src/optim/contract.ts';
import * as optim from '../../src/optim/index.ts';

const { adam, adamw, adadelta, adagrad, adamax, asgd, momentum, nadam, nesterov, radam, rmsprop, rprop, sgd } = optim;
const { warmupCosine } = optim;

test.each([
  [sgd({ lr: 1 }), { momentum: 0, dampening: 0, nesterov: false, weightDecay: 0 }, 1],
  [momentum({ lr: 1 }), { momentum: 0.9, dampening: 0, nesterov: false, weightDecay: 0 }, 1],
  [nesterov({ lr: 1 }), { momentum: 0.9, dampening: 0, nesterov: true, weightDecay: 0 }, 1],
  [adagrad(), { lrDecay: 0, weightDecay: 0, initialAccumulator: 0, eps: 1e-10, epsInside: false }, 0.01],
  [rmsprop(), { alpha: 0.99, eps: 1e-8, momentum: 0, centered: false, weightDecay: 0, epsInside: false }, 0.01],
  [adam(), { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, decoupled: false, amsgrad: false }, 0.001],
  [adamw(), { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, decoupled: true }, 0.001],
  [adadelta(), { rho: 0.9, eps: 1e-6, weightDecay: 0 }, 1],
  [adamax(), { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 }, 0.002],
  [nadam(), { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, momentumDecay: 0.004 }, 0.002],
  [radam(), { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 }, 0.001],
  [asgd(), { lambda: 1e-4, alpha: 0.75, start: 1e6, weightDecay: 0 }, 0.01],
  [rprop(), { etas: [0.5, 1.2], stepSizes: [1e-6, 50] }, 0.01],
])("defaults of %o are PyTorch's", (description, options, lr) => {
  const resolved = resolveOptimizer(description);
  expect(resolved.options).toMatchObject(options);
  expect(resolved.schedule).toBe(lr);
  expect(resolved.def).toBe(OPTIMIZERS[description.kind]);
});

test('descriptions are plain data, with what was given and nothing else', () => {
  const description = adam({ lr: warmupCosine({ peak: 1e-3, warmupSteps: 100 }), eps: undefined });
  expect(description).toEqual({ kind: 'adam', lr: { kind: 'warmupCosine', peak: 1e-3, warmupSteps: 100 } });
  expect(Object.keys(description)).toEqual(['kind', 'lr']);
  expect(structuredClone(description)).toEqual(description);
  expect(resolveOptimizer(JSON.parse(JSON.stringify(description)))).toEqual(resolveOptimizer(description));
});

test('each row of the catalogue is complete', () => {
  for (const [kind, def] of Object.entries(OPTIMIZERS)) {
    expect(def.kind).toBe(kind);
    expect(def.scalarNames.slice(0, 2)).toEqual(['gradScale', 'lr']);
    const { options } = resolveOptimizer({ kind, lr: 0.5 });
    const scalars = new Float64Array(def.scalarNames.length).fill(Number.NaN);
    const info = { step: 1, lr: 0.5, gradScale: 0.25, options };
    def.scalars(info, scalars, { ...def.state }, new Float64Array(def.measures ?? 0));
    expect([...scalars].every(Number.isFinite)).toBe(true);
    expect([...scalars.subarray(0, 2)]).toEqual([0.25, 0.5]);
    expect(typeof Reflect.get(optim, kind)).toBe('function');
  }
});

const raw = (description: unknown): OptimizerDescription => description as OptimizerDescription;

test.each([
  [raw({ kind: 'adma', lr: 1 }), "gradientNoise, got 'adma'; did you mean 'adam'?"],
  [raw({ kind: 'toString', lr: 1 }), 'optimizer.kind'],
  [raw({ kind: '__proto__', lr: 1 }), 'optimizer.kind'],
  [raw('adam'), 'optimizer: expected an optimizer such as adam({ lr: 0.001 }), got "adam"'],
  [raw(undefined), 'optimizer: expected an optimizer such as adam({ lr: 0.001 }), got nothing'],
  [raw({ kind: 'adam', lr: 1, weight_decay: 1 }), "unknown option 'weight_decay'; did you mean 'weightDecay'?"],
  [raw({ kind: 'adam', lrr: 1 }), "unknown option 'lrr'; did you mean 'lr'?"],
  [raw({ kind: 'nesterov', lr: 1, dampening: 0.1 }), "unknown option 'dampening'"],
  [raw({ kind: 'momentum', lr: 1, momentun: 0.1 }), "did you mean 'momentum'"],
  [raw({ kind: 'sgd' }), 'optimizer.lr: expected a learning rate'],
  [adam({ lr: 0 }), 'optimizer.lr: expected a number > 0, got 0'],
  [adam({ lr: warmupCosine({ peak: -1, warmupSteps: 1 }) }), 'optimizer.lr.peak: expected a number > 0, got -1'],
  [adam({ betas: [0.9, 1] }), 'optimizer.betas[1]: expected a number < 1, got 1'],
  [adam({ betas: [-0.1, 0.9] }), 'optimizer.betas[0]: expected a number >= 0, got -0.1'],
  [raw({ kind: 'adam', lr: 1, betas: [0.9] }), 'optimizer.betas: expected a list of at least 2 values, got [0.9]'],
  [raw({ kind: 'adam', lr: 1, betas: 0.9 }), 'optimizer.betas: expected a list, got 0.9'],
  [adam({ eps: 0 }), 'optimizer.eps: expected a number > 0, got 0'],
  [adam({ weightDecay: Number.NaN }), 'optimizer.weightDecay: expected a finite number, got NaN'],
  [sgd({ lr: 1, momentum: 1 }), 'optimizer.momentum: expected a number < 1, got 1'],
  [
    sgd({ lr: 1, nesterov: true }),
    'optimizer.nesterov: expected true only with momentum > 0 and dampening 0, got true',
  ],
  [sgd({ lr: 1, nesterov: true, momentum: 0.9, dampening: 0.1 }), 'optimizer.nesterov'],
  [raw({ kind: 'rmsprop', lr: 1, centered: 1 }), 'optimizer.centered: expected a boolean, got 1'],
])('refuses %o', (description, message) => {
  expect(() => resolveOptimizer(description)).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
  expect(() => resolveOptimizer(description)).toThrow(message);
});

test('options that would vanish are refused where they are written', () => {
  expect(() => Reflect.apply(adam, undefined, [0.001])).toThrow(
    'adam(...): expected an object with options, got 0.001',
  );
  expect(() => Reflect.apply(sgd, undefined, [])).toThrow('optimizer.lr: expected a learning rate');
});
