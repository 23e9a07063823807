import { expect, test } from 'vitest';
import { z } from 'zod';
import { OPTIMIZERS, resolveOptimizer } from '../../src/optim/catalogue.ts';
import type { OptimizerDef } from '../../src/optim/contract.ts';
import { lrAt } from '../../src/optim/schedules.ts';
import { SGD } from '../../src/optim/sgd.ts';
import { verifyOptimizer } from '../../src/optim/verify.ts';
import { ALL } from './all.ts';
import { adafactor } from './sketches/adafactor.ts';
import { lamb } from './sketches/lamb.ts';
import { lbfgs } from './sketches/lbfgs.ts';
import { muon } from './sketches/muon.ts';
import { nadam } from './sketches/nadam.ts';
import { prodigy } from './sketches/prodigy.ts';
import { sam } from './sketches/sam.ts';
import { scheduleFree } from './sketches/schedule-free.ts';

const sketches: readonly OptimizerDef[] = [nadam, adafactor, lamb, prodigy, scheduleFree, muon, sam(SGD), lbfgs];

test.each([...Object.values(OPTIMIZERS), ...sketches])('$kind keeps the contract', (def) => {
  expect(verifyOptimizer(def)).toEqual([]);
});

test.each(ALL)('$description.kind keeps the contract: $description', ({ description }) => {
  const { def, options, schedule } = resolveOptimizer(description);
  expect(
    verifyOptimizer({ ...def, options: z.custom<object>().default(options) }, undefined, lrAt(schedule, 1, 100)),
  ).toEqual([]);
});

/** `rule(p, g, grad)`: the new value of an element. */
const elementwise =
  (rule: (p: number, g: number, grad: ArrayLike<number>) => number): OptimizerDef['update'] =>
  ({ param, grad }, s) => {
    for (let i = 0; i < param.length; i++) param[i] = rule(param[i], s[0] * s[1] * grad[i], grad);
  };
const unscaled: OptimizerDef['update'] = ({ param, grad }, s) => {
  for (let i = 0; i < param.length; i++) param[i] -= s[1] * grad[i];
};
let calls = 0;
/** Momentum in a closure, begun anew with each run: two runs agree, a resumed one does not. */
const hidden = (): OptimizerDef => {
  let buffers = new Map<number, Float64Array>();
  return {
    ...SGD,
    scalars(info, out, state, sums) {
      if (info.step === 1) buffers = new Map();
      SGD.scalars({ ...info, options: SGD.options.parse({}) }, out, state, sums);
    },
    update({ param, grad, tensor, first }, s) {
      const at = tensor.offset + first;
      const b = buffers.get(at) ?? new Float64Array(param.length);
      buffers.set(at, b);
      for (let i = 0; i < param.length; i++) {
        b[i] = 0.5 * b[i] + s[0] * grad[i];
        param[i] -= s[1] * b[i];
      }
    },
  };
};
const BASE: OptimizerDef = SGD;
const BROKEN: readonly (readonly [string, OptimizerDef['update']])[] = [
  ['two runs differ', elementwise((p, g) => p - g * (1 + 0.01 * calls++))],
  ['parameters became infinite or NaN', elementwise(() => Number.NaN)],
  ['did not lower a sum of squares', elementwise((p, g) => p + g)],
  ['padding between tensors was written', ({ param }) => new Float32Array(param.buffer).fill(1)],
  ['gradScale does not scale', unscaled],
  ['results depend on how tensors are cut', elementwise((p, g, grad) => p - g - 0.001 * grad[0])],
  ['update writes into grad', ({ grad }) => grad.fill(0)],
  ['a gradient of zero', elementwise((p, g) => p - (0.01 * g) / Math.abs(g))],
];

test.each(BROKEN)('finds a definition of which it says "%s"', (problem, update) => {
  expect(verifyOptimizer({ ...BASE, update }).join('; ')).toContain(problem);
});

test('finds state that a checkpoint would not have', () => {
  expect(verifyOptimizer(hidden())).toEqual([expect.stringContaining('outside slots and state')]);
});

test('options are validated', () => {
  expect(() => verifyOptimizer(SGD, { momentun: 0.9 })).toThrow("did you mean 'momentum'");
});
