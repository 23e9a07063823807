import { expect, test } from 'vitest';
import { z } from 'zod';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import { definitionAt, definitionOf } from '../../src/optim/custom.ts';
import { adam, defineOptimizer, type OptimizerDef } from '../../src/optim/index.ts';
import { runOptimizer } from '../../src/optim/run.ts';
import { parabola, tensorTable } from './vectors.ts';

/** Lion (Chen et al. 2023) as a user would write it. */
const definition: OptimizerDef<{ beta1: number; beta2: number }> = {
  kind: 'signMomentum',
  options: z.strictObject({ beta1: z.number().default(0.9), beta2: z.number().default(0.99) }),
  defaultLr: 1e-4,
  unit: 'element',
  slots: () => ({ m: {} }),
  scalarNames: ['gradScale', 'lr', 'beta1', 'beta2'],
  scalars({ lr, gradScale, options }, out) {
    out.set([gradScale, lr, options.beta1, options.beta2]);
  },
  update({ param, grad, slots: { m } }, s) {
    for (let i = 0; i < param.length; i++) {
      const g = s[0] * grad[i];
      param[i] -= s[1] * Math.sign(s[2] * m[i] + (1 - s[2]) * g);
      m[i] = s[3] * m[i] + (1 - s[3]) * g;
    }
  },
};
const lion = defineOptimizer(definition);

test('a custom optimizer resolves, validates and trains like a built-in one', () => {
  const description = lion({ lr: 1e-2, beta1: 0.8 });
  const { def, options, schedule } = resolveOptimizer(description);
  expect(options).toEqual({ beta1: 0.8, beta2: 0.99 });
  const run = runOptimizer(def, options, tensorTable([3]), new Float64Array(3));
  for (let t = 0; t < 500; t++) run.step(parabola, Number(schedule));
  for (const p of run.params) expect(Math.abs(p - 1)).toBeLessThan(3e-2);
  expect(resolveOptimizer(lion()).schedule).toBe(1e-4);
  expect(() => resolveOptimizer({ ...description, beta3: 1 })).toThrow("did you mean 'beta1'");
});

test('without options of its own it takes a learning rate, also by its type', () => {
  const options = z.strictObject({});
  const plain = defineOptimizer<z.output<typeof options>>({
    kind: 'plain',
    options,
    unit: 'element',
    slots: () => ({}),
    scalarNames: ['gradScale', 'lr'],
    scalars: ({ lr, gradScale }, out) => out.set([gradScale, lr]),
    update({ param, grad }, s) {
      for (let i = 0; i < param.length; i++) param[i] -= s[0] * s[1] * grad[i];
    },
  });
  expect(resolveOptimizer(plain({ lr: 0.5 })).schedule).toBe(0.5);
});

test('the definition stays with copies in this process and off every wire', () => {
  const description = lion({ lr: 1e-2 });
  expect(definitionOf({ ...description, lr: 1 })).toBe(definition);
  expect(JSON.stringify(description)).toBe('{"kind":"signMomentum","lr":0.01}');
  const travelled = structuredClone(description);
  expect(definitionOf(travelled)).toBeUndefined();
  expect(() => resolveOptimizer(travelled)).toThrow("got 'signMomentum'");
  expect(resolveOptimizer(travelled, definition).options).toEqual({ beta1: 0.9, beta2: 0.99 });
});

test('workers find it by its path in the exports of a module', () => {
  const exports = { lion, definition, default: { optimizer: lion({ lr: 1 }), other: adam() } };
  for (const path of ['lion', 'definition', 'default.optimizer']) expect(definitionAt(exports, path)).toBe(definition);
  for (const path of ['default.other', 'default', 'nothing', 'a.b.c', '']) {
    expect(() => definitionAt(exports, path)).toThrow(expect.objectContaining({ code: 'E_CUSTOM_CODE' }));
  }
});

test('a definition must not pose as another', () => {
  const posing = defineOptimizer({ ...definition, kind: 'adam' });
  expect(() => resolveOptimizer(posing())).toThrow('expected a name that no built-in optimizer has');
  expect(() => resolveOptimizer(adam(), definition)).toThrow(
    "expected 'signMomentum', the definition's kind, got 'adam'",
  );
});

test.each([
  [{ kind: undefined }, 'kind: a name'],
  [{ options: {} }, 'options: a zod schema'],
  [{ unit: 'vector' }, "unit: 'element', 'tensor' or 'model'"],
  [{ scalarNames: ['lr'] }, "scalarNames: a list that begins with 'gradScale', 'lr'"],
  [{ update: undefined }, 'update: a function'],
])('an incomplete definition is refused at once: %o', (part, expected) => {
  expect(() => Reflect.apply(defineOptimizer, undefined, [{ ...definition, ...part }])).toThrow(
    `defineOptimizer(...): expected ${expected}`,
  );
});
