import { z } from 'zod';
import type { Driver, OptimizerDef, View } from '../../../src/optim/contract.ts';

type Options = { history: number; maxTrials: number };

/** L-BFGS (Liu & Nocedal 1989) for full batches: two-loop recursion over the last pairs, backtracking on the loss. */
export const lbfgs: OptimizerDef<Options> = {
  kind: 'lbfgs',
  options: z.strictObject({ history: z.int().min(1).default(8), maxTrials: z.int().min(1).default(20) }),
  defaultLr: 1,
  unit: 'model',
  slots: ({ history }) =>
    Object.fromEntries(
      ['direction', 'param', 'grad', ...numbered('s', history + 1), ...numbered('y', history + 1)].map((name) => [
        name,
        {},
      ]),
    ),
  state: { pairs: 0 },
  scalarNames: ['gradScale', 'lr'],
  scalars() {},
  update() {},
  drive(driver) {
    const { info, state, views, gradient, evaluate } = driver;
    const { history, maxTrials } = info.options;
    const ring = history + 1; // one spare: a pair without curvature is overwritten, never used
    const loss = gradient();
    for (const { slots, param, grad } of views) {
      slots.param.set(param);
      slots.grad.set(grad);
      for (let i = 0; i < grad.length; i++) slots.direction[i] = -grad[i];
    }
    const direction = (view: View) => view.slots.direction;
    const pairs = Array.from({ length: Math.min(state.pairs, history) }, (_, k) => {
      const index = (state.pairs - 1 - k) % ring; // newest first
      return { s: (v: View) => v.slots[`s${index}`], y: (v: View) => v.slots[`y${index}`] };
    });
    const alphas = pairs.map(({ s, y }) => {
      const alpha = dot(driver, s, direction) / dot(driver, s, y);
      add(driver, direction, -alpha, y);
      return alpha;
    });
    if (pairs.length > 0) {
      const [{ s, y }] = pairs;
      const scale = dot(driver, s, y) / dot(driver, y, y);
      for (const { slots } of views) for (let i = 0; i < slots.direction.length; i++) slots.direction[i] *= scale;
    }
    for (let k = pairs.length - 1; k >= 0; k--) {
      const beta = dot(driver, pairs[k].y, direction) / dot(driver, pairs[k].s, pairs[k].y);
      add(driver, direction, alphas[k] - beta, pairs[k].s);
    }
    const slope = dot(driver, direction, (v) => v.grad);
    let length = pairs.length > 0 ? info.lr : info.lr / Math.max(1, Math.sqrt(-slope));
    for (let trial = 0; trial < maxTrials; trial++, length /= 2) {
      for (const { param, slots } of views) {
        for (let i = 0; i < param.length; i++) param[i] = slots.param[i] + length * slots.direction[i];
      }
      if (evaluate() <= loss + 1e-4 * length * slope) break;
    }
    gradient();
    const index = state.pairs % ring;
    for (const { param, grad, slots } of views) {
      for (let i = 0; i < param.length; i++) {
        slots[`s${index}`][i] = param[i] - slots.param[i];
        slots[`y${index}`][i] = grad[i] - slots.grad[i];
      }
    }
    if (
      dot(
        driver,
        (v) => v.slots[`s${index}`],
        (v) => v.slots[`y${index}`],
      ) > 0
    )
      state.pairs++;
  },
};

type Vector = (view: View) => View['param'];
const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`);

/** Over the parameters of all workers, in block order. */
function dot(driver: Driver<Options>, a: Vector, b: Vector): number {
  const result = new Float64Array(1);
  driver.sum((view, out) => {
    const [x, y] = [a(view), b(view)];
    for (let i = 0; i < x.length; i++) out[0] += x[i] * y[i];
  }, result);
  return result[0];
}

function add(driver: Driver<Options>, out: Vector, scale: number, x: Vector): void {
  for (const view of driver.views) {
    const [to, from] = [out(view), x(view)];
    for (let i = 0; i < to.length; i++) to[i] += scale * from[i];
  }
}
