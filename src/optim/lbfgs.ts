/**
 * L-BFGS with a line search for the strong Wolfe conditions, for full batches.
 *
 *     s_i, y_i   the last `historySize` differences of parameters and of gradients with y s > 1e-10
 *     d = -H g   by the two-loop recursion, H_0 = (y s / y y) I of the newest pair
 *     t          f(p + t d) <= f(p) + c1 t g d  and  |g(p + t d) d| <= c2 |g d|,  from lr on (first update: min(1, 1/|g|_1) lr)
 *     p <- p + t d
 *
 * Papers: Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", 1989; line search: Nocedal & Wright,
 * "Numerical Optimization", algorithms 3.5 and 3.6, with cubic interpolation as in minFunc and PyTorch.
 *
 * Defaults: lr 1 (first trial step), historySize 10, maxEvaluations 25, c1 1e-4, c2 0.9, toleranceGrad 1e-7, toleranceChange 1e-9:
 * those of torch.optim.LBFGS with line_search_fn 'strong_wolfe' and max_iter 1, but for its history of 100.
 *
 * One update is one iteration. It stands still where the largest gradient is below toleranceGrad. A trial point whose loss or
 * gradient is not finite counts as too far. The inner products run over all parameters in a fixed order and in f64: the
 * same on any number of workers; each costs a barrier.
 *
 * Traps: full batches only (`batchSize: 'full'`; refused otherwise), and no dropout: the loss must be the same function at
 * every trial. Clipping falsifies the gradient differences. State: 2 historySize + 3 vectors.
 */
import { z } from 'zod';
import { positive } from './common.ts';
import type { Driver, FloatArray, OptimizerDef, OptimizerDescription, View } from './contract.ts';
import { type CommonOptions, describe, type LearningRate } from './description.ts';
import { strongWolfe } from './line-search.ts';

export interface LbfgsOptions extends CommonOptions {
  /** First trial step. Default 1. */
  readonly lr?: LearningRate;
  /** Pairs that are kept, >= 1. Default 10. */
  readonly historySize?: number;
  /** Gradients that a line search may take, >= 1. Default 25. */
  readonly maxEvaluations?: number;
  /** Sufficient decrease, in (0, c2). Default 1e-4. */
  readonly c1?: number;
  /** Curvature, in (c1, 1). Default 0.9. */
  readonly c2?: number;
  /** Largest gradient element at which it stands still, >= 0. Default 1e-7. */
  readonly toleranceGrad?: number;
  /** Smallest slope and bracket, >= 0. Default 1e-9. */
  readonly toleranceChange?: number;
}

const options = z
  .strictObject({
    historySize: z.int().min(1).default(10),
    maxEvaluations: z.int().min(1).default(25),
    c1: positive.lt(1).default(1e-4),
    c2: positive.lt(1).default(0.9),
    toleranceGrad: z.number().min(0).default(1e-7),
    toleranceChange: z.number().min(0).default(1e-9),
  })
  .refine(({ c1, c2 }) => c1 < c2, { path: ['c1'], message: 'a number below c2' });
type Resolved = z.output<typeof options>;

export const LBFGS: OptimizerDef<Resolved> = {
  kind: 'lbfgs',
  options,
  defaultLr: 1,
  unit: 'tensor',
  fullBatch: true,
  slots: ({ historySize }, { size }) => ({
    direction: {},
    before: {},
    start: {},
    s: { shape: [historySize, size] },
    y: { shape: [historySize, size] },
  }),
  /** Pairs so far, length of the last step, y s / y y of the newest pair, updates with a direction. */
  state: { pairs: 0, length: 0, scale: 1, iterations: 0 },
  scalarNames: ['gradScale', 'lr'],
  scalars({ lr, gradScale }, out) {
    out[0] = gradScale;
    out[1] = lr;
  },
  update() {
    // The driver moves the parameters itself.
  },
  drive(driver) {
    const { info, state, views } = driver;
    const { toleranceGrad, toleranceChange, historySize } = info.options;
    const loss = driver.gradient();
    if (Number.isNaN(loss)) return 'stop';
    if (largestGradient(driver) <= toleranceGrad) return undefined;

    if (state.iterations > 0) remember(driver);
    direction(driver, Math.min(state.pairs, historySize));
    for (const { slots, param, grad } of views) {
      slots.before.set(grad);
      slots.start.set(param);
    }
    const slope = dot(driver, gradOf, directionOf);
    if (slope > -toleranceChange) return undefined;
    const first = state.iterations === 0;
    const trial = first ? Math.min(1, 1 / total(driver, gradOf, Math.abs)) * info.lr : info.lr;
    state.iterations += 1;
    const at = (t: number): void => {
      for (const { param, slots } of views) {
        for (let i = 0; i < param.length; i++) param[i] = slots.start[i] + t * slots.direction[i];
      }
    };
    const longest = largest(driver, directionOf);
    state.length = strongWolfe(
      (t) => {
        at(t);
        const value = driver.gradient();
        return { value, slope: dot(driver, gradOf, directionOf) };
      },
      { value: loss, slope },
      trial,
      longest,
      info.options,
    );
    at(state.length);
    return undefined;
  },
  about: {
    rule: 'p <- p - t H g, H from the last differences of gradients, t by a strong Wolfe line search',
    when: 'small data in full batches: smooth problems to high accuracy in few iterations',
    limits: 'full batches only, no dropout; several gradients a step; 2 historySize + 3 vectors of state',
    paper: 'Liu & Nocedal 1989; Nocedal & Wright, Numerical Optimization',
  },
};

type Vector = (view: View) => FloatArray;
const gradOf: Vector = ({ grad }) => grad;
const directionOf: Vector = ({ slots }) => slots.direction;
/** Number k of a slot that holds the history. */
const nth =
  (name: 's' | 'y', k: number): Vector =>
  ({ slots, param }) =>
    slots[name].subarray(k * param.length, (k + 1) * param.length);

/** Takes the differences that the last update made into the history, if the curvature along them is positive. */
function remember(driver: Driver<Resolved>): void {
  const { state, views, info } = driver;
  const k = state.pairs % info.options.historySize;
  // The place of the oldest pair: it is lost even when the new one turns out to be of no use, so that is looked at first.
  const results = new Float64Array(2);
  driver.sum(({ grad, slots: { before, direction } }, out) => {
    for (let i = 0; i < grad.length; i++) {
      const y = grad[i] - before[i];
      out[0] += y * (direction[i] * state.length);
      out[1] += y * y;
    }
  }, results);
  const [curvature, squares] = results;
  if (!(curvature > 1e-10)) return;
  for (const view of views) {
    const { grad, slots } = view;
    const [s, y] = [nth('s', k)(view), nth('y', k)(view)];
    for (let i = 0; i < grad.length; i++) {
      y[i] = grad[i] - slots.before[i];
      s[i] = slots.direction[i] * state.length;
    }
  }
  state.scale = curvature / squares;
  state.pairs += 1;
}

/** The two-loop recursion over the newest `count` pairs. */
function direction(driver: Driver<Resolved>, count: number): void {
  const { state, views, info } = driver;
  for (const { slots, grad } of views) for (let i = 0; i < grad.length; i++) slots.direction[i] = -grad[i];
  const pairs = Array.from({ length: count }, (_, j) => {
    const k = (state.pairs - 1 - j) % info.options.historySize; // newest first
    const [s, y] = [nth('s', k), nth('y', k)];
    return { s, y, rho: 1 / dot(driver, y, s), alpha: 0 };
  });
  for (const pair of pairs) {
    pair.alpha = dot(driver, pair.s, directionOf) * pair.rho;
    add(views, -pair.alpha, pair.y);
  }
  if (count > 0)
    for (const { slots } of views) for (let i = 0; i < slots.direction.length; i++) slots.direction[i] *= state.scale;
  for (const { s, y, rho, alpha } of pairs.reverse()) add(views, alpha - dot(driver, y, directionOf) * rho, s);
}

/** direction += factor * x */
function add(views: readonly View[], factor: number, x: Vector): void {
  for (const view of views) {
    const [target, source] = [view.slots.direction, x(view)];
    for (let i = 0; i < target.length; i++) target[i] += factor * source[i];
  }
}

function dot(driver: Driver<Resolved>, a: Vector, b: Vector): number {
  const result = new Float64Array(1);
  driver.sum((view, out) => {
    const [x, y] = [a(view), b(view)];
    for (let i = 0; i < x.length; i++) out[0] += x[i] * y[i];
  }, result);
  return result[0];
}

function total(driver: Driver<Resolved>, x: Vector, f: (x: number) => number): number {
  const result = new Float64Array(1);
  driver.sum((view, out) => {
    for (const value of x(view)) out[0] += f(value);
  }, result);
  return result[0];
}

/** The largest absolute element over all views of all workers. */
function largest(driver: Driver<Resolved>, x: Vector): number {
  return driver.max((view) => {
    let most = 0;
    for (const value of x(view)) most = Math.max(most, Math.abs(value));
    return most;
  });
}

const largestGradient = (driver: Driver<Resolved>): number => largest(driver, gradOf);

/** Limited-memory BFGS for full batches, as `torch.optim.LBFGS` with the strong Wolfe line search. */
export const lbfgs = (options: LbfgsOptions = {}): OptimizerDescription => describe(LBFGS, options);
