import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import {
  clipAdaptively,
  clipDecision,
  NORM_STATE,
  NORM_WINDOW,
  NormHistory,
  newClipDecision,
  parseClip,
  tensorCoefficient,
} from '../../src/optim/clip.ts';
import { numbers } from './vectors.ts';

const decide = (squaredNorm: number, weight: number, globalNorm?: number, loss = 1) =>
  clipDecision({ squaredNorm, weight, loss }, globalNorm, newClipDecision());

const gradients = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }).map(Math.fround), {
  minLength: 1,
  maxLength: 20,
});
const weights = fc.double({ min: 1e-3, max: 1e4, noNaN: true });
const limits = fc.double({ min: 1e-4, max: 1e3, noNaN: true });
const norm = (g: readonly number[]): number => Math.sqrt(g.reduce((sum, x) => sum + x * x, 0));

describe('clipping by global norm', () => {
  test('the norm after clipping is at most the limit', () => {
    fc.assert(
      fc.property(gradients, weights, limits, (sum, weight, limit) => {
        const { gradScale } = decide(norm(sum) ** 2, weight, limit);
        expect(norm(sum.map((g) => gradScale * g))).toBeLessThanOrEqual(limit * (1 + 1e-12));
      }),
    );
  });

  test('the direction stays, and what lies well inside the limit is only divided by the weights', () => {
    fc.assert(
      fc.property(gradients, weights, limits, (sum, weight, limit) => {
        const { gradScale, clipScale, gradNorm } = decide(norm(sum) ** 2, weight, limit);
        expect(gradScale).toBeGreaterThan(0);
        expect(Math.abs(gradNorm - norm(sum) / weight)).toBeLessThanOrEqual(1e-12 * gradNorm);
        if (norm(sum) / weight + 1e-6 <= limit) expect(clipScale).toBe(1);
        else expect(clipScale).toBeLessThanOrEqual(1);
        expect(gradScale).toBe(clipScale / weight);
      }),
    );
  });

  test("the coefficient is PyTorch's", () => {
    expect(decide(100, 2, 1)).toEqual({
      action: 'update',
      broken: 'nothing',
      gradNorm: 5,
      clipScale: 1 / (5 + 1e-6),
      gradScale: 1 / (5 + 1e-6) / 2,
    });
  });

  test('without a limit nothing is clipped', () => {
    expect(decide(1e30, 4)).toMatchObject({ action: 'update', clipScale: 1, gradScale: 0.25, gradNorm: 1e15 / 4 });
  });

  test('the weights cancel: a gradient counted twice with twice the weight is the same step', () => {
    fc.assert(
      fc.property(gradients, weights, limits, (sum, weight, limit) => {
        const once = decide(norm(sum) ** 2, weight, limit);
        const twice = decide(4 * norm(sum) ** 2, 2 * weight, limit);
        expect(twice.clipScale).toBe(once.clipScale);
        expect(2 * twice.gradScale).toBe(once.gradScale);
      }),
    );
  });
});

describe('what cannot be learned from', () => {
  test('no weight: skip', () => {
    expect(decide(0, 0, 1, 0)).toEqual({ action: 'skip', broken: 'nothing', gradNorm: 0, clipScale: 0, gradScale: 0 });
  });

  test.each([
    [Number.NaN, 1, 1, 'gradient'],
    [Number.POSITIVE_INFINITY, 1, 1, 'gradient'],
    [1, 1, Number.NaN, 'loss'],
    [1, 1, Number.NEGATIVE_INFINITY, 'loss'],
    [1, Number.NaN, 1, 'weight'],
    [1, Number.POSITIVE_INFINITY, 1, 'weight'],
    [1, -1, 1, 'weight'],
    [Number.NaN, 0, 0, 'gradient'],
    [0, 0, Number.NaN, 'loss'],
  ])('squared norm %d, weight %d, loss %d: stop, the %s is broken', (squaredNorm, weight, loss, broken) => {
    expect(decide(squaredNorm, weight, 1, loss)).toMatchObject({ action: 'stop', broken, gradScale: 0, clipScale: 0 });
  });

  test('a decision leaves nothing of the one before it', () => {
    const out = newClipDecision();
    clipDecision({ squaredNorm: Number.NaN, weight: 1, loss: 1 }, 1, out);
    expect(clipDecision({ squaredNorm: 4, weight: 1, loss: 1 }, 1, out)).toBe(out);
    expect(out).toEqual(decide(4, 1, 1));
  });
});

test('norm first, then values: both limits hold for what the optimizer sees', () => {
  fc.assert(
    fc.property(gradients, weights, limits, limits, (sum, weight, globalNorm, value) => {
      const heap = referenceHeap(1024);
      heap.real.set(sum);
      const { gradScale } = decide(norm(sum) ** 2, weight, globalNorm);
      referenceKernels(heap).clampScaled(512, 0, sum.length, gradScale, value);
      const clipped = [...heap.real.subarray(128, 128 + sum.length)];
      expect(norm(clipped)).toBeLessThanOrEqual(globalNorm * (1 + 1e-12));
      for (const [i, g] of clipped.entries()) {
        expect(Math.abs(g)).toBeLessThanOrEqual(value);
        expect(Math.sign(g)).toBe(Math.sign(sum[i]));
      }
    }),
  );
});

describe('clipping by tensor', () => {
  test('norm and root mean square are at most the limits, and what lies inside is left alone', () => {
    fc.assert(
      fc.property(gradients, limits, limits, (g, tensorNorm, blockRms) => {
        const clipped = (clip: object) => norm(g) * tensorCoefficient(clip, norm(g), g.length);
        expect(clipped({ tensorNorm })).toBeLessThanOrEqual(tensorNorm);
        expect(clipped({ blockRms })).toBeLessThanOrEqual(blockRms * Math.sqrt(g.length) * (1 + 1e-12));
        const both = clipped({ tensorNorm, blockRms });
        expect(both).toBeLessThanOrEqual(Math.min(tensorNorm, blockRms * Math.sqrt(g.length)) * (1 + 1e-12));
        if (norm(g) + 1e-6 <= tensorNorm) expect(clipped({ tensorNorm })).toBe(norm(g));
        if (norm(g) <= blockRms * Math.sqrt(g.length) * (1 - 1e-12)) expect(clipped({ blockRms })).toBe(norm(g));
      }),
    );
  });

  test("the coefficients are PyTorch's and optax's", () => {
    expect(tensorCoefficient({ tensorNorm: 1 }, 5, 4)).toBe(1 / (5 + 1e-6));
    expect(tensorCoefficient({ blockRms: 0.5 }, 5, 4)).toBe(1 / (5 / 2 / 0.5));
    expect(tensorCoefficient({}, 5, 4)).toBe(1);
  });

  test.each([
    { shape: [7], columns: 1 },
    { shape: [5, 3], columns: 3 },
    { shape: [2, 2, 3, 4], columns: 4 },
  ])('adaptive: a unit of $shape is what leads to one output', ({ shape, columns }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const [grad, scale, ratio] = [numbers(size, 5).map((x) => 3 * x), 0.25, 0.1];
    // The last unit has no weights to speak of: 1e-3 stands for their norm.
    const param = numbers(size, 6).map((x, i) => (i % columns === columns - 1 ? 1e-6 * x : x));
    const out = new Float64Array(size);
    const smallest = clipAdaptively(
      out, Float64Array.from(grad), Float64Array.from(param), columns, scale, ratio, new Float64Array(2 * columns),
    ); // biome-ignore format: a call
    const coefficients = Array.from({ length: columns }, (_, j) => {
      const unit = (x: readonly number[]) => norm(x.filter((_, i) => i % columns === j));
      const [g, w] = [scale * unit(grad), unit(param)];
      return Math.min(1, (ratio * Math.max(w, 1e-3)) / g);
    });
    grad.forEach((g, i) => {
      expect(Math.abs(out[i] - scale * g * coefficients[i % columns])).toBeLessThanOrEqual(1e-15);
    });
    expect(smallest).toBeCloseTo(Math.min(...coefficients), 14);
    expect(smallest).toBeLessThan(1);
  });
});

describe("globalNorm 'auto'", () => {
  const historyOf = (norms: readonly number[]) => {
    const history = new NormHistory();
    for (const x of norms) history.push(x);
    return history;
  };

  test('is the 90th percentile of the last 256 norms, once there are ten', () => {
    const norms = numbers(600, 3).map((x) => 1 + x * x);
    for (const count of [0, 1, 9, 10, 11, 100, 256, 257, 600]) {
      const last = norms.slice(0, count).slice(-256);
      const limit = historyOf(norms.slice(0, count)).limit();
      if (count < 10) expect(limit).toBeUndefined();
      else {
        expect(last.filter((x) => x <= Number(limit)).length).toBe(Math.ceil(0.9 * last.length));
        expect(last).toContain(limit);
      }
    }
  });

  test('is a function of the history alone: saved and loaded it goes on as before', () => {
    const norms = numbers(300, 4).map((x) => 1 + x * x);
    const [whole, first] = [historyOf(norms), historyOf(norms.slice(0, 200))];
    const saved = new Float64Array(1 + NORM_STATE.length);
    first.save(saved, 1);
    const second = historyOf(numbers(20, 9).map(Math.abs));
    second.load(saved.subarray(1));
    for (const x of norms.slice(200)) second.push(x);
    expect(second.limit()).toBe(whole.limit());
    expect(NORM_STATE).toHaveLength(1 + NORM_WINDOW);
  });
});

test('the clip of a job is validated', () => {
  expect(parseClip(undefined)).toEqual({});
  expect(parseClip({ globalNorm: 1, value: 0.5 })).toEqual({ globalNorm: 1, value: 0.5 });
  expect(() => parseClip({ globalnorm: 1 })).toThrow("did you mean 'globalNorm'");
  expect(() => parseClip({ value: 0 })).toThrow('clip.value: expected a number > 0, got 0');
  expect(() => parseClip(1)).toThrow('clip: expected an object with options, got 1');
});
