import { describe, expect, test } from 'vitest';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import {
  adam, ema, gradientNoise, lookahead, momentum, type OptimizerDescription, sam, sgd, sgld, swa,
} from '../../src/optim/index.ts'; // biome-ignore format: a list
import { standardNormal } from '../../src/optim/normal.ts';
import { type Objective, runOptimizer } from '../../src/optim/run.ts';
import { numbers, tensorTable } from './vectors.ts';

const N = 7;
const START = numbers(N, 11).map((x) => x + 0.3);
const KEY = [12, 34];
const norm = (x: readonly number[]) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));
/** A gradient that depends on where it is taken: (i + 1) p + sin i. */
const slope = (p: ArrayLike<number>) => Array.from({ length: N }, (_, i) => (i + 1) * p[i] + Math.sin(i));
const objective: Objective = (p, grad) => {
  grad?.set(slope(p));
  return slope(p).reduce((sum, g, i) => sum + (g * g) / (i + 1) / 2, 0);
};

/** Momentum of 0.5, the base of everything below, from its definition. */
function plainMomentum(lr: number) {
  const b = new Array<number>(N).fill(0);
  return (p: number[], g: readonly number[]) => {
    for (let i = 0; i < N; i++) {
      b[i] = 0.5 * b[i] + g[i];
      p[i] -= lr * b[i];
    }
  };
}
const base = (lr: number) => momentum({ lr, momentum: 0.5 });

/** Follows `expected`, which gives the trained and the evaluated parameters after each of 12 updates, within 1e-12. */
function follows(description: OptimizerDescription, expected: (t: number) => [readonly number[], readonly number[]]) {
  const { def, options, schedule } = resolveOptimizer(description);
  const run = runOptimizer(def, options, tensorTable([N]), Float64Array.from(START), 3, KEY);
  const gradient: Objective = (p, grad) => {
    const loss = objective(p, grad);
    for (let i = 0; grad && i < N; i++) grad[i] *= 4;
    return loss;
  };
  for (let t = 1; t <= 12; t++) {
    run.step(gradient, Number(schedule), 0.25);
    const [trained, evaluated] = expected(t);
    const out = run.evalParameters();
    for (let i = 0; i < N; i++) {
      expect(Math.abs(run.params[i] - trained[i]), `trained, update ${t}`).toBeLessThanOrEqual(1e-12);
      expect(Math.abs(out[i] - evaluated[i]), `evaluated, update ${t}`).toBeLessThanOrEqual(1e-12);
    }
  }
}

describe('averages of the weights: training goes on as without them', () => {
  test.each([
    ['with warm-up', ema(base(0.01), { decay: 0.5 }), (t: number) => Math.min(0.5, (1 + t) / (10 + t))],
    ['without', ema(base(0.01), { decay: 0.9, warmup: false }), () => 0.9],
  ] as const)('exponential, %s', (_, description, decay) => {
    const [p, a, step] = [[...START], [...START], plainMomentum(0.01)];
    follows(description, (t) => {
      step(p, slope(p));
      for (let i = 0; i < N; i++) a[i] = decay(t) * a[i] + (1 - decay(t)) * p[i];
      return [p, a];
    });
  });

  test('SWA is the mean of every third point from the fourth update on', () => {
    const [p, step] = [[...START], plainMomentum(0.01)];
    const points: number[][] = [];
    follows(swa(base(0.01), { start: 4, every: 3 }), (t) => {
      step(p, slope(p));
      if (t >= 4 && (t - 4) % 3 === 0) points.push([...p]);
      const mean = p.map((_, i) => points.reduce((sum, point) => sum + point[i], 0) / points.length);
      return [p, t < 4 ? p : mean];
    });
    expect(points).toHaveLength(3);
  });
});

test('Lookahead: every fifth update the slow weights go half of the way, and the fast ones to them', () => {
  const [p, slow, step] = [[...START], [...START], plainMomentum(0.01)];
  follows(lookahead(base(0.01)), (t) => {
    step(p, slope(p));
    if (t % 5 === 0) {
      for (let i = 0; i < N; i++) {
        slow[i] += 0.5 * (p[i] - slow[i]);
        p[i] = slow[i];
      }
    }
    return [p, slow];
  });
});

test.each([false, true])('SAM takes the gradient at the worst point nearby; adaptive: %s', (adaptive) => {
  const [p, step] = [[...START], plainMomentum(0.01)];
  follows(sam(base(0.01), { rho: 0.3, adaptive }), () => {
    const g = slope(p);
    const scaled = g.map((x, i) => (adaptive ? Math.abs(p[i]) * x : x));
    const there = p.map((x, i) => x + (0.3 * scaled[i] * (adaptive ? Math.abs(x) : 1)) / (norm(scaled) + 1e-12));
    step(p, slope(there));
    return [p, p];
  });
});

const normals = (count: number, step: number, tensor = 0) => {
  const out = new Float64Array(count);
  standardNormal(out, KEY, tensor, step, 0);
  return out;
};

test('annealed noise is added to the gradient: variance eta / (1 + t)^gamma, t = 0 at the first update', () => {
  const [p, step] = [[...START], plainMomentum(0.01)];
  follows(gradientNoise(base(0.01), { eta: 0.3, gamma: 0.55 }), (t) => {
    const n = normals(N, t);
    step(
      p,
      slope(p).map((g, i) => g + Math.sqrt(0.3 / (1 + (t - 1)) ** 0.55) * n[i]),
    );
    return [p, p];
  });
});

test('Langevin: p - lr (g + weightDecay p) + sqrt(2 lr temperature) n', () => {
  const p = [...START];
  follows(sgld({ lr: 0.01, temperature: 0.2, weightDecay: 0.5 }), (t) => {
    const n = normals(N, t);
    slope(p).forEach((g, i) => {
      p[i] -= 0.01 * (g + 0.5 * p[i]) + Math.sqrt(2 * 0.01 * 0.2) * n[i]; // as part of the gradient: -n
    });
    return [p, p];
  });
});

test('Langevin wanders around a minimum with variance temperature / curvature', () => {
  const [count, lr, temperature, curvature] = [2000, 0.02, 0.5, 2];
  const { def, options } = resolveOptimizer(sgld({ lr, temperature }));
  const run = runOptimizer(def, options, tensorTable([count]), new Float64Array(count), 1024, KEY);
  const bowl: Objective = (p, grad) => {
    for (let i = 0; grad && i < p.length; i++) grad[i] = curvature * p[i];
    return 0;
  };
  for (let t = 0; t < 200; t++) run.step(bowl, lr);
  const variance = [...run.params].reduce((sum, x) => sum + x * x, 0) / count;
  const expected = temperature / curvature / (1 - (lr * curvature) / 2); // exact for steps of this length
  expect(Math.abs(variance / expected - 1)).toBeLessThan(0.12); // four standard deviations of 2,000 squares
});

test('noise is normal, and other in every update, tensor and element', () => {
  const many = [1, 2, 3, 4].flatMap((step) => [0, 1].flatMap((tensor) => [...normals(4096, step, tensor)]));
  const moment = (power: number) => many.reduce((sum, x) => sum + x ** power, 0) / many.length;
  expect(Math.abs(moment(1))).toBeLessThan(0.02);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.03);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.25);
  expect(new Set(many).size).toBeGreaterThan(0.99 * many.length);
  const again = new Float64Array(10);
  standardNormal(again, KEY, 1, 3, 100);
  expect([...again]).toEqual([...normals(110, 3, 1).subarray(100)]);
});

test('wrappers nest', () => {
  const [p, a, slow, step] = [[...START], [...START], [...START], plainMomentum(0.01)];
  follows(ema(lookahead(base(0.01), { k: 2, alpha: 0.5 }), { decay: 0.5, warmup: false }), (t) => {
    step(p, slope(p));
    for (let i = 0; i < N; i++) {
      if (t % 2 === 0) {
        slow[i] += 0.5 * (p[i] - slow[i]);
        p[i] = slow[i];
      }
      a[i] = 0.5 * a[i] + 0.5 * p[i];
    }
    return [p, a];
  });
  expect(() => resolveOptimizer(sam(sam(sgd({ lr: 1 }))))).toThrow(
    'expected an optimizer that needs one gradient a step',
  );
  expect(() => resolveOptimizer(ema(adam(), { decay: 1 }))).toThrow('optimizer.decay: expected a number < 1');
});
