import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StepRecord } from '../../src/record/contract.ts';
import { History } from '../../src/record/history.ts';

function record(step: number, accuracy = 1 / step): StepRecord {
  return {
    kind: 'step',
    step,
    epoch: Math.ceil(step / 100),
    loss: 2 / step,
    metrics: { accuracy },
    lr: 1e-3,
    gradNorm: 0.1 + step,
    clipScale: 1,
    samples: 128,
    timings: { stepMs: 2.5, gatherMs: 0.1, computeMs: 1.5, waitMs: 0.2, reduceMs: 0.3, updateMs: 0.4 },
  };
}

describe('History', () => {
  it('gives back every number that was put in, across chunks', () => {
    const number = fc.double();
    const arbitrary = fc.record({
      kind: fc.constant('step' as const),
      step: number,
      epoch: number,
      loss: number,
      metrics: fc.record({ accuracy: number, 'top5 of 10': number }),
      lr: number,
      gradNorm: number,
      clipScale: number,
      samples: number,
      timings: fc.record({
        stepMs: number,
        gatherMs: number,
        computeMs: number,
        waitMs: number,
        reduceMs: number,
        updateMs: number,
      }),
    });
    fc.assert(
      fc.property(fc.array(arbitrary, { maxLength: 5 }), (some) => {
        const history = new History(['accuracy', 'top5 of 10']);
        const all = Array.from({ length: some.length * 500 }, (_, i) => some[i % some.length]);
        for (const item of all) history.push(item);
        expect([...history.records()]).toEqual(all);
      }),
      { numRuns: 20 },
    );
  });

  it('reads as an array that grows', () => {
    const history = new History(['accuracy']);
    const records = history.records();
    expect(records).toHaveLength(0);
    for (let step = 1; step <= 1500; step++) history.push(record(step));
    expect(Array.isArray(records)).toBe(true);
    expect(records).toHaveLength(1500);
    expect(records[1499]).toEqual(record(1500));
    expect(records[1500]).toBeUndefined();
    expect(records.at(-1)?.step).toBe(1500);
    expect(records.slice(0, 2)).toEqual([record(1), record(2)]);
    expect(records.map((r) => r.step).reduce((a, b) => a + b)).toBe((1500 * 1501) / 2);
    expect(JSON.parse(JSON.stringify(records))).toEqual(Array.from({ length: 1500 }, (_, i) => record(i + 1)));
    expect(1499 in records).toBe(true);
    expect(1500 in records).toBe(false);
    expect(Object.keys(records)).toHaveLength(1500);
    expect(structuredClone(records.slice(7, 8))).toEqual([record(8)]);
  });

  it('cannot be changed through its records', () => {
    const history = new History(['accuracy']);
    history.push(record(1));
    const records = history.records() as StepRecord[];
    expect(() => records.push(record(2))).toThrow(TypeError);
    expect(() => {
      records[0] = record(9);
    }).toThrow(TypeError);
    expect(records).toHaveLength(1);
    expect(records[0]).toEqual(record(1));
  });

  it('has NaN for a metric that a record lacks', () => {
    const history = new History(['accuracy']);
    history.push({ ...record(1), metrics: { other: 1 } });
    expect(history.at(0)?.metrics).toEqual({ accuracy: Number.NaN });
  });

  it('grows the JavaScript heap by less than 64 KiB in 10,000 steps', () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    // The runner and the compiler keep memory of their own now and then, but not in every round; all histories live until the end.
    const histories = Array.from({ length: 5 }, () => new History(['accuracy', 'top5']));
    const growth = histories.map((history) => {
      gc();
      const before = process.memoryUsage().heapUsed;
      for (let step = 1; step <= 10_000; step++) history.push(record(step));
      gc();
      return process.memoryUsage().heapUsed - before;
    });
    expect(Math.min(...growth)).toBeLessThan(64 * 1024);
    expect(histories.map((history) => history.length)).toEqual(Array(5).fill(10_000));
  });
});
