import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Curves } from '../../src/dashboard/curves.ts';

const CAPACITY = 16;

/** What groups must say of the steps they hold. */
function expectTrue(values: readonly number[], { step, count, mean, min, max }: ReturnType<Curves['query']>): void {
  let from = step[0] - count[0];
  for (let i = 0; i < step.length; i++) {
    const inside = values.slice(from, step[i]).filter(Number.isFinite);
    expect(step[i] - from).toBe(count[i]);
    from = step[i];
    if (inside.length === 0) {
      expect(mean.y[i]).toBeNull();
      continue;
    }
    expect(mean.y[i]).toBeCloseTo(inside.reduce((a, b) => a + b) / inside.length, 3);
    expect(min?.y[i] ?? mean.y[i]).toBeCloseTo(Math.min(...inside), 3);
    expect(max?.y[i] ?? mean.y[i]).toBeCloseTo(Math.max(...inside), 3);
  }
}

test('groups hold all steps in order, with their mean and every peak, whatever the length of the run and of the answer', () => {
  const value = fc.oneof({ weight: 9, arbitrary: fc.double({ min: -100, max: 100, noNaN: true }) }, { weight: 1, arbitrary: fc.constant(Number.NaN) }); // biome-ignore format: one line
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 1, maxLength: 300 }),
      fc.integer({ min: 1, max: 40 }),
      (values, points) => {
        const curves = new Curves(['y'], ['y'], CAPACITY);
        for (const [i, y] of values.entries()) curves.push(i + 1, [y]);
        expect(curves.length).toBeLessThanOrEqual(CAPACITY);
        const all = curves.query(points);
        expect(all.step.length).toBeLessThanOrEqual(points);
        expect(all.count.reduce((a, b) => a + b)).toBe(values.length);
        expect(all.step.at(-1)).toBe(values.length);
        expectTrue(values, all);
        expectTrue(values, curves.query(points, values.length / 3, values.length / 2));
      },
    ),
    { numRuns: 60 },
  );
});

test('what fits is kept step by step, to seven digits', () => {
  const curves = new Curves(['y'], ['y'], CAPACITY);
  for (let step = 1; step <= CAPACITY; step++) curves.push(step, [1 / step]);
  const { step, mean, min } = curves.query(100, 3, 7);
  expect(step).toEqual([3, 4, 5, 6, 7]);
  expect(mean.y).toEqual([1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 7].map((v) => Number(v.toPrecision(7))));
  expect(min).toBeUndefined();
});

test('steps after the one that a run is resumed from are forgotten', () => {
  const curves = new Curves(['y'], [], CAPACITY);
  for (let step = 1; step <= 10; step++) curves.push(step, [step]);
  curves.truncate(6);
  curves.push(7, [70]);
  expect(curves.query(100)).toMatchObject({ step: [1, 2, 3, 4, 5, 6, 7], mean: { y: [1, 2, 3, 4, 5, 6, 70] } });
});
