/** Experiments on functions that were made to show one thing; exact, in double precision, in seconds. */
import { log } from '../../kernels/math.ts';
import { OPTIMIZERS } from '../../optim/catalogue.ts';
import type { OptimizerDescription } from '../../optim/contract.ts';
import type { Objective } from '../../optim/run.ts';
import { PURPOSE, randomStream } from '../random.ts';
import type { Cell, Experiment } from './contract.ts';
import { descend, rosenbrock } from './functions.ts';

const RATES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];

export const localMinima: Experiment = {
  id: 'local-minima',
  about:
    'f(x) = (x² - 1)² + 0.3 x has a shallow minimum near 1 and the deeper one near -1. 100 runs from x = 1 of 2,000 steps of SGD, lr 0.05 falling to 0 by a cosine, with normal noise of standard deviation σ in the gradient.',
  run: ({ quick }) => {
    const runs = quick ? 10 : 100;
    const rows = [0, 0.5, 1, 2, 4, 6, 10].map((sigma): Cell[] => {
      let deep = 0;
      for (let seed = 1; seed <= runs; seed++) {
        const random = randomStream(seed, PURPOSE.experiment);
        const noisy: Objective = (p, grad) => {
          if (grad) grad[0] = 4 * p[0] * (p[0] * p[0] - 1) + 0.3 + sigma * random.normal();
          return 0;
        };
        const lr = { kind: 'cosineDecay', initial: 0.05 };
        if (descend({ kind: 'sgd', lr }, noisy, [1], 2000)[0] < 0) deep++;
      }
      return [sigma, runs, deep];
    });
    return { columns: ['sigma', 'runs', 'in the deeper minimum'], rows };
  },
};

/** 0.5 (x² + k y²). */
const ravine =
  (k: number): Objective =>
  (p, grad) => {
    if (grad) {
      grad[0] = p[0];
      grad[1] = k * p[1];
    }
    return 0.5 * (p[0] * p[0] + k * p[1] * p[1]);
  };

export const ravineSteps: Experiment = {
  id: 'ravine',
  about:
    'Steps until f = ½ (x² + κ y²) from (1, 1) stays below 1e-12, with the best constants of theory: descent lr 2 / (1 + κ); momentum lr 4 / (1 + √κ)², β = ((√κ - 1) / (√κ + 1))²; Nesterov lr 1 / κ, β = (√κ - 1) / (√κ + 1).',
  run: () => {
    const rows = [10, 100, 1000, 10_000].flatMap((k) => {
      const root = Math.sqrt(k);
      const q = (root - 1) / (root + 1);
      const rules: OptimizerDescription[] = [
        { kind: 'sgd', lr: 2 / (1 + k) },
        { kind: 'momentum', lr: 4 / ((1 + root) * (1 + root)), momentum: q * q },
        { kind: 'nesterov', lr: 1 / k, momentum: q },
      ];
      return rules.map((rule): Cell[] => {
        const objective = ravine(k);
        let last = 0;
        descend(rule, objective, [1, 1], 300_000, (p, step) => {
          if (objective(p) > 1e-12) last = step;
          return step - last > 500;
        });
        return [rule.kind, k, last + 1];
      });
    });
    return { columns: ['optimizer', 'kappa', 'steps'], rows };
  },
};

export const overshoot: Experiment = {
  id: 'overshoot',
  about:
    'f = ½ x² from x = 1 with lr 0.1 and the same β: how far beyond the minimum a run gets, as a share of the start.',
  run: () => {
    const rows = [0.8, 0.9, 0.95, 0.99].flatMap((beta) =>
      ['sgd', 'momentum', 'nesterov'].map((kind): Cell[] => {
        let beyond = 0;
        const rule = { kind, lr: 0.1, ...(kind !== 'sgd' && { momentum: beta }) };
        descend(rule, ravine(1), [1, 0], 1000, (p) => {
          beyond = Math.max(beyond, -p[0]);
          return false;
        });
        return [kind, beta, beyond];
      }),
    );
    return { columns: ['optimizer', 'beta', 'overshoot'], rows };
  },
};

export const rateDecay: Experiment = {
  id: 'rate-decay',
  about:
    'Gradient 10 for 500 steps, then 0.1. The effective learning rate is the step divided by the gradient, as a share of the first one: after step 500, and after 500, 5,000 and 50,000 steps of the small gradient.',
  run: () => {
    const rows = ['adagrad', 'rmsprop'].flatMap((kind) => {
      let step = 0;
      const force: Objective = (_, grad) => {
        step += 1;
        if (grad) grad[0] = step <= 500 ? 10 : 0.1;
        return 0;
      };
      const found: Cell[][] = [];
      let before = 0;
      let first = 0;
      descend({ kind, lr: 0.01 }, force, [0], 50_500, (p, at) => {
        const rate = (before - p[0]) / (at <= 500 ? 10 : 0.1);
        before = p[0];
        if (at === 1) first = rate;
        if ([500, 1000, 5500, 50_500].includes(at)) found.push([kind, at, rate / first]);
        return false;
      });
      return found;
    });
    return { columns: ['optimizer', 'step', 'rate / first rate'], rows };
  },
};

const MOVERS = ['sgd', 'momentum', 'adagrad', 'rmsprop', 'adam'];

export const movingTarget: Experiment = {
  id: 'moving-target',
  about:
    'The minimum of ½ Σ c_i (x_i - m_i)², c = 1, 10, 100, walks: m_i gets a normal step of 0.02 each time; the gradient has normal noise of 0.1 c_i. Even: so for 4,000 steps. Calming: the gradient is multiplied by 100 in the first 2,000 of them. Mean squared distance after step 500; each optimizer with the best of thirteen learning rates on seed 1, then on seeds 101 to 120.',
  run: ({ quick }) => {
    const curvature = [1, 10, 100];
    const [steps, warm] = [4000, 500];
    const distance = (calming: boolean, kind: string, lr: number, seed: number): number => {
      const random = randomStream(seed, PURPOSE.experiment);
      const target = [0, 0, 0];
      let step = 0;
      let sum = 0;
      let broke = false;
      const objective: Objective = (p, grad) => {
        const scale = calming && step < steps / 2 ? 100 : 1;
        step += 1;
        for (let i = 0; i < 3; i++) {
          target[i] += 0.02 * random.normal();
          if (grad) grad[i] = scale * curvature[i] * (p[i] - target[i] + 0.1 * random.normal());
        }
        return 0;
      };
      descend({ kind, lr }, objective, [0, 0, 0], steps, (p, at) => {
        if (at > warm) for (let i = 0; i < 3; i++) sum += (p[i] - target[i]) * (p[i] - target[i]);
        broke ||= !p.every(Number.isFinite);
        return broke;
      });
      return broke ? Number.POSITIVE_INFINITY : sum / (steps - warm);
    };
    const seeds = quick ? 2 : 20;
    const rates = [0.000003, 0.00001, 0.00003, 0.0001, ...RATES];
    const rows = [false, true].flatMap((calming) =>
      MOVERS.flatMap((kind) => {
        const lr = bestOf(rates, (rate) => distance(calming, kind, rate, 1));
        return Array.from({ length: seeds }, (_, i): Cell[] => {
          const seed = 101 + i;
          return [calming ? 'calming' : 'even', kind, lr, seed, distance(calming, kind, lr, seed)];
        });
      }),
    );
    return { columns: ['gradients', 'optimizer', 'lr', 'seed', 'squared distance'], rows };
  },
};

export const biasCorrection: Experiment = {
  id: 'bias-correction',
  about: 'Adam (betas 0.9, 0.999, lr 1) on a constant gradient of 1: length of a step in units of lr.',
  run: () => {
    const constant: Objective = (_, grad) => {
      if (grad) grad[0] = 1;
      return 0;
    };
    const rows = [true, false].flatMap((corrected) => {
      const found: Cell[][] = [];
      let before = 0;
      descend({ kind: 'adam', lr: 1, biasCorrection: corrected }, constant, [0], 5000, (p, step) => {
        if ([1, 3, 10, 30, 100, 1000, 5000].includes(step)) found.push([corrected, step, before - p[0]]);
        before = p[0];
        return false;
      });
      return found;
    });
    return { columns: ['bias correction', 'step', 'length'], rows };
  },
};

export const wilson: Experiment = {
  id: 'wilson',
  about:
    'Wilson et al. 2017, section 3.3: 200 rows, labels +1 (60 %) and -1; features: the label, 1, 1, and features that no other row has (one for a row of +1, five for a row of -1). Least squares by full batches from zero until all training labels are right and the loss is below 1e-3 (at most 20,000 steps); then 1,000 fresh rows.',
  run: ({ quick }) => {
    const rules: OptimizerDescription[] = [
      { kind: 'sgd', lr: 0.1 },
      { kind: 'momentum', lr: 0.02 },
      { kind: 'adagrad', lr: 0.05 },
      { kind: 'rmsprop', lr: 0.001 },
      { kind: 'adam', lr: 0.001 },
    ];
    const rows = Array.from({ length: quick ? 1 : 5 }, (_, i) => i + 1).flatMap((seed) =>
      rules.map((rule): Cell[] => [rule.kind, seed, ...wilsonErrors(rule, seed)]),
    );
    return { columns: ['optimizer', 'seed', 'training loss', 'training error', 'test error'], rows };
  },
};

function wilsonErrors(rule: OptimizerDescription, seed: number): [number, number, number] {
  const random = randomStream(seed, PURPOSE.experiment);
  const count = 200;
  const labels = Array.from({ length: count }, () => (random.uniform() < 0.6 ? 1 : -1));
  const own = labels.map((y) => (y > 0 ? 1 : 5));
  const first = own.map((_, i) => 3 + own.slice(0, i).reduce((a, b) => a + b, 0));
  const size = 3 + own.reduce((a, b) => a + b, 0);
  const predict = (w: ArrayLike<number>, i: number): number => {
    let sum = w[0] * labels[i] + w[1] + w[2];
    for (let j = 0; j < own[i]; j++) sum += w[first[i] + j];
    return sum;
  };
  let loss = 0;
  const objective: Objective = (w, grad) => {
    loss = 0;
    grad?.fill(0);
    for (let i = 0; i < count; i++) {
      const residual = predict(w, i) - labels[i];
      loss += (0.5 * residual * residual) / count;
      if (!grad) continue;
      const g = residual / count;
      grad[0] += g * labels[i];
      grad[1] += g;
      grad[2] += g;
      for (let j = 0; j < own[i]; j++) grad[first[i] + j] += g;
    }
    return loss;
  };
  const errors = (w: ArrayLike<number>) => labels.filter((y, i) => predict(w, i) * y <= 0).length / count;
  const w = descend(rule, objective, new Array<number>(size).fill(0), 20_000, (p) => loss < 1e-3 && errors(p) === 0);
  let wrong = 0;
  for (let i = 0; i < 1000; i++) {
    const y = random.uniform() < 0.6 ? 1 : -1;
    if ((w[0] * y + w[1] + w[2]) * y <= 0) wrong++; // features that training never saw have weight 0
  }
  return [loss, errors(w), wrong / 1000];
}

export const saddle: Experiment = {
  id: 'saddle',
  about:
    'f = ½ x² - ½ y² + ¼ y⁴ has a saddle at 0 and minima at y = ±1. Runs of 2,000 steps of SGD with lr 0.05 from (1, 0), where the gradient along y is exactly 0, with normal noise of standard deviation σ in the gradient.',
  run: ({ quick }) => {
    const rows = [0, 1e-6, 1e-3, 0.1].flatMap((sigma) =>
      Array.from({ length: quick ? 2 : 20 }, (_, i): Cell[] => {
        const random = randomStream(i + 1, PURPOSE.experiment);
        const noisy: Objective = (p, grad) => {
          if (grad) {
            grad[0] = p[0] + sigma * random.normal();
            grad[1] = p[1] * p[1] * p[1] - p[1] + sigma * random.normal();
          }
          return 0;
        };
        let escaped = Number.POSITIVE_INFINITY;
        descend({ kind: 'sgd', lr: 0.05 }, noisy, [1, 0], 2000, (p, step) => {
          if (Math.abs(p[1]) > 0.9) escaped = step;
          return Number.isFinite(escaped);
        });
        return [sigma, i + 1, escaped];
      }),
    );
    return { columns: ['sigma', 'seed', 'steps to |y| > 0.9'], rows };
  },
};

/** Optimizers that use more than the gradient's history: curvature. */
const SECOND_ORDER = ['lbfgs', 'sophia', 'shampoo', 'soap'];

export const secondOrder: Experiment = {
  id: 'second-order',
  about:
    "Rosenbrock's function from (-1.2, 1): steps until f < 1e-6, at most 50,000; each optimizer with the best of nine learning rates (L-BFGS: 1).",
  run: ({ quick }) => {
    const kinds = ['sgd', 'momentum', 'nesterov', 'rmsprop', 'adam', ...SECOND_ORDER].filter((kind) =>
      Object.hasOwn(OPTIMIZERS, kind),
    );
    const limit = quick ? 2000 : 50_000;
    const rows = kinds.map((kind): Cell[] => {
      const steps = (lr: number): number => {
        let reached = Number.POSITIVE_INFINITY;
        descend({ kind, lr }, rosenbrock, [-1.2, 1], limit, (p, step) => {
          if (rosenbrock(p) < 1e-6) reached = step;
          return Number.isFinite(reached) || !Number.isFinite(p[0]);
        });
        return reached;
      };
      const rates = kind === 'lbfgs' ? [1] : RATES.concat(1e-4).sort((a, b) => a - b);
      const lr = bestOf(rates, steps);
      return [kind, lr, steps(lr)];
    });
    return { columns: ['optimizer', 'lr', 'steps'], rows };
  },
};

/** The first of the values where `cost` is smallest. */
function bestOf(values: readonly number[], cost: (value: number) => number): number {
  return values.map((value) => ({ value, cost: cost(value) })).reduce((a, b) => (b.cost < a.cost ? b : a)).value;
}

/** Slope of log y over log x by least squares: the power with which y grows. */
export function power(points: readonly (readonly [number, number])[]): number {
  const [xs, ys] = [points.map(([x]) => log(x)), points.map(([, y]) => log(y))];
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const covariance = xs.reduce((sum, x, i) => sum + (x - mx) * (ys[i] - my), 0);
  return covariance / xs.reduce((sum, x) => sum + (x - mx) * (x - mx), 0);
}
