import { describe, expect, it } from 'vitest';
import { performanceProfiles, TAU_MAX } from '../../src/compare/profile.ts';
import { philox } from '../fixtures/philox.ts';

describe('performanceProfiles', () => {
  it("gives AlgoPerf's score of an example by hand", () => {
    const [a, b] = performanceProfiles(
      new Map([
        ['a', [10, 40, Number.POSITIVE_INFINITY]],
        ['b', [20, 20, 30]],
      ]),
    );
    expect(a.ratios).toEqual([1, 2, Number.POSITIVE_INFINITY]);
    expect(b.ratios).toEqual([2, 1, 1]);
    expect(a.steps).toEqual([
      { tau: 1, share: 1 / 3 },
      { tau: 2, share: 2 / 3 },
    ]);
    // Integral of rho over [1, 4], divided by 3: (3 + 2 + 0) / 9 and (2 + 3 + 3) / 9.
    expect(a.score).toBeCloseTo(5 / 9, 12);
    expect(b.score).toBeCloseTo(8 / 9, 12);
  });

  it('is the integral of its own staircase', () => {
    const random = philox(5);
    const times = new Map(['a', 'b', 'c'].map((name) => [name, Array.from({ length: 6 }, () => 1 + 9 * random())]));
    for (const { steps, score } of performanceProfiles(times)) {
      const ends = [...steps.slice(1).map(({ tau }) => tau), TAU_MAX];
      const integral = steps.reduce((sum, { tau, share }, i) => sum + share * (ends[i] - tau), 0);
      expect(score).toBeCloseTo(integral / (TAU_MAX - 1), 12);
    }
  });

  it('gives nobody anything where all missed', () => {
    const missed = Number.POSITIVE_INFINITY;
    const profiles = performanceProfiles(
      new Map([
        ['a', [missed]],
        ['b', [missed]],
      ]),
    );
    expect(profiles.map(({ score }) => score)).toEqual([0, 0]);
  });
});
