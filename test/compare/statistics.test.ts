import { describe, expect, it } from 'vitest';
import {
  bootstrapInterval,
  detectableEffect,
  difference,
  holm,
  median,
  quantile,
  smallestP,
  standardDeviation,
  wilcoxonSignedRank,
} from '../../src/compare/statistics.ts';
import { philox } from '../fixtures/philox.ts';

/** The definition: of all 2^n ways to give the ranks signs, the share at least as far out, doubled. */
function wilcoxonByEnumeration(differences: readonly number[]): number {
  const d = differences.filter((v) => v !== 0);
  const size = d.map(Math.abs);
  const ranks = size.map((v) => size.filter((u) => u < v).length + (size.filter((u) => u === v).length + 1) / 2);
  const observed = ranks.reduce((sum, rank, i) => sum + (d[i] > 0 ? rank : 0), 0);
  let [low, high] = [0, 0];
  for (let signs = 0; signs < 2 ** d.length; signs++) {
    const sum = ranks.reduce((total, rank, i) => total + ((signs >> i) & 1 ? rank : 0), 0);
    if (sum <= observed) low++;
    if (sum >= observed) high++;
  }
  return Math.min(1, (2 * Math.min(low, high)) / 2 ** d.length);
}

describe('wilcoxonSignedRank', () => {
  // scipy 1.17: [scipy.stats.wilcoxon(d, method='exact').pvalue for d in ...]; the first are Darwin's differences, of its manual.
  it.each([
    [[6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], 0.041259765625],
    [[1, 2, 3, 4, 5, 6, 7, 8], 0.0078125],
    [[-1, 2, -3, 4, -5, 6, -7, 8, 9, 10], 0.275390625],
    [[0.3, -0.1, 0.7, 1.1, -0.2, 0.9], 0.15625],
  ])('gives the p of scipy for %j', (d, p) => expect(wilcoxonSignedRank(d)).toBeCloseTo(p, 14));

  it('agrees with the enumeration of all signs, with ties, zeros and infinities', () => {
    const random = philox(7);
    for (let round = 0; round < 60; round++) {
      const n = 1 + Math.floor(random() * 10);
      const d = Array.from({ length: n }, () => {
        const v = Math.floor(random() * 9) - 4;
        return v === 4 ? Number.POSITIVE_INFINITY : v;
      });
      expect(wilcoxonSignedRank(d), JSON.stringify(d)).toBeCloseTo(wilcoxonByEnumeration(d), 12);
    }
  });

  it('finds nothing where nothing differs', () => {
    expect(wilcoxonSignedRank([])).toBe(1);
    expect(wilcoxonSignedRank([0, 0, 0])).toBe(1);
  });

  it('takes runs that missed as the worst, not as absent', () => {
    const finite = [1, 2, 3, 4, 5, -6];
    const missed = [1, 2, 3, 4, 5, Number.NEGATIVE_INFINITY];
    expect(wilcoxonSignedRank(missed)).toBe(wilcoxonSignedRank(finite));
    expect(wilcoxonSignedRank(missed)).toBeGreaterThan(wilcoxonSignedRank([1, 2, 3, 4, 5]));
  });
});

describe('holm', () => {
  // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), 'holm')
  it('agrees with p.adjust of R', () => {
    const expected = [0.03, 0.06, 0.06, 0.02];
    holm([0.01, 0.04, 0.03, 0.005]).forEach((p, i) => {
      expect(p).toBeCloseTo(expected[i], 12);
    });
  });

  it('never lowers a p, never exceeds 1, keeps the order', () => {
    const random = philox(3);
    for (let round = 0; round < 50; round++) {
      const p = Array.from({ length: 5 }, random);
      const adjusted = holm(p);
      p.forEach((value, i) => {
        expect(adjusted[i]).toBeGreaterThanOrEqual(value);
        expect(adjusted[i]).toBeLessThanOrEqual(1);
        p.forEach((other, j) => {
          if (other > value) expect(adjusted[j]).toBeGreaterThanOrEqual(adjusted[i]);
        });
      });
    }
  });
});

describe('median, quantile, spread', () => {
  it('of infinities are infinities', () => {
    const { POSITIVE_INFINITY: inf, NEGATIVE_INFINITY: minus } = Number;
    expect(median([1, inf, inf])).toBe(inf);
    expect(median([1, 2, inf])).toBe(2);
    expect(median([1, 2, 3, inf])).toBe(2.5);
    expect(median([inf, minus])).toBe(0);
    expect(median([])).toBeNaN();
    expect(median([1, Number.NaN, 3])).toBeNaN();
    expect(quantile([1, 2, 3, inf], 1)).toBe(inf);
    expect(quantile([5, 1, 3], 0)).toBe(1);
    expect(difference(inf, inf)).toBe(0);
    expect(difference(inf, 1)).toBe(inf);
    expect(standardDeviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(Math.sqrt(32 / 7), 12);
    expect(standardDeviation([1])).toBeNaN();
  });
});

describe('bootstrapInterval', () => {
  it('is the same for the same seed and lies within the data', () => {
    const values = [0.1, 0.2, 0.25, 0.3, 0.31, 0.4, 0.5, 0.8];
    const interval = bootstrapInterval(values, { seed: 1 });
    expect(bootstrapInterval(values, { seed: 1 })).toEqual(interval);
    expect(interval[0]).toBeGreaterThanOrEqual(0.1);
    expect(interval[1]).toBeLessThanOrEqual(0.8);
    expect(interval[0]).toBeLessThanOrEqual(median(values));
    expect(interval[1]).toBeGreaterThanOrEqual(median(values));
  });

  it('covers the true median as often as it says', () => {
    const random = philox(11);
    let covered = 0;
    const rounds = 300;
    for (let round = 0; round < rounds; round++) {
      const sample = Array.from({ length: 15 }, () => random() + random() + random() - 1.5);
      const [low, high] = bootstrapInterval(sample, { seed: round, resamples: 400 });
      if (low <= 0 && high >= 0) covered++;
    }
    // The percentile interval of a median of 15 covers 93 to 98 % (Efron & Tibshirani); four standard errors of 300 rounds.
    expect(covered / rounds).toBeGreaterThan(0.89);
  });
});

describe('detectableEffect', () => {
  it('is what mathematics says where only equal signs are significant', () => {
    // Eight pairs at 0.05 / 6: p <= 0.0083 only when all eight have one sign, so phi(effect)^8 = 0.8, effect = 1.9188.
    // scipy: scipy.stats.norm.ppf(0.8 ** (1 / 8))
    expect(detectableEffect(8, 0.05 / 6, 1)).toBeGreaterThan(1.9188 - 0.12);
    expect(detectableEffect(8, 0.05 / 6, 1)).toBeLessThan(1.9188 + 0.12);
  });

  it('falls with the number of pairs, and is infinite where no p is small enough', () => {
    expect(smallestP(5)).toBe(0.0625);
    expect(detectableEffect(5, 0.05, 1)).toBe(Number.POSITIVE_INFINITY);
    expect(detectableEffect(30, 0.05, 1)).toBeLessThan(detectableEffect(10, 0.05, 1));
  });
});
