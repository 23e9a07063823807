import { describe, expect, test } from 'vitest';
import type { Contestant } from '../../scripts/bench/contestants.ts';
import { computeRatios } from '../../scripts/bench/ratios.ts';
import { type Measured, type Result, toResult } from '../../scripts/bench/results.ts';
import { worstDifference } from '../../scripts/bench/rounds.ts';
import { WORKLOADS } from '../../src/scaling/workloads.ts';

const mlp = WORKLOADS[1];
const group = { workload: mlp, title: '', contestants: [] };
const rates = { blas: 200, wasm: 50 };

function result(
  contestant: Contestant,
  roundsMs: readonly number[],
  shards: number | null = null,
  coreDistancesNs: readonly (number | null)[] = [],
): Result {
  const gemm = contestant.peer === 'lockstep' ? contestant.gemm : null;
  const slices = roundsMs.map((ms) => ({ stepsMs: [ms] }));
  return toResult(group, { contestant, slices, shards, gemm, parity: null, coreDistancesNs } satisfies Measured, rates);
}

const own = (workers: number, batch: number, shards?: number): Contestant => ({
  peer: 'lockstep',
  way: 'train()',
  gemm: 'blas',
  workers,
  batch,
  ...(shards === undefined ? {} : { shards }),
});
const torch = (workers: number, batch: number, way: string): Contestant => ({
  peer: 'torch',
  way,
  workers,
  batch,
  processes: 1,
  threads: workers,
});
const value = (results: readonly Result[], name: RegExp) => computeRatios(results, {}).find((r) => name.test(r.name));

test('efficiency: GEMM work a core and time over the GEMM rate', () => {
  const [one, two] = [result(own(1, 128), [2]), result(own(2, 256), [2])];
  // 308.3 MFLOP in 2 ms are 154 GFLOP/s of 200.
  expect(one.gemmEfficiency).toBeCloseTo(0.77, 2);
  expect(two.gemmEfficiency).toBeCloseTo(one.gemmEfficiency ?? 0, 12);
});

describe('claims', () => {
  test('compare at equal batches, whatever is faster at another', () => {
    const results = [
      result(own(1, 128), [2, 2, 2]),
      result(torch(1, 512, '1 process'), [4, 4, 4]),
      result(torch(1, 128, '1 process'), [4, 4, 4]),
    ];
    expect(value(results, /PyTorch, 1/)).toMatchObject({ value: 2, spread: [2, 2], met: true });
    expect(value(results.slice(0, 2), /PyTorch, 1/)).toBeUndefined();
  });

  test('of node processes: what their wire takes, what it adds to a step, and PyTorch in as many processes', () => {
    const nodes = { ...own(2, 256, 4), way: 'coordinator and 2 nodes', nodes: 2 } as Contestant;
    const wire = { cpuNsPerParameterAndNode: 5, parameters: 500_000, bytesPerParameterAndNode: 8 };
    const results = [
      result(own(2, 256), [4, 4, 4]),
      { ...result(nodes, [9, 8, 10]), wire },
      result(torch(2, 256, 'DDP, 2 processes'), [9, 12, 15]),
    ];
    expect(value(results, /CPU of the wire/)).toMatchObject({ value: 5, met: true });
    expect(value(results, /beyond that of 2 workers/)).toMatchObject({ value: 10, met: false }); // 5 ms / 500,000
    expect(value(results, /2 nodes against PyTorch DDP/)).toMatchObject({ value: 1.5, spread: [1, 1.5], met: true });
    expect(value(results.slice(0, 1), /2 nodes/)).toBeUndefined();
  });

  test('apart by how far the cores were from each other, where they moved', () => {
    const one = result(own(1, 128), [2, 2, 2, 2, 2], 2);
    const two = (distances: (number | null)[]) => result(own(2, 256), [2, 4, 2.5, 4, 8], 4, distances);
    const weak = (distances: (number | null)[]) =>
      computeRatios([one, two(distances)], {}).find(({ name }) => /weak/.test(name));
    expect(weak([100, 320, 120, 310, null])).toMatchObject({
      value: 0.5,
      byDistance: [
        { ns: 110, value: 0.9, rounds: 2 },
        { ns: 315, value: 0.5, rounds: 2 },
      ],
    });
    expect(weak([100, 110, 120, 130, 140])?.byDistance).toBeUndefined();
    expect(weak([null, null, null, null, null])?.byDistance).toBeUndefined();
  });

  test('against the better of two ways, and not met when too slow', () => {
    const results = [
      result(own(2, 256), [2, 4, 2]),
      result(torch(2, 256, 'DDP'), [9, 9, 9]),
      result(torch(2, 256, 'threads'), [6, 6, 6]),
    ];
    expect(value(results, /better of PyTorch/)).toMatchObject({ value: 3, spread: [1.5, 3], met: false });
  });

  test('the scaling rows do not pass for the main ones', () => {
    const results = [result(own(2, 512), [1]), result(own(2, 256), [4]), result(torch(2, 256, 'DDP'), [8])];
    expect(value(results, /better of PyTorch/)?.value).toBe(2);
  });

  test('default S against the fastest one-worker run of any S', () => {
    const results = [
      result(own(1, 512), [10], 8),
      result(own(1, 512, 1), [7], 1),
      result(own(2, 512), [5], 8),
      result(own(2, 512, 2), [4], 2),
    ];
    expect(value(results, /same S/)?.value).toBe(2);
    expect(value(results, /default S, against.*any S/)?.value).toBeCloseTo(1.4, 12);
    expect(value(results, /efficiency of 2 workers at equal S/)).toMatchObject({ value: 1, met: true });
    expect(value(results, /efficiency of 2 workers against.*any S/)).toMatchObject({
      value: 0.7,
      must: 0.75,
      met: false,
    });
  });

  test('what the default S costs is a limit from above, in percent', () => {
    const results = [result(own(2, 256), [2.4], 4), result(own(2, 256, 2), [2], 2)];
    expect(value(results, /default S costs/)).toMatchObject({ sense: 'atMost', met: false });
    expect(value(results, /default S costs/)?.value).toBeCloseTo(20, 10);
  });

  test('what was not measured is not claimed', () => {
    expect(computeRatios([], {})).toEqual([]);
    expect(computeRatios([], { adamwNsPerParameter: 1.2, heapGrowthBytes: 2 ** 19 })).toMatchObject([
      { value: 1.2, met: false },
      { value: 0.5, met: true },
    ]);
  });
});

test('parity: the worst step counts, and what is no number never agrees', () => {
  expect(worstDifference([1, 2.0002], [1, 2])).toBeCloseTo(1e-4, 8);
  expect(worstDifference([1, Number.NaN, 1], [1, 1, 1])).toBeNaN();
  expect(worstDifference([1], [1, 1])).toBe(Number.POSITIVE_INFINITY);
  expect(worstDifference([], [])).toBe(Number.POSITIVE_INFINITY);
});
