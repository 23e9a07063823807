import { describe, expect, test } from 'vitest';
import { referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import { SPARSE_OPTIMIZER_KERNELS } from '../../src/kernels/table.ts';
import { compileKernels, instantiateKernels } from '../../src/kernels/wasm.ts';
import { OPTIMIZERS, resolveOptimizer } from '../../src/optim/catalogue.ts';
import { adagrad, adam, momentum, type OptimizerDescription, sgd } from '../../src/optim/index.ts';
import { runOptimizer } from '../../src/optim/run.ts';
import { numbers, tensorTable } from './vectors.ts';

const [ROWS, WIDTH] = [9, 5];
/** Rows that each of the updates names: some twice, one never. */
const IDS = [[3, 0, 7], [0], [8, 1, 2, 3, 5, 6], [7, 0]];
const NEVER = 4;
const DESCRIPTIONS: readonly OptimizerDescription[] = [
  sgd({ lr: 0.1 }),
  adagrad({ lr: 0.1, initialAccumulator: 0.1 }),
  adagrad({ lr: 0.1, epsInside: true }),
  adam({ lr: 0.01, eps: 1e-4 }),
  adam({ lr: 0.01, eps: 1e-4, epsRoot: 1e-4 }),
];
const gradientOf = (ids: readonly number[], t: number) => numbers(ids.length * WIDTH, 50 + t).map((x) => 3 * x);

/** What the rule means: each row is a tensor of its own that exists only in the updates that name it; their number t is global. */
function rowByRow(description: OptimizerDescription): Float64Array {
  const { def, options, schedule } = resolveOptimizer(description);
  const table = Float64Array.from(numbers(ROWS * WIDTH, 9));
  for (let row = 0; row < ROWS; row++) {
    const own = table.subarray(row * WIDTH, (row + 1) * WIDTH);
    const run = runOptimizer(def, options, tensorTable([WIDTH]), own);
    const [view] = run.views;
    const scalars = new Float64Array(def.scalarNames.length);
    IDS.forEach((ids, i) => {
      const at = ids.indexOf(row);
      if (at < 0) return;
      view.grad.set(gradientOf(ids, i + 1).slice(at * WIDTH, (at + 1) * WIDTH));
      def.scalars({ step: i + 1, lr: Number(schedule), gradScale: 0.5, options }, scalars, {}, new Float64Array(0));
      def.update(view, scalars, options);
    });
  }
  return table;
}

describe.each(DESCRIPTIONS)('sparse $kind', (description) => {
  const { def, options, schedule } = resolveOptimizer(description);
  const expected = rowByRow(description);
  const slotNames = Object.keys(def.slots(options, tensorTable([ROWS, WIDTH])[0]));
  const inits = Object.values(def.slots(options, tensorTable([ROWS, WIDTH])[0])).map(({ init }) => Number(init ?? 0));

  test('the definition updates the named rows as the dense rule does and leaves the others alone', () => {
    const param = Float64Array.from(numbers(ROWS * WIDTH, 9));
    const slots = Object.fromEntries(slotNames.map((name, i) => [name, new Float64Array(ROWS * WIDTH).fill(inits[i])]));
    const scalars = new Float64Array(def.scalarNames.length);
    IDS.forEach((ids, i) => {
      def.scalars({ step: i + 1, lr: Number(schedule), gradScale: 0.5, options }, scalars, {}, new Float64Array(0));
      const grad = Float64Array.from(gradientOf(ids, i + 1));
      def.sparseUpdate?.({ param, slots, width: WIDTH, ids: Int32Array.from(ids), grad }, scalars, options);
    });
    for (const [i, x] of expected.entries()) expect(Math.abs(param[i] - x)).toBeLessThanOrEqual(1e-13);
    expect([...param.subarray(NEVER * WIDTH, (NEVER + 1) * WIDTH)]).toEqual(
      numbers(ROWS * WIDTH, 9).slice(NEVER * WIDTH, (NEVER + 1) * WIDTH),
    );
  });

  test.each(['reference', 'simd128', 'relaxed'] as const)('the kernel does the same, %s', async (level) => {
    const kernel = def.sparseKernel?.(options);
    if (kernel === undefined) throw new Error('no sparse kernel');
    const bytes = 1 << 16;
    let real: Float32Array;
    let doubles: Float64Array;
    let ints: Int32Array;
    let run: (typeof kernels)[typeof kernel];
    let base = 0;
    const kernels = referenceKernels(referenceHeap(64));
    if (level === 'reference') {
      const heap = referenceHeap(bytes, 'f32');
      real = Float32Array.from([]);
      if (heap.real instanceof Float32Array) real = heap.real;
      [doubles, ints] = [heap.sums, heap.int];
      run = referenceKernels(heap)[kernel];
    } else {
      const { module } = await compileKernels({ simd: level });
      const memory = new WebAssembly.Memory({ initial: 64, maximum: 65_536, shared: true });
      const wasm = instantiateKernels(module, memory);
      base = Math.ceil(wasm.heapBase / 64) * 64;
      real = new Float32Array(memory.buffer);
      [doubles, ints] = [new Float64Array(memory.buffer), new Int32Array(memory.buffer)];
      run = wasm[kernel];
    }
    const at = (i: number) => base + 1024 * (i + 1);
    const [param, grad, slot0, slot1, ids, scalars] = [0, 1, 2, 3, 4, 5].map(at);
    real.set(numbers(ROWS * WIDTH, 9), param >> 2);
    inits.forEach((init, i) => {
      real.fill(init, at(2 + i) >> 2, (at(2 + i) >> 2) + ROWS * WIDTH);
    });
    // What a row that no gradient names holds must not even be read: NaN stays where it is and spreads nowhere.
    const never = (param >> 2) + NEVER * WIDTH;
    real.fill(Number.NaN, never, never + WIDTH);
    IDS.forEach((rows, i) => {
      real.set(gradientOf(rows, i + 1), grad >> 2);
      ints.set(rows, ids >> 2);
      const out = doubles.subarray(scalars >> 3, (scalars >> 3) + def.scalarNames.length);
      def.scalars({ step: i + 1, lr: Number(schedule), gradScale: 0.5, options }, out, {}, new Float64Array(0));
      run(param, grad, ids, rows.length, WIDTH, slot0, slot1, scalars);
    });
    for (const [i, x] of expected.entries()) {
      const actual = real[(param >> 2) + i];
      if (Math.floor(i / WIDTH) === NEVER) expect(actual).toBeNaN();
      else expect(Math.abs(actual - x)).toBeLessThanOrEqual(2e-6 * Math.max(1, Math.abs(x)));
    }
  });
});

test('every sparse kernel has its definition, and options that move all rows have none', () => {
  const reached = DESCRIPTIONS.map((description) => {
    const { def, options } = resolveOptimizer(description);
    return def.sparseKernel?.(options);
  });
  expect(new Set(reached)).toEqual(new Set(SPARSE_OPTIMIZER_KERNELS));
  for (const description of [
    momentum({ lr: 1 }),
    sgd({ lr: 1, weightDecay: 0.1 }),
    adam({ weightDecay: 0.1 }),
    adam({ amsgrad: true }),
    adagrad({ weightDecay: 0.1 }),
  ]) {
    const { def, options } = resolveOptimizer(description);
    expect(def.sparseKernel?.(options)).toBeUndefined();
  }
  expect(Object.values(OPTIMIZERS).filter((def) => def.sparseUpdate).length).toBeGreaterThanOrEqual(3);
});
