import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  biasCorrection,
  overshoot,
  power,
  rateDecay,
  ravineSteps,
  wilson,
} from '../../src/compare/claims/constructed.ts';
import { breastCancer, digits, mackeyGlass, SERIES_LENGTH, spam } from '../../src/compare/claims/data.ts';
import { descend, LANDSCAPES } from '../../src/compare/claims/functions.ts';
import { judgeAll, renderClaims } from '../../src/compare/claims/page.ts';
import { drawPaths, pathsOn } from '../../src/compare/claims/paths.ts';
import { claimsSchema } from '../../src/compare/claims/results.ts';
import { runClaims } from '../../src/compare/claims/suite.ts';
import { middle, numbers, paired, summary } from '../../src/compare/claims/tables.ts';
import { CLAIMS, EXPERIMENTS } from '../../src/compare/claims.ts';

const at = (path: string) => new URL(`../../docs/${path}`, import.meta.url);
const read = (path: string) => readFileSync(at(path), 'utf8');

describe('the claims', () => {
  const results = claimsSchema.parse(JSON.parse(read('results/claims.json')));

  it('each have a verdict', () => {
    expect(results.quick).toBe(false);
    for (const { claim, judgement } of judgeAll(results)) {
      expect(judgement?.verdict, claim.id).toMatch(/^(holds|holds partly|does not hold)$/);
      if (judgement) expect(judgement.because, claim.id).not.toMatch(/undefined|NaN/);
    }
  });

  it('cover the ten chapters, and have names of their own', () => {
    expect([...new Set(CLAIMS.map(({ chapter }) => chapter))].sort((a, b) => a - b)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ]);
    expect(new Set(CLAIMS.map(({ id }) => id)).size).toBe(CLAIMS.length);
    expect(new Set(EXPERIMENTS.map(({ id }) => id)).size).toBe(EXPERIMENTS.length);
  });

  it('use every experiment, and only those', () => {
    const used = new Set(CLAIMS.map(({ test }) => test.experiment));
    expect([...used].sort()).toEqual(EXPERIMENTS.map(({ id }) => id).sort());
  });

  it('stand in docs/which-optimizer.md as the raw results say', () => {
    expect(read('which-optimizer.md')).toBe(renderClaims(results, 'results/'));
    for (const [, path] of read('which-optimizer.md').matchAll(/\]\((results\/[^)]*)\)/g))
      expect(existsSync(at(path)), path).toBe(true);
  });
});

describe('tables', () => {
  const table = {
    columns: ['kind', 'seed', 'loss'],
    rows: [
      ['a', 1, 1],
      ['a', 2, Number.NaN],
      ['a', 3, 3],
      ['b', 3, 1],
      ['b', 1, 2],
      ['b', 2, 5],
    ],
  };

  it('pair by seed and count a failed run as the worst', () => {
    expect(numbers(table, 'loss', 'b')).toEqual([1, 2, 5]);
    expect(middle(table, 'loss', 'a')).toBe(3);
    expect(paired(table, 'loss', 'a', 'b').difference).toBe(2); // -1, infinity, 2
    expect(() => numbers(table, 'nothing')).toThrow(RangeError);
  });

  it('are summed up by group, failures in words', () => {
    expect(summary(table)).toEqual({
      columns: ['kind', 'seeds', 'loss'],
      rows: [
        ['a', 3, 'failed in 1 of 3'],
        ['b', 3, 2],
      ],
    });
  });

  it('give the power of a power law', () => {
    expect(power([1, 2, 8, 64].map((x) => [x, 3 * x ** -1.5]))).toBeCloseTo(-1.5, 10);
  });
});

describe('experiments on constructed functions say what mathematics says', () => {
  const laboratory = { cores: 1, quick: true };

  it('overshoot of momentum on ½ x²', async () => {
    // x'' with lr 0.1, beta 0.9: roots of z² - (1 + 0.9 - 0.1) z + 0.9 have modulus sqrt(0.9) and angle acos(0.9 / sqrt(0.9)).
    let [x, velocity, far] = [1, 0, 0];
    for (let i = 0; i < 1000; i++) {
      velocity = 0.9 * velocity + x;
      x -= 0.1 * velocity;
      far = Math.max(far, -x);
    }
    expect(middle(await overshoot.run(laboratory), 'overshoot', ['momentum', 0.9])).toBeCloseTo(far, 12);
  });

  it("Adam's first step without bias correction is (1 - beta1) / sqrt(1 - beta2) long", async () => {
    const table = await biasCorrection.run(laboratory);
    expect(numbers(table, 'length', false)[0]).toBeCloseTo(0.1 / Math.sqrt(0.001), 5);
  });

  it("AdaGrad's rate after 500 equal gradients is 1 / sqrt(500) of the first", async () => {
    expect(numbers(await rateDecay.run(laboratory), 'rate / first rate', 'adagrad')[0]).toBeCloseTo(
      1 / Math.sqrt(500),
      6,
    );
  });

  it('descent with the best rate shrinks by (κ - 1) / (κ + 1) a step', async () => {
    // ½ (1 + κ) q^(2t) <= 1e-12
    const expected = Math.log(1e-12 / (0.5 * 101)) / (2 * Math.log(99 / 101));
    expect(numbers(await ravineSteps.run(laboratory), 'steps', ['sgd', 100])[0]).toBeCloseTo(expected, -0.5);
  });

  it("on Wilson's construction SGD ends at the solution of least norm", async () => {
    const table = await wilson.run(laboratory);
    expect(middle(table, 'test error', 'sgd')).toBe(0);
    expect(middle(table, 'test error', 'adam')).toBeGreaterThan(0.3);
    expect(middle(table, 'training error', 'adam')).toBe(0);
  });
});

describe('landscapes', () => {
  it.each(LANDSCAPES)('$name: gradient against finite differences, zero at the minima', ({ value, minima, start }) => {
    const grad = new Float64Array(2);
    for (const point of [start, [0.3, -0.7], [1.7, 0.9]] as const) {
      value(Float64Array.from(point), grad);
      for (const i of [0, 1]) {
        const h = 1e-6;
        const shifted = (sign: number) => value(Float64Array.from(point, (p, j) => (i === j ? p + sign * h : p)));
        expect(grad[i]).toBeCloseTo((shifted(1) - shifted(-1)) / (2 * h), 3);
      }
    }
    for (const minimum of minima) expect(value(Float64Array.from(minimum))).toBeLessThan(1e-8);
  });

  it('are drawn with the path of every optimizer that runs on them, without a NaN', () => {
    const paths = pathsOn(LANDSCAPES[0], [0.001]);
    const svg = drawPaths(LANDSCAPES[0], paths);
    expect(paths.map(({ optimizer }) => optimizer)).toEqual(
      expect.arrayContaining(['sgd', 'momentum', 'adam', 'lion']),
    );
    expect(svg.match(/class="path"/g)).toHaveLength(paths.length);
    expect(svg).not.toContain('NaN');
    expect(svg).toContain('<g id="levels"><path');
  });

  it('descend() stops when told', () => {
    let seen = 0;
    descend({ kind: 'sgd', lr: 0.1 }, LANDSCAPES[1].value, [0, 0], 100, () => ++seen === 7);
    expect(seen).toBe(7);
  });
});

describe('the data', () => {
  it('is whole', () => {
    const [d, b, s] = [digits(), breastCancer(), spam()];
    expect([d.x.shape, b.x.shape, s.x.shape]).toEqual([
      [1797, 64],
      [569, 30],
      [1200, 2000],
    ]);
    expect(new Set(d.y).size).toBe(10);
    expect(b.y.reduce((sum, y) => sum + y, 0)).toBe(357); // benign, as UCI says
    expect(s.y.reduce((sum, y) => sum + y, 0)).toBe(600);
    expect(s.x.data.reduce((sum, x) => sum + x, 0) / 1200).toBeCloseTo(97.1, 1);
    expect(Math.max(...d.x.data)).toBe(1);
  });

  it('has a series that is chaotic, centred and scaled', () => {
    const { x, y } = mackeyGlass();
    expect([...x.shape, y.length]).toEqual([1500, SERIES_LENGTH, 1500]);
    const mean = y.reduce((sum, value) => sum + value, 0) / y.length;
    const spread = Math.sqrt(y.reduce((sum, value) => sum + (value - mean) ** 2, 0) / y.length);
    expect(Math.abs(mean)).toBeLessThan(0.1);
    expect(spread).toBeGreaterThan(0.9);
    expect(spread).toBeLessThan(1.1);
    expect(new Set(y).size).toBeGreaterThan(1400); // no cycle
  });
});

describe('runClaims', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lockstep-claims-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('keeps what is done, goes on, and writes page and pictures', async () => {
    const stop = new AbortController();
    const experiments = [overshoot, rateDecay];
    const run = () => {
      stop.abort();
      return overshoot.run({ cores: 1, quick: true });
    };
    const aborting = { ...overshoot, run };
    const first = await runClaims({
      runDir: folder,
      quick: true,
      experiments: [rateDecay, aborting],
      signal: stop.signal,
    });
    expect(Object.keys(first.experiments)).toEqual(['rate-decay']);
    const ran: string[] = [];
    const second = await runClaims({
      runDir: folder,
      quick: true,
      resume: true,
      experiments,
      onExperiment: ({ id }) => ran.push(id),
    });
    expect(ran).toEqual(['overshoot']);
    const saved = claimsSchema.parse(JSON.parse(await readFile(join(folder, 'claims.json'), 'utf8')));
    expect(saved.experiments).toEqual(second.experiments);
    const page = await readFile(join(folder, 'which-optimizer.md'), 'utf8');
    expect(page).toContain('| Momentum overshoots the minimum, Nesterov less. | holds |');
    expect(page).toContain('| Adam converges fastest. | not run |');
    expect(existsSync(join(folder, 'paths-beale.svg'))).toBe(true);
  });
});
