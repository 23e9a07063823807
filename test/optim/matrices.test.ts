import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import type { FloatArray } from '../../src/optim/contract.ts';
import { bindOptimizer } from '../../src/optim/groups.ts';
import { lbfgs, muon, type OptimizerDescription, shampoo, soap } from '../../src/optim/index.ts';
import { inverseRoot, orthonormaliseRows, rootScratch } from '../../src/optim/matrix-roots.ts';
import { plainGemm } from '../../src/optim/product.ts';
import { runOptimizer } from '../../src/optim/run.ts';
import { numbers, parabola, rosenbrock, tensorTable } from './vectors.ts';

// Plain matrices as rows: the oracle's own arithmetic.
type Matrix = number[][];
const toMatrix = (x: ArrayLike<number>, rows: number): Matrix =>
  Array.from({ length: rows }, (_, i) =>
    Array.from({ length: x.length / rows }, (_, j) => x[(i * x.length) / rows + j]),
  );
const transpose = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
const combine = (alpha: number, a: Matrix, beta: number, b: Matrix): Matrix =>
  a.map((row, i) => row.map((x, j) => alpha * x + beta * b[i][j]));
const norm = (a: Matrix): number => Math.hypot(...a.flat());
const identity = (n: number): Matrix =>
  Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => Number(i === j)));

/** Eigenvalues and vectors (as columns) of a symmetric matrix, by Jacobi rotations. */
function eigen(input: Matrix): { values: number[]; vectors: Matrix } {
  const a = input.map((row) => [...row]);
  const n = a.length;
  const v = identity(n);
  for (let sweep = 0; sweep < 60; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (Math.abs(a[p][q]) < 1e-300) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        for (let k = 0; k < n; k++) [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
        for (let k = 0; k < n; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
        for (let k = 0; k < n; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
      }
    }
  }
  return { values: a.map((row, i) => row[i]), vectors: v };
}

function powerOf(a: Matrix, exponent: number): Matrix {
  const { values, vectors } = eigen(a);
  const scaled = vectors.map((row) => row.map((x, j) => x * values[j] ** exponent));
  return times(scaled, transpose(vectors));
}

/**
 * Orthonormal columns with the span of the first ones of `a`, R with a positive diagonal: classical Gram-Schmidt, twice. Where a
 * column depends on those before it, the column of `spare` stands in.
 */
function orthonormal(a: Matrix, spare: Matrix): Matrix {
  const done: number[][] = [];
  const without = (column: number[]): number[] => {
    const products = done.map((d) => d.reduce((sum, x, i) => sum + x * column[i], 0));
    return column.map((x, i) => x - done.reduce((sum, d, k) => sum + products[k] * d[i], 0));
  };
  transpose(a).forEach((column, i) => {
    let rest = without(without(column));
    if (Math.hypot(...rest) <= 1e-5 * Math.hypot(...column)) rest = without(without(transpose(spare)[i]));
    const length = Math.hypot(...rest);
    done.push(rest.map((x) => x / length));
  });
  return transpose(done);
}

const gradient = (size: number, t: number) => numbers(size, 200 + t).map((x, i) => x + 0.3 * Math.sin(i));
const worst = (actual: ArrayLike<number>, expected: readonly number[]) =>
  expected.reduce((w, x, i) => Math.max(w, Math.abs(actual[i] - x)), 0);

describe('inverse roots', () => {
  test.each([
    { n: 1, p: 4 },
    { n: 5, p: 4 },
    { n: 8, p: 2 },
    { n: 17, p: 4 },
  ] as const)('of a random $n x $n matrix to the power -1/$p, against eigenvectors', ({ n, p }) => {
    const g = toMatrix(numbers(n * n, n), n);
    const a = times(g, transpose(g));
    const ridge = (1e-3 * a.reduce((sum, row, i) => sum + row[i], 0)) / n;
    const expected = powerOf(combine(1, a, ridge, identity(n)), -1 / p).flat();
    const scale = Math.max(...expected.map(Math.abs));
    const root = (floats: (size: number) => FloatArray) => {
      const [out, input] = [floats(n * n), floats(n * n)];
      input.set(a.flat());
      inverseRoot(plainGemm, out, input, n, p, ridge, floats(rootScratch(n)));
      return out;
    };
    expect(
      worst(
        root((size) => new Float64Array(size)),
        expected,
      ) / scale,
    ).toBeLessThanOrEqual(1e-6);
    expect(
      worst(
        root((size) => new Float32Array(size)),
        expected,
      ) / scale,
    ).toBeLessThanOrEqual(1e-3);
  });

  test('rows become orthonormal even where they depend on each other', () => {
    for (const rows of [numbers(36, 3), new Array(36).fill(1), new Array(36).fill(0)]) {
      const basis = Float64Array.from(rows);
      orthonormaliseRows(basis, new Float64Array(36), 6);
      const b = toMatrix(basis, 6);
      expect(worst(times(b, transpose(b)).flat(), identity(6).flat())).toBeLessThanOrEqual(1e-12);
    }
  });
});

/** A tall hidden matrix, a wide one, a bias and the output layer, trained side by side; each row of `expected` is one of them. */
const SHAPES = [[5, 3], [3, 4], [4], [4, 2]];

function trajectory(description: OptimizerDescription, steps: number) {
  const { def, options, schedule } = resolveOptimizer(description);
  const tensors = tensorTable(...SHAPES);
  const params = new Float64Array(64);
  for (const [i, { offset, size }] of tensors.entries()) params.set(numbers(size, 40 + i), offset);
  const run = runOptimizer(def, options, tensors, params);
  const states = [];
  for (let t = 1; t <= steps; t++) {
    run.step(
      (_, grad) => {
        for (const [i, { offset, size }] of tensors.entries()) {
          grad?.set(
            Float64Array.from(gradient(size, 10 * t + i), (g) => 8 * g),
            offset,
          );
        }
        return 0;
      },
      Number(schedule),
      0.125,
    );
    states.push(tensors.map(({ offset, size }) => [...params.subarray(offset, offset + size)]));
  }
  return states;
}

const startOf = (i: number) =>
  numbers(
    SHAPES[i].reduce((a, b) => a * b, 1),
    40 + i,
  );

/** Adam with a decoupled decay, from its paper. */
function adamOracle(i: number, steps: number, o: { lr: number; b1: number; b2: number; eps: number; decay: number }) {
  const p = startOf(i);
  const [m, v] = [p.map(() => 0), p.map(() => 0)];
  for (let t = 1; t <= steps; t++) {
    gradient(p.length, 10 * t + i).forEach((g, k) => {
      p[k] *= 1 - o.lr * o.decay;
      m[k] = o.b1 * m[k] + (1 - o.b1) * g;
      v[k] = o.b2 * v[k] + (1 - o.b2) * g * g;
      p[k] -= (o.lr * (m[k] / (1 - o.b1 ** t))) / (Math.sqrt(v[k] / (1 - o.b2 ** t)) + o.eps);
    });
  }
  return p;
}

describe('Muon', () => {
  const states = trajectory(muon({ lr: 0.1, weightDecay: 0.2, adamLrScale: 0.1 }), 6);

  test.each([0, 1])('matrix %i follows the paper', (i) => {
    const rows = SHAPES[i][0];
    let p = toMatrix(startOf(i), rows);
    let b = combine(0, p, 0, p);
    for (let t = 1; t <= 6; t++) {
      const g = toMatrix(gradient(p.length * p[0].length, 10 * t + i), rows);
      b = combine(0.95, b, 1, g);
      const u = combine(1, g, 0.95, b);
      let x = combine(1 / (norm(u) + 1e-7), u, 0, u);
      for (let k = 0; k < 5; k++) {
        const a = times(x, transpose(x));
        x = combine(3.4445, x, 1, times(combine(-4.775, a, 2.0315, times(a, a)), x));
      }
      const scale = Math.sqrt(Math.max(1, p[0].length / rows));
      p = combine(1 - 0.1 * 0.2, p, -0.1 * scale, x);
      expect(worst(states[t - 1][i], p.flat())).toBeLessThanOrEqual(1e-11);
    }
  });

  test.each([2, 3])('tensor %i (bias, output layer) follows AdamW', (i) => {
    const expected = adamOracle(i, 6, { lr: 0.01, b1: 0.9, b2: 0.95, eps: 1e-10, decay: 0.2 });
    expect(worst(states[5][i], expected)).toBeLessThanOrEqual(1e-12);
  });

  test('needs a hidden matrix', () => {
    const bind = (description: OptimizerDescription, shapes: number[][]) =>
      bindOptimizer(resolveOptimizer(description), tensorTable(...shapes));
    for (const [description, shapes] of [
      [muon(), [[4], [3]]],
      [muon(), [[4, 3], [3]]],
      [
        muon({ exclude: ['t0'] }),
        [
          [4, 3],
          [3, 2],
        ],
      ],
    ] as const) {
      expect(() =>
        bind(
          description,
          shapes.map((s) => [...s]),
        ),
      ).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
    }
    expect(
      bind(muon(), [
        [4, 3],
        [3, 2],
      ]).groups[0].options,
    ).toMatchObject({ matrices: ['t0'] });
  });
});

describe('Shampoo', () => {
  test.each([
    { name: 'the paper: sums, no grafting, no momentum', beta1: 0, beta2: 1, graft: 'none' },
    { name: 'running means, grafting, momentum', beta1: 0.9, beta2: 0.9, graft: 'rmsprop' },
  ] as const)('$name', ({ beta1, beta2, graft }) => {
    const eps = 1e-3;
    const states = trajectory(
      shampoo({ lr: 0.1, betas: [beta1, beta2], eps, interval: 2, graft, weightDecay: 0.1 }),
      5,
    );
    for (const i of [0, 1, 3]) {
      const [rows, columns] = SHAPES[i];
      let p = toMatrix(startOf(i), rows);
      let [l, r, v, m] = [
        combine(0, identity(rows), 0, identity(rows)),
        combine(0, identity(columns), 0, identity(columns)),
        combine(0, p, 0, p),
        combine(0, p, 0, p),
      ];
      let [left, right] = [l, r];
      for (let t = 1; t <= 5; t++) {
        const g = toMatrix(gradient(rows * columns, 10 * t + i), rows);
        const gain = beta2 === 1 ? 1 : 1 - beta2;
        const correction = beta2 === 1 ? 1 : 1 / (1 - beta2 ** t);
        l = combine(beta2, l, gain, times(g, transpose(g)));
        r = combine(beta2, r, gain, times(transpose(g), g));
        v = v.map((row, a) => row.map((x, b) => beta2 * x + gain * g[a][b] ** 2));
        if (t % 2 === 1) {
          const corrected = (a: Matrix) => {
            const trace = a.reduce((sum, row, k) => sum + row[k], 0);
            return combine(correction, a, (correction * eps * trace) / a.length, identity(a.length));
          };
          left = powerOf(corrected(l), -0.25);
          right = powerOf(corrected(r), -0.25);
        }
        let d = times(times(left, g), right);
        if (graft === 'rmsprop') {
          const step = g.map((row, a) => row.map((x, b) => x / (Math.sqrt(v[a][b] * correction) + eps)));
          d = combine(norm(step) / norm(d), d, 0, d);
        }
        m = combine(beta1, m, 1 - beta1, d);
        p = combine(1 - 0.1 * 0.1, p, -0.1, m);
        expect(worst(states[t - 1][i], p.flat())).toBeLessThanOrEqual(1e-6);
      }
    }
  });
});

test('SOAP follows its paper, with a basis by orthogonal iteration', () => {
  const o = { lr: 0.05, b1: 0.9, b2: 0.8, shampoo: 0.7, eps: 1e-8, decay: 0.1 };
  const states = trajectory(
    soap({ lr: o.lr, betas: [o.b1, o.b2], shampooBeta: o.shampoo, interval: 2, weightDecay: o.decay }),
    5,
  );
  for (const i of [0, 1, 3]) {
    const [rows, columns] = SHAPES[i];
    let p = toMatrix(startOf(i), rows);
    const zero = combine(0, p, 0, p);
    let [m, w] = [zero, zero];
    let [l, r] = [combine(0, identity(rows), 0, identity(rows)), combine(0, identity(columns), 0, identity(columns))];
    let [u, v] = [identity(rows), identity(columns)];
    const turn = (basis: Matrix, a: Matrix): Matrix => {
      const trace = a.reduce((sum, row, k) => sum + row[k], 0);
      return orthonormal(times(combine(1, a, (1e-6 * trace) / a.length, identity(a.length)), basis), basis);
    };
    for (let t = 1; t <= 5; t++) {
      const g = toMatrix(gradient(rows * columns, 10 * t + i), rows);
      m = combine(o.b1, m, 1 - o.b1, g);
      l = combine(o.shampoo, l, 1 - o.shampoo, times(g, transpose(g)));
      r = combine(o.shampoo, r, 1 - o.shampoo, times(transpose(g), g));
      for (let k = 0; k < (t === 1 ? 10 : t % 2); k++) [u, v] = [turn(u, l), turn(v, r)];
      const rotated = times(times(transpose(u), g), v);
      const mean = times(times(transpose(u), m), v);
      w = w.map((row, a) => row.map((x, b) => o.b2 * x + (1 - o.b2) * rotated[a][b] ** 2));
      const step = mean.map((row, a) =>
        row.map((x, b) => x / (1 - o.b1 ** t) / (Math.sqrt(w[a][b] / (1 - o.b2 ** t)) + o.eps)),
      );
      p = combine(1 - o.lr * o.decay, p, -o.lr, times(times(u, step), transpose(v)));
      expect(worst(states[t - 1][i], p.flat())).toBeLessThanOrEqual(1e-8);
    }
  }
  const bias = adamOracle(2, 5, { ...o });
  expect(worst(states[4][2], bias)).toBeLessThanOrEqual(1e-12);
});

describe('L-BFGS', () => {
  const golden: Record<string, { rows: number[][] }> = JSON.parse(
    readFileSync(new URL('../golden/optimizers-more-pytorch-1.13.json', import.meta.url), 'utf8'),
  ).rosenbrock;

  test.each([
    ['lbfgs', lbfgs({ historySize: 100 })],
    ['lbfgs_short_memory', lbfgs({ lr: 0.5, historySize: 3 })],
  ])('follows PyTorch on Rosenbrock: %s', (name, description) => {
    const { def, options, schedule } = resolveOptimizer(description);
    const run = runOptimizer(def, options, tensorTable([2]), Float64Array.of(-1.2, 1));
    for (const [step, ...expected] of golden[name].rows) {
      run.step(rosenbrock, Number(schedule));
      // Rounding grows along the valley.
      expect(worst(run.params, expected), `step ${step}`).toBeLessThanOrEqual(1e-7);
    }
  });

  test('finds the minimum of a bowl in a step or two and stands still there', () => {
    const { def, options } = resolveOptimizer(lbfgs());
    const run = runOptimizer(def, options, tensorTable([3, 5], [4]), Float64Array.from(numbers(32, 5)));
    for (let t = 0; t < 4; t++) run.step((p, grad) => parabola(p, grad), 1);
    for (const { offset, size } of tensorTable([3, 5], [4])) {
      for (const p of run.params.subarray(offset, offset + size)) expect(Math.abs(p - 1)).toBeLessThanOrEqual(1e-9);
    }
    const before = [...run.params];
    run.step(parabola, 1);
    expect([...run.params]).toEqual(before);
  });

  test('a trial point where the loss is infinite is too far, not the end', () => {
    const { def, options } = resolveOptimizer(lbfgs());
    // -log x + x: infinite for x <= 0, minimum at 1; the first trial from 3 with lr 10 goes far below 0.
    const barrier = (p: ArrayLike<number>, grad?: FloatArray) => {
      if (grad) grad[0] = 1 - 1 / p[0];
      return p[0] > 0 ? p[0] - Math.log(p[0]) : Number.NaN;
    };
    const run = runOptimizer(def, options, tensorTable([1]), Float64Array.of(3));
    for (let t = 0; t < 20; t++) run.step(barrier, 10);
    expect(Math.abs(run.params[0] - 1)).toBeLessThanOrEqual(1e-4);
  });

  test('limits are checked', () => {
    expect(() => resolveOptimizer(lbfgs({ c1: 0.95 }))).toThrow('optimizer.c1: expected a number below c2');
    expect(resolveOptimizer(lbfgs()).def.fullBatch).toBe(true);
  });
});
