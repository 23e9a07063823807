import { describe, expect, test } from 'vitest';
import type { RoundSpan } from '../../src/parallel/timeline.ts';
import type { Measured, NodeStep, Point, WorkerPhases } from '../../src/scaling/contract.ts';
import { STEP_PHASES as PHASES, type StepPhase as PhaseName } from '../../src/scaling/contract.ts';
import { efficiency, fitAmdahl, rowsOf } from '../../src/scaling/efficiency.ts';
import { explain } from '../../src/scaling/explain.ts';
import { busyMs, phasesByWorker, stepPhasesOf } from '../../src/scaling/phases.ts';

const measured = (
  { workers, batch, shards, roles }: Omit<Point, 'nodes'>,
  s: number,
  roundsMs: number[],
  phases: WorkerPhases[] = [],
): Measured => ({
  point: { workers, nodes: 1, batch, roles, ...(shards === undefined ? {} : { shards }) },
  shards: s,
  roundsMs,
  parametersSha256: `${batch}/${s}`,
  hashedSteps: 20,
  phases,
});

describe('efficiency', () => {
  const alone = measured({ workers: 1, batch: 512, roles: ['strong'] }, 8, [10, 20, 10]);
  const fastest = measured({ workers: 1, batch: 512, shards: 2, roles: ['sweep'] }, 2, [8, 16, 8]);
  const slowest = measured({ workers: 1, batch: 512, shards: 1, roles: ['sweep'] }, 1, [12, 24, 12]);
  const two = measured({ workers: 2, batch: 512, roles: ['strong'] }, 8, [5, 10, 5]);
  const weakOne = measured({ workers: 1, batch: 128, roles: ['weak'] }, 2, [2, 2, 2]);
  const weakTwo = measured({ workers: 2, batch: 256, roles: ['weak'] }, 4, [2.5, 2.5, 2.5]);

  test('is the ratio within each round: a machine that was slow in one round changes nothing', () => {
    expect(efficiency(two, alone)).toBe(1);
    expect(efficiency(two, fastest)).toBeCloseTo(0.8, 12);
    expect(efficiency(weakTwo, weakOne)).toBeCloseTo(0.8, 12);
  });

  test('the headline compares with the fastest single worker of any S, the second kind with the same S', () => {
    const rows = rowsOf([alone, fastest, slowest, two, weakOne, weakTwo]);
    const cells = rows.map(({ mode, workers, efficiency: e, reference }) => [
      mode,
      workers,
      Number(e.toFixed(3)),
      reference.shards,
    ]);
    expect(cells).toEqual([
      ['strong', 1, 0.8, 2],
      ['strong', 2, 0.8, 2],
      ['equal-shards', 1, 1, 8],
      ['equal-shards', 2, 1, 8],
      ['weak', 1, 1, 2],
      ['weak', 2, 0.8, 2],
    ]);
    const [, strong] = rows;
    expect(strong.samplesPerSec).toBe(102_400);
    expect(strong.spread).toEqual([51_200, 102_400]);
    const equal = rows.filter(({ batch, shards }) => batch === 512 && shards === 8);
    expect(new Set(equal.map(({ parametersSha256 }) => parametersSha256)).size).toBe(1);
  });
});

describe("Amdahl's law", () => {
  test('is found again where it holds', () => {
    const fit = fitAmdahl([1, 2, 4, 8].map((workers) => ({ workers, stepMs: 2 + 30 / workers })));
    expect(fit?.serialMs).toBeCloseTo(2, 9);
    expect(fit?.parallelMs).toBeCloseTo(30, 9);
    expect(fit?.largestSpeedup).toBeCloseTo(16, 9);
  });

  test('has no serial part where more workers than divide do better, and needs two numbers of workers', () => {
    expect(fitAmdahl([{ workers: 1, stepMs: 10 }, { workers: 2, stepMs: 4.9 }])).toMatchObject({ serialMs: 0, largestSpeedup: Number.POSITIVE_INFINITY }); // biome-ignore format: one line
    expect(fitAmdahl([{ workers: 2, stepMs: 10 }])).toBeUndefined();
  });
});

const ms = (values: Partial<Record<PhaseName, number>>) =>
  Object.fromEntries(PHASES.map((name) => [name, values[name] ?? 0])) as Record<PhaseName, number>;

describe('phases', () => {
  const stamps = (rank: number, step: number, slow: number) => {
    const start = 100 * step;
    const at = { start, computed: start + 6 + slow, gathered: start + 8, reduced: start + 9, normed: start + 9.5, updated: start + 11, done: start + 12 }; // biome-ignore format: one line
    return { rank, step, ...at, gatherMs: 1, forwardMs: 2 };
  };

  test('of each worker sum to its step, whatever the medians', () => {
    const timeline = [1, 2, 3, 4, 5].flatMap((step) => [stamps(0, step, 0), stamps(1, step, step / 3)]);
    const workers = phasesByWorker(timeline);
    expect(workers.map(({ rank }) => rank)).toEqual([0, 1]);
    for (const worker of workers) {
      expect(Object.values(worker.ms).reduce((a, b) => a + b)).toBeCloseTo(worker.stepMs, 9);
    }
    expect(workers[0].ms).toMatchObject({
      gather: 1,
      forward: 2,
      backward: 3,
      waitGradients: 2,
      reduce: 1,
      update: 1.5,
    });
    expect(busyMs(workers[0])).toBeCloseTo(8.5, 9);
  });
});

describe('phases of several machines', () => {
  const span = (name: RoundSpan['name'], start: number, end: number) => ({ name, start, end });
  // The coordinator asks at 100 and hears all at 150; node 1 has its parameters at 112 and computes until 130.
  const coordinator: NodeStep = {
    rank: 0, step: 3, start: 100, computed: 100, gathered: 150, reduced: 152, normed: 152.5, updated: 155, done: 155.5, gatherMs: 0, forwardMs: 0,
    round: { step: 3, spans: [span('serialise', 101, 103), span('send', 103, 104), span('wait', 104, 140), span('receive', 140, 149)] },
  }; // biome-ignore format: numbers
  const node: NodeStep = {
    node: 1, rank: 0, step: 3, start: 112, computed: 125, gathered: 127, reduced: 129, normed: 129, updated: 129, done: 129.5, gatherMs: 1, forwardMs: 4, periodMs: 55,
    round: { step: 3, spans: [span('receive', 105, 112), span('wait', 112, 130), span('serialise', 130, 131), span('send', 131, 135)] },
  }; // biome-ignore format: numbers

  test('on a coordinator the wait for gradients is what making frames, sending and receiving leave', () => {
    expect(stepPhasesOf(coordinator)).toEqual(
      ms({ serialise: 2, send: 1, receive: 9, waitGradients: 50 - 12, reduce: 2, waitNorms: 0.5, update: 2.5, waitParameters: 0.5 }),
    ); // biome-ignore format: numbers
  });

  test('on a node a step lasts until the next parameters come', () => {
    const expected = { receive: 7, gather: 1, forward: 4, backward: 8, waitGradients: 2.5, reduce: 2, serialise: 1, send: 4, waitParameters: 25.5 }; // biome-ignore format: one line
    expect(stepPhasesOf(node)).toEqual(ms(expected));
  });

  test('sum to the step on every worker; what is lost beyond a perfect division adds up to all of it', () => {
    const phases = phasesByWorker([coordinator, node, { ...node, node: 2 }]);
    for (const worker of phases) expect(Object.values(worker.ms).reduce((a, b) => a + b)).toBeCloseTo(worker.stepMs, 9); // biome-ignore format: one line
    expect(phases.map(({ node: n, stepMs }) => [n, stepMs])).toEqual([[0, 55.5], [1, 55], [2, 55]]); // biome-ignore format: one line
    const alone: WorkerPhases = { node: 0, rank: 0, stepMs: 30, ms: ms({ gather: 2, forward: 8, backward: 16, reduce: 1, update: 3 }) }; // biome-ignore format: one line
    const one = measured({ workers: 1, batch: 64, roles: ['strong'] }, 8, [30], [alone]);
    const point = { workers: 1, nodes: 2, batch: 64, roles: ['strong' as const] };
    const facts = { batch: 64, shards: 8, elements: 1e6, slotElements: 2e6, wireBytes: { fp32: 4e6, bf16: 2e6, int8: 1e6, int4: 5e5, topk: 6e4 }, flops: 1e9, partialSums: 2, early: { finals: [], lastTogether: [] } }; // biome-ignore format: one line
    const found = explain({ ...one, point, phases }, facts, { gflops: 100, bandwidth: 20 }, one, 3);
    const lost = Object.fromEntries(found.losses.map(({ cause, ms: lostMs }) => [cause, lostMs]));
    expect(lost).toEqual({ 'slower computing': 0, imbalance: 0, reduction: 1.5, update: 1, latency: 6, transfer: 32 });
    expect(found.losses.reduce((sum, { ms: lostMs }) => sum + lostMs, 0)).toBeCloseTo(55.5 - 30 / 2, 9);
    expect(found.limit).toBe('network');
  });
});

describe('an explanation', () => {
  const facts = { batch: 512, shards: 8, elements: 1e6, slotElements: 2e6, wireBytes: { fp32: 4e6, bf16: 2e6, int8: 1e6, int4: 5e5, topk: 6e4 }, flops: 1.2e9, partialSums: 2, early: { finals: [], lastTogether: [] } }; // biome-ignore format: one line
  const peaks = { gflops: 100, bandwidth: 20 };
  const worker = (rank: number, stepMs: number, parts: Partial<Record<PhaseName, number>>): WorkerPhases => ({ node: 0, rank, stepMs, ms: ms(parts) }); // biome-ignore format: one line
  const single = measured(
    { workers: 1, batch: 512, roles: ['strong'] },
    8,
    [30],
    [worker(0, 30, { gather: 2, forward: 8, backward: 16, reduce: 1, update: 3 })],
  );
  const two = measured({ workers: 2, batch: 512, roles: ['strong'] }, 8, [18], [
    worker(0, 18, { gather: 1, forward: 4, backward: 8, waitGradients: 2, reduce: 1, waitNorms: 0.25, update: 1.5, waitParameters: 0.25 }),
    worker(1, 18, { gather: 1, forward: 5, backward: 9, waitGradients: 0, reduce: 1, waitNorms: 0.25, update: 1.5, waitParameters: 0.25 }),
  ]); // biome-ignore format: numbers
  const found = explain(two, facts, peaks, single);

  test('says where time is lost against a perfect division, in milliseconds that add up', () => {
    const lost = Object.fromEntries(found.losses.map(({ cause, ms: lostMs }) => [cause, lostMs]));
    expect(lost['slower computing']).toBeCloseTo(14 - 13, 9);
    expect(lost.imbalance).toBeCloseTo(1, 9);
    expect(lost.barriers).toBeCloseTo(0.5, 9);
    expect(lost.reduction).toBeCloseTo(0.5, 9);
    expect(lost.update).toBeCloseTo(0, 9);
    expect(found.losses.reduce((sum, { ms: lostMs }) => sum + lostMs, 0)).toBeCloseTo(18 - 30 / 2, 9);
  });

  test('holds phases against what a core can do', () => {
    expect(found.gemmShare).toBeCloseTo(1.2e9 / 2 / 13e6 / 100, 9); // FLOP of a worker / 13 ms / peak
    expect(found.reduceShare).toBeCloseTo((3 * 4e6) / 2 / 1e6 / 20, 9); // two sums read, one written, in 1 ms
    expect(found.updateShare).toBeCloseTo((7 * 4e6) / 2 / 1.5e6 / 20, 9);
    expect(found.imbalance).toBeCloseTo(1 / 14, 9);
    expect(found.waitShare).toBeCloseTo(1.5 / 18, 9);
  });

  test('names computing as the limit where nothing else is lost', () => {
    const even = { ...two, roundsMs: [15], phases: [0, 1].map((rank) => worker(rank, 15, { gather: 1, forward: 4, backward: 8, reduce: 0.5, update: 1.5 })) }; // biome-ignore format: one line
    expect(explain(even, facts, peaks, single).limit).toBe('compute');
    expect(explain(single, facts, peaks, undefined).limit).toBe('compute');
  });
});
