import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RetentionDecision, rankBest, retain } from '../../src/checkpoint/retention.ts';

const kept = (decisions: readonly RetentionDecision[]) => decisions.flatMap((d) => ('keep' in d ? [d.keep] : []));
const deleted = (decisions: readonly RetentionDecision[]) =>
  decisions.flatMap((d) => ('delete' in d ? [d.delete] : []));

const candidates = fc
  .uniqueArray(
    fc.record(
      {
        step: fc.integer({ min: 0, max: 40 }),
        metric: fc.oneof(fc.constantFrom(0, 1, 2, Number.NaN), fc.double()),
      },
      { requiredKeys: ['step'] },
    ),
    { selector: ({ step }) => step, minLength: 1 },
  )
  .chain((existing) =>
    fc.record({ existing: fc.constant(existing), latest: fc.constantFrom(...existing.map((e) => e.step)) }),
  );
const mode = fc.constantFrom('min' as const, 'max' as const);
const few = fc.integer({ min: 1, max: 5 });

describe('retain', () => {
  it('says why each stays', () => {
    const existing = [10, 20, 30, 40].map((step) => ({ step, metric: step === 20 ? 0.1 : 0.5 }));
    expect(retain(existing, 40, { keepLast: 2, keepBest: { monitor: 'val.loss', mode: 'min', count: 1 } })).toEqual([
      { delete: 10 },
      { keep: 20, reasons: ['best'] },
      { keep: 30, reasons: ['last'] },
      { keep: 40, reasons: ['latest', 'last'] },
    ]);
  });

  it('decides on each once, by step', () => {
    fc.assert(
      fc.property(candidates, few, few, mode, ({ existing, latest }, keepLast, count, direction) => {
        const decisions = retain(existing, latest, { keepLast, keepBest: { monitor: 'x', mode: direction, count } });
        const steps = decisions.map((d) => ('keep' in d ? d.keep : d.delete));
        expect(steps).toEqual(existing.map((e) => e.step).sort((a, b) => a - b));
      }),
    );
  });

  it('keeps all without a policy', () => {
    fc.assert(
      fc.property(candidates, ({ existing, latest }) => {
        expect(deleted(retain(existing, latest, {}))).toEqual([]);
      }),
    );
  });

  it('gives up what lies after the latest: the run passed it over', () => {
    const existing = [10, 20, 30].map((step) => ({ step, metric: step === 30 ? 0.1 : 0.5 }));
    const policy = { keepLast: 2, keepBest: { monitor: 'val.loss', mode: 'min', count: 1 } } as const;
    expect(deleted(retain(existing, 20, policy))).toEqual([30]);
  });

  it('keeps the latest, the newest n and the best k up to it, and nothing else', () => {
    fc.assert(
      fc.property(candidates, few, few, mode, ({ existing, latest }, keepLast, count, direction) => {
        const keep = new Set(
          kept(retain(existing, latest, { keepLast, keepBest: { monitor: 'x', mode: direction, count } })),
        );
        // The rule as counting, where retain() sorts.
        const ofRun = existing.filter((e) => e.step <= latest);
        for (const { step, metric = Number.NaN } of existing) {
          const newer = ofRun.filter((e) => e.step > step).length;
          const better = ofRun.filter(({ step: other, metric: m = Number.NaN }) =>
            direction === 'min'
              ? m < metric || (m === metric && other < step)
              : m > metric || (m === metric && other < step),
          ).length;
          const best = !Number.isNaN(metric) && better < count;
          expect(keep.has(step)).toBe(step <= latest && (step === latest || newer < keepLast || best));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('does not depend on the order, and deciding again deletes nothing more', () => {
    fc.assert(
      fc.property(candidates, few, few, mode, ({ existing, latest }, keepLast, count, direction) => {
        const policy = { keepLast, keepBest: { monitor: 'x', mode: direction, count } };
        const decisions = retain(existing, latest, policy);
        expect(retain([...existing].reverse(), latest, policy)).toEqual(decisions);
        const left = existing.filter((e) => kept(decisions).includes(e.step));
        expect(deleted(retain(left, latest, policy))).toEqual([]);
      }),
    );
  });
});

describe('rankBest', () => {
  it('takes the earlier of equally good ones, and never NaN or nothing', () => {
    const existing = [
      { step: 3, metric: 1 },
      { step: 1, metric: 1 },
      { step: 2, metric: Number.NaN },
      { step: 5 },
      { step: 4, metric: 2 },
    ];
    expect(rankBest(existing, 'min').map((e) => e.step)).toEqual([1, 3, 4]);
    expect(rankBest(existing, 'max').map((e) => e.step)).toEqual([4, 1, 3]);
  });
});
