import fc from 'fast-check';
import {
  crossEntropy,
  dense,
  dropout,
  phasesOf,
  type Sink,
  sam,
  sequential,
  sgd,
  train,
  type WorkerStep,
} from 'lockstep';
import { arrays } from 'lockstep/data';
import { describe, expect, test } from 'vitest';
import { TIMELINE_BYTES, TIMELINE_STEPS, TimelinePen, TimelineReader } from '../../src/parallel/timeline.ts';
import { PHASE, TIMING_SLOTS } from '../../src/parallel/timings.ts';
import { blobs } from '../fixtures/blobs.ts';

const { gather, forward, ...stamps } = PHASE;
/** Between two looks at the clocks. */
const CLOCK_MS = 0.5;

function timings(at: number): Float64Array {
  const values = new Float64Array(TIMING_SLOTS);
  Object.values(stamps).forEach((slot, i) => {
    values[slot] = at + i;
  });
  values[gather] = 0.25;
  values[forward] = 0.5;
  return values;
}

describe('the ring of a worker', () => {
  test('gives every step once and in order, the newest that fit, whatever the pace of writing and reading', () => {
    const pace = fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 0, max: TIMELINE_STEPS + 7 })), { maxLength: 6 });
    fc.assert(
      fc.property(pace, (turns) => {
        const buffer = new SharedArrayBuffer(2 * TIMELINE_BYTES);
        const pens = [0, TIMELINE_BYTES].map((address) => new TimelinePen(buffer, address));
        const reader = new TimelineReader(buffer, [0, TIMELINE_BYTES]);
        const written = [0, 0];
        const expected: string[] = [];
        const got: string[] = [];
        const seen = [0, 0];
        for (const [ahead, count] of turns) {
          for (const [rank, pen] of pens.entries()) {
            const to = written[rank] + count;
            while (written[rank] < to) pen.write(++written[rank], timings(written[rank]));
          }
          const to = Math.max(...written) + ahead; // steps that nobody has written yet are none
          for (const rank of seen.keys()) {
            const from = Math.max(seen[rank] + 1, to - TIMELINE_STEPS + 1);
            for (let t = from; t <= Math.min(to, written[rank]); t++) expected.push(`${rank}/${t}`);
            seen[rank] = Math.max(seen[rank], written[rank]);
          }
          got.push(...reader.drain(to).map(({ rank, step }) => `${rank}/${step}`));
        }
        expect(new Set(got).size).toBe(got.length);
        expect(got.toSorted()).toEqual(expected.toSorted());
      }),
      { numRuns: 20 },
    );
  });

  test('keeps the stamps on the clock of the machine, and what phases are made of', () => {
    const buffer = new SharedArrayBuffer(TIMELINE_BYTES);
    const clock = () => Number(process.hrtime.bigint()) / 1e6;
    const before = clock();
    const now = performance.now();
    const after = clock();
    new TimelinePen(buffer, 0).write(7, timings(now));
    const reader = new TimelineReader(buffer, [0]);
    reader.startAfter(6);
    const [step] = reader.drain(7);
    expect(step.start).toBeGreaterThan(before - CLOCK_MS);
    expect(step.start).toBeLessThan(after + CLOCK_MS);
    expect(step.done - step.start).toBeCloseTo(6, 6);
    const phases = phasesOf(step);
    expect(phases).toMatchObject({ gather: 0.25, forward: 0.5 });
    expect(phases.backward).toBeCloseTo(0.25, 6);
    for (const name of ['waitGradients', 'reduce', 'waitNorms', 'update', 'waitParameters'] as const)
      expect(phases[name]).toBeCloseTo(1, 6);
  });
});

function groupBy(steps: readonly WorkerStep[], key: (step: WorkerStep) => number): Map<number, WorkerStep[]> {
  const groups = new Map<number, WorkerStep[]>();
  for (const step of steps) groups.set(key(step), [...(groups.get(key(step)) ?? []), step]);
  return groups;
}

class Collect implements Sink {
  readonly seen: WorkerStep[] = [];
  open(): void {}
  write(): void {}
  close(): void {}
  timeline(steps: readonly WorkerStep[]): void {
    this.seen.push(...steps);
  }
}

const job = {
  data: { train: arrays(blobs(256, 16, 3)), validation: 0.25 },
  model: sequential(dense(32, 'relu'), dropout(0.1), dense(3)),
  loss: crossEntropy(),
  clip: { globalNorm: 1 },
  batchSize: 48,
  shards: 8,
  epochs: 6,
};
const STEPS = 6 * 4;

test.each([1, 2, 3])(
  '%i workers: each step of each worker, on one clock, between the same barriers',
  async (workers) => {
    const sink = new Collect();
    const { history } = await train({ ...job, optimizer: sgd({ lr: 0.1 }) }, { workers, sinks: [sink] });
    const ofStep = groupBy(sink.seen, ({ step }) => step);
    expect([...ofStep.keys()]).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
    for (const [step, all] of ofStep) {
      const ranks = all.map(({ rank }) => rank).sort((a, b) => a - b); // who was late to write comes with the next look
      expect(ranks).toEqual(Array.from({ length: workers }, (_, rank) => rank));
      // Nobody leaves a barrier before everybody is there.
      for (const [before, after] of [
        ['computed', 'gathered'],
        ['reduced', 'normed'],
        ['updated', 'done'],
      ] as const) {
        const last = Math.max(...all.map((w) => w[before]));
        for (const w of all) expect(w[after]).toBeGreaterThan(last - CLOCK_MS);
      }
      for (const w of all) {
        const phases = phasesOf(w);
        expect(Object.values(phases).every((ms) => ms >= -1e-6)).toBe(true);
        expect(phases.forward).toBeGreaterThan(0);
        expect(phases.backward).toBeGreaterThan(0);
        expect(Object.values(phases).reduce((a, b) => a + b)).toBeCloseTo(w.done - w.start, 6);
      }
      // The record of rank 0 is made of the same stamps.
      const { timings } = history[step - 1];
      const { gather, forward, backward, waitGradients, waitNorms, waitParameters, reduce, update } = phasesOf(all[0]);
      expect(timings.stepMs).toBeCloseTo(all[0].done - all[0].start, 5);
      expect(timings.gatherMs).toBeCloseTo(gather, 5);
      expect(timings.computeMs).toBeCloseTo(forward + backward, 5);
      expect(timings.waitMs).toBeCloseTo(waitGradients + waitNorms + waitParameters, 5);
      expect(timings.reduceMs).toBeCloseTo(reduce, 5);
      expect(timings.updateMs).toBeCloseTo(update, 5);
    }
    const byRank = groupBy(sink.seen, ({ rank }) => rank);
    for (const steps of byRank.values()) {
      for (let i = 1; i < steps.length; i++) expect(steps[i].start).toBeGreaterThanOrEqual(steps[i - 1].done);
    }
  },
);

test('a further pass over the batch counts as update, not as another forward', async () => {
  const sink = new Collect();
  await train({ ...job, optimizer: sam(sgd({ lr: 0.1 })) }, { workers: 2, sinks: [sink] });
  for (const w of sink.seen) {
    const phases = phasesOf(w);
    expect(Math.min(...Object.values(phases))).toBeGreaterThanOrEqual(-1e-6);
    expect(phases.gather + phases.forward + phases.backward).toBeCloseTo(w.computed - w.start, 6);
  }
});
