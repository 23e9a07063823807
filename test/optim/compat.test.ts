import { expect, test } from 'vitest';
import { OPTIMIZERS, resolveOptimizer, WRAPPERS } from '../../src/optim/catalogue.ts';
import type { Compat, OptimizerDescription } from '../../src/optim/contract.ts';
import {
  adabelief, adadelta, adafactor, adagrad, adam, adamax, adamw, lamb, lars, lion, momentum, muon, nadam, nadamw, nesterov, novograd, radam,
  rmsprop, scheduleFreeAdamw, sgd, yogi,
} from '../../src/optim/index.ts'; // biome-ignore format: a list
import { runOptimizer } from '../../src/optim/run.ts';
import { numbers, tensorTable } from './vectors.ts';

/**
 * The rules of Keras 3 and optax as their sources have them (keras/src/optimizers, optax/_src: alias.py, transform.py), in f64, without
 * anything of src/optim. What `compat` sets must follow them to the last bit but rounding, under a learning rate that changes
 * and with a weight decay where the framework has one.
 */
type Rule = (p: number[], g: readonly number[], lr: number, t: number) => void;
const zeros = () => new Array<number>(N).fill(0);
const norm = (x: readonly number[]) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));
const rms = (x: readonly number[]) => norm(x) / Math.sqrt(x.length);
const [ROWS, COLUMNS] = [2, 3];
const N = ROWS * COLUMNS;

/** Every optimizer of Keras: `_apply_weight_decay` on the variable, then its `update_step`. */
const keras =
  (decay: number, step: Rule): Rule =>
  (p, g, lr, t) => {
    p.forEach((x, i) => {
      p[i] = x - x * decay * lr;
    });
    step(p, g, lr, t);
  };

const kerasRules = {
  sgd(beta: number, nesterov: boolean): Rule {
    const m = zeros();
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        m[i] = m[i] * beta - g[i] * lr;
        if (beta === 0) p[i] -= g[i] * lr;
        else p[i] += nesterov ? m[i] * beta - g[i] * lr : m[i];
      }
    };
  },
  adagrad(): Rule {
    const sum = zeros().fill(0.1);
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        sum[i] += g[i] ** 2;
        p[i] -= (lr * g[i]) / Math.sqrt(sum[i] + 1e-7);
      }
    };
  },
  rmsprop(beta: number, centered: boolean): Rule {
    const [v, a, m] = [zeros(), zeros(), zeros()];
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        v[i] = 0.9 * v[i] + 0.1 * g[i] ** 2;
        a[i] = 0.9 * a[i] + 0.1 * g[i];
        const increment = (lr * g[i]) / Math.sqrt(v[i] - (centered ? a[i] ** 2 : 0) + 1e-7);
        m[i] = beta * m[i] + increment;
        p[i] -= beta > 0 ? m[i] : increment;
      }
    };
  },
  adadelta(): Rule {
    const [u, d] = [zeros(), zeros()];
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        u[i] = 0.95 * u[i] + 0.05 * g[i] ** 2;
        const delta = (-Math.sqrt(d[i] + 1e-7) * g[i]) / Math.sqrt(u[i] + 1e-7);
        d[i] = 0.95 * d[i] + 0.05 * delta ** 2;
        p[i] += lr * delta;
      }
    };
  },
  adam(amsgrad: boolean): Rule {
    const [m, v, most] = [zeros(), zeros(), zeros()];
    return (p, g, lr, t) => {
      const alpha = (lr * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t);
      for (let i = 0; i < N; i++) {
        m[i] += (g[i] - m[i]) * 0.1;
        v[i] += (g[i] ** 2 - v[i]) * 0.001;
        most[i] = Math.max(most[i], v[i]);
        p[i] -= (m[i] * alpha) / (Math.sqrt(amsgrad ? most[i] : v[i]) + 1e-7);
      }
    };
  },
  adamax(): Rule {
    const [m, u] = [zeros(), zeros()];
    return (p, g, lr, t) => {
      for (let i = 0; i < N; i++) {
        m[i] += (g[i] - m[i]) * 0.1;
        u[i] = Math.max(0.999 * u[i], Math.abs(g[i]));
        p[i] -= (lr * m[i]) / ((1 - 0.9 ** t) * (u[i] + 1e-7));
      }
    };
  },
  nadam(): Rule {
    const [m, v] = [zeros(), zeros()];
    let product = 1;
    return (p, g, lr, t) => {
      const [now, next] = [t, t + 1].map((k) => 0.9 * (1 - 0.5 * 0.96 ** k));
      product *= now;
      for (let i = 0; i < N; i++) {
        m[i] += (g[i] - m[i]) * 0.1;
        v[i] += (g[i] ** 2 - v[i]) * 0.001;
        const hat = (next * m[i]) / (1 - product * next) + ((1 - now) * g[i]) / (1 - product);
        p[i] -= (hat * lr) / (Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-7);
      }
    };
  },
  lion(): Rule {
    const m = zeros();
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        p[i] -= lr * Math.sign(m[i] * 0.9 + g[i] * (1 - 0.9));
        m[i] = m[i] * 0.99 + g[i] * (1 - 0.99);
      }
    };
  },
  lamb(): Rule {
    const [m, v] = [zeros(), zeros()];
    return (p, g, lr, t) => {
      const u = g.map((x, i) => {
        m[i] += (x - m[i]) * 0.1;
        v[i] += (x ** 2 - v[i]) * 0.001;
        return m[i] / (1 - 0.9 ** t) / (Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-7);
      });
      const ratio = norm(p) / norm(u);
      for (let i = 0; i < N; i++) p[i] -= ratio * lr * u[i];
    };
  },
  adafactor: (): Rule => factored((p, lr, t) => Math.max(1e-3, rms(p)) * Math.min(lr, 1 / Math.sqrt(t)), true),
};

/** Adafactor on a matrix of two rows; `factored` false: a side is too short, so the second moment is full. */
function factored(rate: (p: number[], lr: number, t: number) => number, factored: boolean): Rule {
  const [r, c, v] = [[0, 0], [0, 0, 0], zeros()];
  return (p, g, lr, t) => {
    const beta = 1 - t ** -0.8;
    const square = g.map((x) => x * x + 1e-30);
    const mean = (x: number[]) => x.reduce((a, b) => a + b, 0) / x.length;
    for (let i = 0; i < ROWS; i++) {
      r[i] = beta * r[i] + (1 - beta) * mean(square.slice(i * COLUMNS, (i + 1) * COLUMNS));
    }
    for (let j = 0; j < COLUMNS; j++) {
      c[j] = beta * c[j] + (1 - beta) * mean(square.filter((_, k) => k % COLUMNS === j));
    }
    const u = g.map((x, k) => {
      v[k] = beta * v[k] + (1 - beta) * square[k];
      return x / Math.sqrt(factored ? (r[Math.floor(k / COLUMNS)] / mean(r)) * c[k % COLUMNS] : v[k]);
    });
    const step = rate(p, lr, t) / Math.max(1, rms(u));
    for (let k = 0; k < N; k++) p[k] -= step * u[k];
  };
}

/** scale_by_adam and its relatives: what an element's step is before the decay and the rate. */
const optaxRules = {
  adagrad(): Rule {
    const sum = zeros().fill(0.1);
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        sum[i] += g[i] ** 2;
        p[i] -= (lr * g[i]) / Math.sqrt(sum[i] + 1e-7);
      }
    };
  },
  /** chain(scale_by_rms(eps_in_sqrt), scale_by_learning_rate, trace) */
  rmsprop(beta: number): Rule {
    const [nu, trace] = [zeros(), zeros()];
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        nu[i] = 0.9 * nu[i] + 0.1 * g[i] ** 2;
        trace[i] = beta * trace[i] + (lr * g[i]) / Math.sqrt(nu[i] + 1e-8);
        p[i] -= trace[i];
      }
    };
  },
  /** chain(add_decayed_weights, scale_by_adadelta, scale_by_learning_rate) */
  adadelta(decay: number): Rule {
    const [u, d] = [zeros(), zeros()];
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        const x = g[i] + decay * p[i];
        u[i] = 0.9 * u[i] + 0.1 * x ** 2;
        const delta = (Math.sqrt(d[i] + 1e-6) / Math.sqrt(u[i] + 1e-6)) * x;
        d[i] = 0.9 * d[i] + 0.1 * delta ** 2;
        p[i] -= lr * delta;
      }
    };
  },
  /** chain(scale_by_adam or scale_by_amsgrad, add_decayed_weights, scale_by_learning_rate) */
  adam({ decay = 0, nesterov = false, amsgrad = false }): Rule {
    const [mu, nu, most] = [zeros(), zeros(), zeros()];
    return (p, g, lr, t) => {
      for (let i = 0; i < N; i++) {
        mu[i] = 0.1 * g[i] + 0.9 * mu[i];
        nu[i] = 0.001 * g[i] ** 2 + 0.999 * nu[i];
        const hat = nesterov
          ? (0.9 * mu[i]) / (1 - 0.9 ** (t + 1)) + (0.1 * g[i]) / (1 - 0.9 ** t)
          : mu[i] / (1 - 0.9 ** t);
        const corrected = nu[i] / (1 - 0.999 ** t);
        most[i] = Math.max(most[i], corrected);
        p[i] -= lr * (hat / (Math.sqrt(amsgrad ? most[i] : corrected) + 1e-8) + decay * p[i]);
      }
    };
  },
  radam(b1: number, b2: number): Rule {
    const [mu, nu] = [zeros(), zeros()];
    const inf = 2 / (1 - b2) - 1;
    return (p, g, lr, t) => {
      const ro = inf - (2 * t * b2 ** t) / (1 - b2 ** t);
      const r = Math.sqrt(((ro - 4) * (ro - 2) * inf) / ((inf - 4) * (inf - 2) * ro));
      for (let i = 0; i < N; i++) {
        mu[i] = (1 - b1) * g[i] + b1 * mu[i];
        nu[i] = (1 - b2) * g[i] ** 2 + b2 * nu[i];
        const hat = mu[i] / (1 - b1 ** t);
        p[i] -= lr * (ro >= 5 ? (r * hat) / (Math.sqrt(nu[i] / (1 - b2 ** t)) + 1e-8) : hat);
      }
    };
  },
  lion(): Rule {
    const mu = zeros();
    return (p, g, lr) => {
      for (let i = 0; i < N; i++) {
        p[i] -= lr * (Math.sign((1 - 0.9) * g[i] + 0.9 * mu[i]) + 1e-3 * p[i]);
        mu[i] = (1 - 0.99) * g[i] + 0.99 * mu[i];
      }
    };
  },
  belief(decay: number): Rule {
    const [mu, nu] = [zeros(), zeros()];
    return (p, g, lr, t) => {
      for (let i = 0; i < N; i++) {
        mu[i] = 0.1 * g[i] + 0.9 * mu[i];
        nu[i] = 0.001 * (g[i] - mu[i]) ** 2 + 0.999 * nu[i] + 1e-16;
        const step = mu[i] / (1 - 0.9 ** t) / (Math.sqrt(nu[i] / (1 - 0.999 ** t)) + 1e-16);
        p[i] -= lr * (step + decay * p[i]);
      }
    };
  },
  yogi(): Rule {
    const [mu, nu] = [zeros().fill(1e-6), zeros().fill(1e-6)];
    return (p, g, lr, t) => {
      for (let i = 0; i < N; i++) {
        mu[i] = 0.1 * g[i] + 0.9 * mu[i];
        nu[i] -= (1 - 0.999) * Math.sign(nu[i] - g[i] ** 2) * g[i] ** 2;
        p[i] -= (lr * (mu[i] / (1 - 0.9 ** t))) / (Math.sqrt(nu[i] / (1 - 0.999 ** t)) + 1e-3);
      }
    };
  },
  lamb(decay: number): Rule {
    const [mu, nu] = [zeros(), zeros()];
    return (p, g, lr, t) => {
      const u = g.map((x, i) => {
        mu[i] = 0.1 * x + 0.9 * mu[i];
        nu[i] = 0.001 * x ** 2 + 0.999 * nu[i];
        return mu[i] / (1 - 0.9 ** t) / (Math.sqrt(nu[i] / (1 - 0.999 ** t)) + 1e-6) + decay * p[i];
      });
      const ratio = norm(p) / norm(u);
      for (let i = 0; i < N; i++) p[i] -= lr * ratio * u[i];
    };
  },
  /** chain(add_decayed_weights, scale_by_trust_ratio, scale_by_learning_rate, trace) */
  lars(decay: number, nesterov: boolean): Rule {
    const trace = zeros();
    return (p, g, lr) => {
      const u = g.map((x, i) => x + decay * p[i]);
      const ratio = (0.001 * norm(p)) / norm(u);
      for (let i = 0; i < N; i++) {
        const step = lr * ratio * u[i];
        trace[i] = step + 0.9 * trace[i];
        p[i] -= nesterov ? step + 0.9 * trace[i] : trace[i];
      }
    };
  },
  novograd(decay: number): Rule {
    const mu = zeros();
    let nu = 0;
    return (p, g, lr, t) => {
      nu = t === 1 ? norm(g) ** 2 : 0.75 * norm(g) ** 2 + 0.25 * nu;
      for (let i = 0; i < N; i++) {
        const added = g[i] / (Math.sqrt(nu) + 1e-6) + decay * p[i];
        mu[i] = t === 1 ? added : 0.9 * mu[i] + added;
        p[i] -= lr * mu[i];
      }
    };
  },
  adafactor: (): Rule => factored((p, lr) => lr * Math.max(1e-3, rms(p)), false),
};

const [k, o] = [{ compat: 'keras' }, { compat: 'optax' }] as const;
const decayed = { weightDecay: 0.1 };
const CASES: readonly [OptimizerDescription, Rule][] = [
  [sgd({ lr: 0.1, ...k, ...decayed }), keras(0.1, kerasRules.sgd(0, false))],
  [momentum({ lr: 0.1, ...k, ...decayed }), keras(0.1, kerasRules.sgd(0.9, false))],
  [nesterov({ lr: 0.1, ...k, ...decayed }), keras(0.1, kerasRules.sgd(0.9, true))],
  [adagrad({ ...k, ...decayed }), keras(0.1, kerasRules.adagrad())],
  [rmsprop({ ...k, ...decayed }), keras(0.1, kerasRules.rmsprop(0, false))],
  [rmsprop({ ...k, ...decayed, momentum: 0.9 }), keras(0.1, kerasRules.rmsprop(0.9, false))],
  [rmsprop({ ...k, centered: true, momentum: 0.5 }), kerasRules.rmsprop(0.5, true)],
  [adadelta({ ...k, ...decayed }), keras(0.1, kerasRules.adadelta())],
  [adam({ ...k, ...decayed }), keras(0.1, kerasRules.adam(false))],
  [adam({ ...k, amsgrad: true }), kerasRules.adam(true)],
  [adamw(k), keras(0.004, kerasRules.adam(false))],
  [adamax({ ...k, ...decayed }), keras(0.1, kerasRules.adamax())],
  [nadam({ ...k, ...decayed }), keras(0.1, kerasRules.nadam())],
  [nadamw({ ...k, ...decayed }), keras(0.1, kerasRules.nadam())],
  [lion({ ...k, ...decayed }), keras(0.1, kerasRules.lion())],
  [lamb({ ...k, ...decayed }), keras(0.1, kerasRules.lamb())],
  [adafactor(k), kerasRules.adafactor()], // Keras takes the size of a parameter after the decay, PyTorch and we before
  [adagrad(o), optaxRules.adagrad()],
  [rmsprop(o), optaxRules.rmsprop(0)],
  [rmsprop({ ...o, momentum: 0.9 }), optaxRules.rmsprop(0.9)],
  [adadelta({ ...o, ...decayed }), optaxRules.adadelta(0.1)],
  [adam(o), optaxRules.adam({})],
  [adam({ ...o, amsgrad: true }), optaxRules.adam({ amsgrad: true })],
  [adamw(o), optaxRules.adam({ decay: 1e-4 })],
  [nadam(o), optaxRules.adam({ nesterov: true })],
  [nadamw(o), optaxRules.adam({ nesterov: true, decay: 1e-4 })],
  [radam({ ...o, betas: [0.8, 0.9] }), optaxRules.radam(0.8, 0.9)],
  [lion(o), optaxRules.lion()],
  [adabelief({ ...o, ...decayed }), optaxRules.belief(0.1)],
  [yogi(o), optaxRules.yogi()],
  [lamb({ ...o, ...decayed }), optaxRules.lamb(0.1)],
  [lars({ lr: 5, ...o, ...decayed }), optaxRules.lars(0.1, false)],
  [lars({ lr: 5, ...o, ...decayed, nesterov: true }), optaxRules.lars(0.1, true)],
  [novograd({ ...o, ...decayed }), optaxRules.novograd(0.1)],
  [adafactor(o), optaxRules.adafactor()],
];

const gradient = (t: number) => numbers(N, 300 + t).map((x, i) => x * (1 + i) + 0.1);
/** A rate that rises and falls, so that it matters where it stands. */
const shape = (t: number) => 1 + 0.5 * Math.sin(t);

test.each(CASES)('%o follows the source of the framework within 1e-12', (description, rule) => {
  const { def, options, schedule } = resolveOptimizer(description);
  const p = numbers(N, 8).map((x) => x + 0.2);
  const run = runOptimizer(def, options, tensorTable([ROWS, COLUMNS]), Float64Array.from(p));
  for (let t = 1; t <= 20; t++) {
    const lr = Number(schedule) * shape(t);
    rule(p, gradient(t), lr, t);
    run.step((_, grad) => Number(grad?.set(gradient(t).map((g) => 4 * g))), lr, 0.25);
    p.forEach((x, i) => {
      expect(Math.abs(run.params[i] - x), `step ${t}, element ${i}`).toBeLessThanOrEqual(1e-12);
    });
  }
});

/** Descriptions whose `compat` changes defaults alone; the rule is that of the golden values and the papers. */
const DEFAULTS_ALONE = ['muon pytorch', 'scheduleFreeAdamw optax'];

test('every preset that changes something is tested here', () => {
  const tested = new Set([...CASES.map(([{ kind, compat }]) => `${kind} ${compat}`), ...DEFAULTS_ALONE]);
  const presets = Object.values(OPTIMIZERS).flatMap(({ kind, compat = {} }) =>
    Object.entries(compat).flatMap(([name, changes]) => (Object.keys(changes).length > 0 ? [`${kind} ${name}`] : [])),
  );
  expect(presets.filter((preset) => !tested.has(preset))).toEqual([]);
  expect(resolveOptimizer(muon({ compat: 'pytorch' })).options).toMatchObject({ weightDecay: 0.1 });
  expect(resolveOptimizer(muon({ compat: 'pytorch' })).schedule).toBe(0.001);
  expect(resolveOptimizer(scheduleFreeAdamw(o)).options).toMatchObject({ weightDecay: 0 });
});

test('own options win over the preset, and what has none says so', () => {
  const own = adagrad({ compat: 'keras', eps: 1e-3, lr: 0.5 });
  expect(resolveOptimizer(own).options).toMatchObject({ eps: 1e-3, initialAccumulator: 0.1, epsInside: true });
  expect(resolveOptimizer(own).schedule).toBe(0.5);
  const unknown = (compat: Compat) => () => resolveOptimizer(novograd({ compat }));
  expect(unknown('keras')).toThrow('optimizer.compat: expected one of optax, got "keras"');
  expect(() => resolveOptimizer({ kind: 'soap', lr: 1, compat: 'keras' })).toThrow('expected no compat: soap follows');
  for (const kind of Object.keys(WRAPPERS)) {
    const wrapped = { kind, lr: 1, base: adam(), compat: 'keras', ...(kind === 'swa' && { start: 1 }) };
    expect(() => resolveOptimizer(wrapped)).toThrow("unknown option 'compat'");
  }
});
