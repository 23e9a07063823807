import { describe, expect, test } from 'vitest';
import { EventQueue } from '../../src/scaling/events.ts';
import { stopOf } from '../../src/scaling/predict.ts';
import { additionsOf, rootsOf } from '../../src/scaling/protocol.ts';
import { groupsOf, type JobCosts, type Scenario, simulate } from '../../src/scaling/simulate.ts';
import { parseLink, parseWhatIf } from '../../src/scaling/what-if.ts';

/** 1 MB on a card of 1 MB/ms takes 1 ms. */
const costs: JobCosts = {
  batch: 64,
  shards: 4,
  workers: 1,
  bytes: { fp32: 1e6, bf16: 5e5, int8: 2.5e5, topk: 1e4 },
  shardMs: 10,
  additionMs: 0.5,
  updateMs: 2,
  fixedMs: 0.25,
  msPerByte: 0,
  jitter: 0,
};
const scenario: Scenario = {
  nodes: 1,
  workers: 1,
  link: { latencyMs: 3, bytesPerMs: 1e6 },
  format: 'fp32',
  syncEvery: 1,
  topology: 'star',
  rounds: 6,
};

/** Milliseconds of an exchange. */
const period = (c: Partial<JobCosts>, s: Partial<Scenario>) =>
  (1000 * (c.batch ?? costs.batch) * (s.syncEvery ?? 1)) /
  simulate({ ...costs, ...c }, { ...scenario, ...s }).samplesPerSec;

describe('a simulated step, against the same by hand', () => {
  test('one node: its shards, barriers, the update', () => expect(period({}, {})).toBeCloseTo(4 * 10 + 0.25 + 2, 9));

  test('one node of two workers: blocks and shards are divided', () =>
    expect(period({}, { workers: 2 })).toBeCloseTo(2 * 10 + 0.25 + 1, 9));

  test('two nodes: parameters down and a partial sum up, each with its latency, one addition', () =>
    expect(period({}, { nodes: 2 })).toBeCloseTo(1 + 3 + 20.25 + 1 + 3 + 0.5 + 2, 9));

  // Down one after the other from one card; each begins when it has the parameters, so that they come back one after the other.
  test('four nodes: the card of the coordinator sends three times, and takes the last when it comes', () =>
    expect(period({}, { nodes: 4 })).toBeCloseTo(3 * 1 + 3 + 10.25 + 1 + 3 + 3 * 0.5 + 2, 9));

  test('frames cost their processors time at both ends, those of the node beside the coordinator too', () => {
    const ms = 0.2; // a frame at one end: two out of the coordinator, in, out, and in again
    expect(period({ msPerByte: ms / 1e6 }, { nodes: 2 })).toBeCloseTo(5 * ms + 2 * (1 + 3) + 20.25 + 0.5 + 2, 9);
  });

  test('half the bytes take half the time', () =>
    expect(period({}, { nodes: 2, format: 'bf16' })).toBeCloseTo(2 * (0.5 + 3) + 20.25 + 0.5 + 2, 9));

  test('an exchange every three steps: local steps have an update of their own', () =>
    expect(period({}, { nodes: 2, syncEvery: 3 })).toBeCloseTo(2 * (1 + 3) + 3 * 20.25 + 2 * 2 + 0.5 + 2, 9));

  test('processes that share cores wait for them', () =>
    expect(period({}, { nodes: 2, sharedCores: 1 })).toBeCloseTo(2 * (1 + 3) + 40 + 0.25 + 0.5 + 2, 9));

  test('phases of an exchange are the exchange', () => {
    const { phases, samplesPerSec } = simulate({ ...costs, jitter: 0.1 }, { ...scenario, nodes: 4, rounds: 1 });
    expect(Object.values(phases).reduce((a, b) => a + b)).toBeCloseTo(64_000 / samplesPerSec, 9);
  });

  test('a tree asks less of the card of the coordinator than a star', () => {
    const big = { ...costs, shards: 64, batch: 1024, additionMs: 0 };
    const [star, tree] = (['star', 'tree'] as const).map((topology) => period(big, { nodes: 64, topology }));
    expect(star).toBeGreaterThan(63); // everybody's megabyte; down and up at the same time
    // Down: seven of its own group, then seven leaders, each of which sends seven on; up: to the leader, and one merged sum from there.
    expect(tree).toBeCloseTo(14 + 3 + 7 + 3 + 10.25 + 1 + 3 + 1 + 3 + 2, 9);
  });
});

describe('what the code of the trainer decides', () => {
  test('partial sums that cover all shards leave one addition fewer than there are of them', () => {
    for (const nodes of [1, 2, 3, 5, 7, 16]) {
      const ranges = Array.from({ length: nodes }, (_, n) => {
        const first = Math.floor((n * 16) / nodes);
        return { first, count: Math.floor(((n + 1) * 16) / nodes) - first };
      });
      const sums = ranges.flatMap((range) => rootsOf(range, 16));
      expect(sums.reduce((sum, { count }) => sum + count, 0)).toBe(16);
      expect(additionsOf(sums, 16)).toBe(sums.length - 1);
    }
  });

  test('a straggler is given fewer shards once it has been measured', () => {
    const slow = { ...scenario, nodes: 2, rounds: 16, stragglers: { count: 1, factor: 3 } };
    expect(simulate({ ...costs, shards: 8 }, slow).shardsAtEnd).toEqual([6, 2]);
    expect(simulate({ ...costs, shards: 8 }, { ...slow, stragglers: { count: 1, factor: 1 } }).shardsAtEnd).toEqual([
      4, 4,
    ]);
  });

  test('the shards of a lost node are computed again by the others, and belong to them from then on', () => {
    const lossy = { ...scenario, nodes: 4, rounds: 8, changes: [{ round: 3, lose: 1 }] };
    const { shardsAtEnd, repeatedShards } = simulate({ ...costs, shards: 12 }, lossy);
    expect(repeatedShards).toBe(3);
    expect(shardsAtEnd).toEqual([4, 4, 4]);
  });

  test('1,024 nodes: sixteen are lost, eight join, three are slow; every shard has its node at the end', () => {
    const all = { ...costs, shards: 1024, batch: 65_536, jitter: 0.05 };
    const changes = [{ round: 3, lose: 16 }, { round: 5, join: 8 }]; // biome-ignore format: one line
    const result = simulate(all, {
      ...scenario,
      nodes: 1024,
      topology: 'tree',
      changes,
      stragglers: { count: 3, factor: 2 },
    });
    expect(result.shardsAtEnd).toHaveLength(1016);
    expect(result.shardsAtEnd.reduce((a, b) => a + b)).toBe(1024);
    expect(result.repeatedShards).toBe(16);
    expect(result.band[0]).toBeLessThanOrEqual(result.band[1]);
  });

  test('the same seed, the same run', () => {
    const noisy = { ...costs, jitter: 0.2 };
    const at = (seed: number) => simulate(noisy, { ...scenario, nodes: 4, seed }).samplesPerSec;
    expect(at(1)).toBe(at(1));
    expect(at(1)).not.toBe(at(2));
  });
});

test.each([
  [1, [1]],
  [4, [2, 2]],
  [10, [3, 3, 3, 1]],
])('%i nodes make groups of %j', (nodes, sizes) => expect(groupsOf(nodes).map(({ count }) => count)).toEqual(sizes));

test('events run in order of time, those of one time in the order in which they were asked for', () => {
  const queue = new EventQueue();
  const seen: string[] = [];
  for (const [time, name] of [[5, 'e'], [1, 'a'], [3, 'c'], [1, 'b'], [3, 'd']] as const) // biome-ignore format: a list
    queue.at(time, () => {
      seen.push(`${name}${queue.now}`);
      if (name === 'a') queue.at(2, () => seen.push(`later${queue.now}`));
    });
  queue.run();
  expect(seen).toEqual(['a1', 'b1', 'later2', 'c3', 'd3', 'e5']);
});

describe('where adding nodes stops paying', () => {
  const at = (throughput: (n: number) => number) => (nodes: number) => ({ samplesPerSec: throughput(nodes) });

  test('is where a further node gives less than a quarter of one', () => {
    expect(
      stopOf(
        at((n) => n),
        16,
      ),
    ).toBe(16);
    expect(
      stopOf(
        at((n) => Math.min(n, 6)),
        1024,
      ),
    ).toBe(6);
    expect(
      stopOf(
        at((n) => n ** 0.9),
        8,
      ),
    ).toBe(8);
    expect(
      stopOf(
        at(() => 1),
        64,
      ),
    ).toBe(1);
  });

  test('stairs of shards that do not divide evenly are stepped over', () =>
    expect(
      stopOf(
        at((n) => 8 / Math.ceil(8 / n)),
        64,
      ),
    ).toBe(8));
});

describe('a question', () => {
  test('names nodes, link, format, and what happens', () => {
    expect(parseWhatIf('nodes=2..1024,link=100mbit/2ms,format=bf16,sync=4,topology=tree,lose=16@5,join=8@7,stragglers=3x2,mode=weak,workers=8')).toEqual({
      nodes: [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
      workers: 8,
      link: { name: '100mbit/2ms', latencyMs: 2, bytesPerMs: 12_500 },
      formats: ['bf16'],
      syncEvery: 4,
      topology: 'tree',
      mode: 'weak',
      stragglers: { count: 3, factor: 2 },
      lose: { count: 16, round: 5 },
      join: { count: 8, round: 7 },
    }); // biome-ignore format: long
    expect(parseWhatIf('nodes=1+2+3').nodes).toEqual([1, 2, 3]);
    expect(parseWhatIf('nodes=3..5').nodes).toEqual([3, 5]);
    expect(parseLink('10gbit')).toEqual({ name: '10gbit', latencyMs: 0, bytesPerMs: 1_250_000 });
  });

  test.each(['', 'nodes=0', 'nodes=-2', 'nodes=5..2', 'nodes=9999', 'link=fast', 'link=0mbit', 'format=fp8', 'sync=0', 'lose=3', 'stragglers=3x0.5', 'colour=red'])(
    '%j is refused',
    (text) => expect(() => parseWhatIf(text)).toThrow(/--what-if: expected .*; for example/),
  ); // biome-ignore format: a list
});
