import { describe, expect, test } from 'vitest';
import { Calendar } from '../../src/parallel/calendar.ts';
import { type Course, innerSteps, type Pace, roundOf } from '../../src/parallel/inner-steps.ts';

// All of these courses, paces and warm-ups, against rounds that are laid out one step after the other.

interface Case {
  readonly course: Course;
  readonly pace: Pace;
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);
const CASES: readonly Case[] = upTo(9).flatMap((stepsPerEpoch) =>
  upTo(22).flatMap((totalSteps) =>
    upTo(6).flatMap((every) =>
      [0, ...upTo(24)].map((warmup) => ({ course: { stepsPerEpoch, totalSteps }, pace: { every, warmup } })),
    ),
  ),
);

/** The steps of each round: a new one begins after an epoch, with each step until the warm-up is over, then at multiples of H. */
function laidOut({ course, pace }: Case): number[][] {
  const rounds: number[][] = [];
  for (const step of upTo(course.totalSteps)) {
    const inEpoch = (step - 1) % course.stepsPerEpoch;
    const begins = inEpoch % pace.every === 0 || step <= pace.warmup + 1;
    if (begins) rounds.push([]);
    rounds.at(-1)?.push(step);
  }
  return rounds;
}

const said = ({ course, pace }: Case) => JSON.stringify([course, pace]);

describe('rounds of local steps', () => {
  test('are the steps of the job in their order, each once, and none reaches over the end of an epoch or of the warm-up', () => {
    for (const { course, pace } of CASES) {
      const of = said({ course, pace });
      const rounds = laidOut({ course, pace });
      const found = rounds.map((_, i) => {
        const { first, count } = innerSteps(i + 1, pace, course);
        return Array.from({ length: count }, (_, k) => first + k);
      });
      if (JSON.stringify(found) !== JSON.stringify(rounds)) expect(found, of).toEqual(rounds);
      const epochs = found.map((steps) => new Set(steps.map((step) => Math.ceil(step / course.stepsPerEpoch))).size);
      if (epochs.some((count) => count !== 1)) expect(epochs, of).toEqual(rounds.map(() => 1));
    }
  });

  test('every step knows its own', () => {
    for (const { course, pace } of CASES) {
      laidOut({ course, pace }).forEach((steps, i) => {
        for (const step of steps) {
          if (roundOf(step, pace, course) !== i + 1)
            expect(roundOf(step, pace, course), said({ course, pace })).toBe(i + 1);
        }
      });
    }
  });

  test('without a warm-up there are ceil(n / H) in each epoch of n steps; with H = 1 they are the steps', () => {
    const course = { stepsPerEpoch: 10, totalSteps: 30 };
    const calendar = new Calendar(course, { every: 4, warmup: 0 });
    expect([calendar.totalSteps, calendar.lastOf(1), calendar.lastOf(2), calendar.even]).toEqual([9, 3, 6, true]);
    const plain = new Calendar(course);
    expect(upTo(30).map((step) => plain.epochOf(step))).toEqual(upTo(30).map((step) => Math.ceil(step / 10)));
    expect(upTo(30).filter((step) => plain.endsEpoch(step))).toEqual([10, 20, 30]);
  });
});

describe('the calendar of a run in rounds', () => {
  test('has the epochs of the job, in whatever phase they end', () => {
    for (const { course, pace } of CASES) {
      const { stepsPerEpoch, totalSteps } = course;
      const calendar = new Calendar(course, pace);
      const rounds = laidOut({ course, pace });
      const epochs = rounds.map(([first]) => Math.ceil(first / stepsPerEpoch));
      const ends = rounds.map((steps) => (steps.at(-1) ?? 0) % stepsPerEpoch === 0);
      const found = {
        total: calendar.totalSteps,
        count: calendar.epochs,
        epochs: rounds.map((_, i) => calendar.epochOf(i + 1)),
        ends: rounds.map((_, i) => calendar.endsEpoch(i + 1)),
        last: [0, ...upTo(calendar.epochs)].map((epoch) => calendar.lastOf(epoch)),
      };
      const expected = {
        total: rounds.length,
        count: Math.ceil(totalSteps / stepsPerEpoch),
        epochs,
        ends,
        last: [0, ...upTo(calendar.epochs)].map((epoch) => epochs.filter((e) => e <= epoch).length),
      };
      if (JSON.stringify(found) !== JSON.stringify(expected)) expect(found, said({ course, pace })).toEqual(expected);
    }
  });

  test('before the first step the first epoch is under way, and none has ended', () => {
    for (const pace of [
      { every: 1, warmup: 0 },
      { every: 4, warmup: 0 },
      { every: 4, warmup: 3 },
    ]) {
      const calendar = new Calendar({ stepsPerEpoch: 10, totalSteps: 30 }, pace);
      expect([calendar.epochOf(0), calendar.endsEpoch(0), calendar.lastOf(0)]).toEqual([1, false, 0]);
    }
  });
});
