import { expect, test } from 'vitest';
import type { PartStep } from '../../src/dashboard/contract.ts';
import { StepTimeline } from '../../src/dashboard/step-timeline.ts';
import { phasesOf, type WorkerStep } from '../../src/parallel/timeline.ts';

/** Steps of 10 ms, one after the other. */
const own = (rank: number, step: number): WorkerStep => {
  const start = 1e9 + 10 * step;
  const marks = { computed: start + 4 + rank, gathered: start + 6, reduced: start + 7, normed: start + 7.5, updated: start + 9, done: start + 10 }; // biome-ignore format: one line
  return { rank, step, start, ...marks, gatherMs: 0.5, forwardMs: 1 };
};
const part = (node: string, step: number): PartStep => {
  const start = 1e9 + 10 * step + 1;
  return { node, step, start, computeFrom: start + 1, computeTo: start + 3, end: start + 5 };
};

test('shows the last steps that all have done, side by side, and their means', () => {
  const timeline = new StepTimeline();
  for (let step = 1; step <= 40; step++) timeline.add([own(0, step), ...(step <= 38 ? [own(1, step)] : [])]);
  const { rows, leftOut } = timeline.view();
  expect(leftOut).toBe(0);
  expect(rows.map(({ name }) => name)).toEqual(['0', '1']);
  for (const [rank, { steps, meanMs }] of rows.entries()) {
    expect(steps.map(({ step }) => step)).toEqual([31, 32, 33, 34, 35, 36, 37, 38]);
    for (const { step, spans } of steps) {
      const first = 10 * (step - 31);
      expect(spans[0][1]).toBeCloseTo(first, 3);
      expect(spans.at(-1)?.[2]).toBeCloseTo(first + 10, 3);
      for (let i = 1; i < spans.length; i++) expect(spans[i][1]).toBeCloseTo(spans[i - 1][2], 6);
    }
    const { gather, forward, backward, update, waitGradients, waitNorms, waitParameters } = phasesOf(own(rank, 1));
    expect(meanMs).toMatchObject({ gather, forward, update });
    expect(meanMs.backward).toBeCloseTo(backward, 3);
    expect(meanMs.wait).toBeCloseTo(waitGradients + waitNorms + waitParameters, 3);
  }
});

test('nodes stand beside the workers of their coordinator; who is gone does not hold the picture up', () => {
  const timeline = new StepTimeline();
  timeline.add([part('dead', 1)]);
  for (let step = 1; step <= 200; step++) timeline.add([own(0, step), part('n1', step)]);
  const { rows } = timeline.view();
  expect(rows.map(({ name }) => name)).toEqual(['coordinator 0', 'n1']);
  expect(rows[1].meanMs).toEqual({ network: 3, compute: 2 });
  expect(rows[1].steps.map(({ step }) => step)).toEqual(rows[0].steps.map(({ step }) => step));
  expect(rows[1].steps[0].spans[0][1]).toBe(1); // later than the coordinator's step, on the same clock
});

test('has bounded memory, and says how many there is no room for', () => {
  const timeline = new StepTimeline();
  for (let step = 1; step <= 300; step++) for (let rank = 0; rank < 70; rank++) timeline.add([own(rank, step)]);
  expect(timeline.own.length).toBeLessThanOrEqual(64 * 128);
  const { rows, leftOut } = timeline.view();
  expect([rows.length, leftOut]).toEqual([64, 6]);
  timeline.clear();
  expect(timeline.view()).toEqual({ rows: [], leftOut: 0 });
});

test('a step that is done again replaces those that it undoes', () => {
  const timeline = new StepTimeline();
  for (let step = 1; step <= 5; step++) timeline.add([own(0, step)]);
  timeline.add([own(0, 3)]);
  expect(timeline.view().rows[0].steps.map(({ step }) => step)).toEqual([3]);
});
