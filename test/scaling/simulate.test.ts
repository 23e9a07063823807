import { describe, expect, test } from 'vitest';
import { Cores, type Runner, Thread } from '../../src/scaling/cores.ts';
import { stopLines } from '../../src/scaling/describe.ts';
import { finalParts, untilFinal } from '../../src/scaling/early-uploads.ts';
import { EventQueue } from '../../src/scaling/events.ts';
import { predict, type Series, slowdownOf, stopOf } from '../../src/scaling/predict.ts';
import { additionsOf, rootsOf } from '../../src/scaling/protocol.ts';
import type { JobScaling } from '../../src/scaling/report.ts';
import type { JobCosts, Scenario } from '../../src/scaling/scenario.ts';
import { groupsOf, simulate } from '../../src/scaling/simulate.ts';
import { parseLink, parseWhatIf } from '../../src/scaling/what-if.ts';

/** 1 MB on a card of 1 MB/ms takes 1 ms. */
const costs: JobCosts = {
  batch: 64,
  shards: 4,
  bytes: { fp32: 1e6, bf16: 5e5, int8: 2.5e5, int4: 1.25e5, topk: 1e4 },
  shardMs: 10,
  together: [{ workers: 1, additionMs: 0.5, updateMs: 2, fixedMs: 0.25 }],
  slowdown: [1],
  wire: { downSendMs: 0, downReceiveMs: 0, upSendMs: 0, upReceiveMs: 0, messageMs: 0, wakeMs: 0 },
  codec: {
    fp32: { encodeMs: 0, decodeMs: 0 },
    bf16: { encodeMs: 4, decodeMs: 2 },
    int8: { encodeMs: 0, decodeMs: 0 },
    int4: { encodeMs: 0, decodeMs: 0 },
    topk: { encodeMs: 0, decodeMs: 0 },
  },
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
  test('one node: its shards, barriers, norms, the update', () =>
    expect(period({}, {})).toBeCloseTo(4 * 10 + 0.25 + 0.5 + 2, 9));

  test('one node of two workers: blocks and shards are divided', () =>
    expect(period({}, { workers: 2 })).toBeCloseTo(2 * 10 + 0.25 + (0.5 + 2) / 2, 9));

  test('workers beside each other slow each other down', () => {
    const crowded = { slowdown: [1, 1.5] };
    expect(period(crowded, { workers: 2 })).toBeCloseTo(1.5 * 20 + 0.25 + (1.5 * 2.5) / 2, 9);
    // What was measured on both is not slowed down again.
    const [alone] = costs.together;
    const together = [
      { ...alone, additionMs: 9, updateMs: 9 },
      { ...alone, workers: 2 },
    ];
    expect(period({ ...crowded, together }, { workers: 2 })).toBeCloseTo(1.5 * 20 + 0.25 + 2.5, 9);
  });

  test('two nodes: parameters down and a partial sum up, each with its latency, one addition', () =>
    expect(period({}, { nodes: 2 })).toBeCloseTo(1 + 3 + 20.25 + 1 + 3 + 0.5 + 2, 9));

  // Down from one card, a half in turn to each: the first has both of its own after four of six. Its sum comes first, too, and from its
  // first half on the card is busy with all six.
  test('four nodes: connections share the card of the coordinator, which sends three vectors and takes three', () =>
    expect(period({}, { nodes: 4 })).toBeCloseTo(4 / 2 + 3 + 10.25 + 3 + 6 / 2 + 3 * 0.5 + 2, 9));

  // The one core of the coordinator frames for node 0 (0.2 ms), has node 0 read that (0.2), and frames the first of two pieces for node 1
  // (0.1); from then on the card is what takes longest, 0.5 a piece, and the last is read in 0.1.
  test('frames cost their processors time at both ends, those of the node beside the coordinator too; pieces overlap', () => {
    const each = 0.2e-6; // 0.2 ms for all of them
    const wire = { ...costs.wire, downSendMs: each, downReceiveMs: each, upSendMs: each, upReceiveMs: each };
    const [down, up] = [0.2 + 0.2 + 0.1 + 1 + 3 + 0.1, 0.1 + 1 + 3 + 0.1];
    expect(period({ wire }, { nodes: 2 })).toBeCloseTo(down + 20.25 + up + 0.5 + 2, 9);
  });

  // The process that makes the link has the core of the coordinator until its 0.1 of a piece are over; node 0 computes there meanwhile.
  test("a process that makes the link slow takes its time on the coordinator's machine", () => {
    const link = { ...scenario.link, relayMs: 0.2e-6 };
    const [one, two] = [
      { nodes: 2, sharedCores: 8 },
      { nodes: 2, sharedCores: 8, link },
    ];
    expect(period({}, two)).toBeCloseTo(period({}, one) + 2 * 0.1, 9); // of the first piece; then the card takes longer
  });

  test('messages, and waking each other up, take their time on the way', () => {
    const wire = { ...costs.wire, messageMs: 0.3, wakeMs: 0.1 };
    expect(period({ wire }, { nodes: 2 })).toBeCloseTo(2 * (1 + 3 + 0.3) + 4 * 0.1 + 20.25 + 0.5 + 2, 9);
    expect(period({ wire }, {})).toBe(period({}, {})); // alone there are none
  });

  test('half the bytes take half the time, and encoding and decoding theirs', () => {
    // Decoded on the node, encoded there, decoded (of two nodes) and encoded on the coordinator.
    expect(period({}, { nodes: 2, format: 'bf16' })).toBeCloseTo(
      2 * (0.5 + 3) + 20.25 + 0.5 + 2 + 2 + 4 + 2 * 2 + 4,
      9,
    );
  });

  test('what is final before the last shard is done leaves before, where a node ends in one sum', () => {
    const early = { finals: [{ fromBytes: 2.5e5, share: 0.5 }], lastTogether: [0, 1, 1, 1, 1] };
    // Three quarters leave after 15 of 20 ms, and are there before the rest leaves.
    expect(period({ early }, { nodes: 2 })).toBeCloseTo(1 + 3 + 20.25 + 0.25 + 3 + 0.5 + 2, 9);
    // On a slow card the rest waits behind them.
    const slow = { latencyMs: 3, bytesPerMs: 1e5 };
    expect(period({ early }, { nodes: 2, link: slow })).toBeCloseTo(10 + 3 + 15 + 10 + 3 + 0.5 + 2, 9);
    // Both shards at once: half of all computing, not of the second shard's. The vector leaves from 10 ms on, the rest at 20.25.
    const together = { ...early, lastTogether: [0, 1, 2, 3, 4] };
    expect(period({ early: together }, { nodes: 2, link: slow })).toBeCloseTo(10 + 3 + 20.25 + 2.5 + 3 + 0.5 + 2, 9);
    // Encoded sums, and the one of local steps, leave when all is done; a process that is alone sends nothing.
    for (const other of [{ nodes: 2, syncEvery: 3 }, { nodes: 2, format: 'bf16' }, {}] as const) expect(period({ early }, other)).toBeCloseTo(period({}, other), 9); // biome-ignore format: one line
    // Shards 3 + 3 + 2 of eight: of three there are two sums.
    const eight = { shards: 8, shardMs: 5, jitter: 0 };
    const of = (nodes: number, more = {}) => period({ ...eight, ...more }, { nodes });
    expect(of(4, { early })).toBeLessThan(of(4));
    expect(of(3, { early: { ...early, lastTogether: [0, 0, 0, 1] } })).toBe(of(3));
  });

  // Ten times as slow a card: of eight shards 3 + 3 + 2 would send three sums over it, 4 + 2 + 2 send two. Node 0 has the four. By halves in
  // turn the first of the others has its parameters after 15 ms, and from its first half on the card is busy with two sums.
  test('shards are divided so that few sums cross a slow card', () => {
    const slow = { latencyMs: 3, bytesPerMs: 1e5 };
    const eight = { shards: 8, shardMs: 5 };
    expect(period(eight, { nodes: 3, link: slow })).toBeCloseTo(15 + 3 + 10.25 + 20 + 3 + 2 * 0.5 + 2, 9);
    expect(simulate({ ...costs, ...eight }, { ...scenario, nodes: 3, link: slow }).shardsAtEnd).toEqual([4, 2, 2]);
    expect(simulate({ ...costs, ...eight }, { ...scenario, nodes: 3 }).shardsAtEnd).toEqual([3, 3, 2]);
    // Encoded, a node sends one sum whatever it has.
    const encoded = { ...scenario, nodes: 3, link: slow, format: 'bf16' } as const;
    expect(simulate({ ...costs, ...eight }, encoded).shardsAtEnd).toEqual([3, 3, 2]);
  });

  test('an exchange every three steps: local steps have norms and an update of their own, and four passes over the parameters at the end', () =>
    expect(period({}, { nodes: 2, syncEvery: 3 })).toBeCloseTo(
      2 * (1 + 3) + 3 * (20.25 + 0.5 + 2) + 4 * 0.5 + 0.5 + 2,
      9,
    ));

  test('processes that share cores wait for them', () => {
    // Node 0 computes alone for 4 ms, until the other has its parameters; the core is busy until all 40 ms are done.
    expect(period({}, { nodes: 2, sharedCores: 1 })).toBeCloseTo(40 + 0.25 + 1 + 3 + 0.5 + 2, 9);
    // With a core for each the coordinator has two threads for norms and update.
    expect(period({}, { nodes: 2, sharedCores: 2 })).toBeCloseTo(20.25 + 2 * (1 + 3) + (0.5 + 2) / 2, 9);
  });

  test('phases of an exchange are the exchange', () => {
    const { phases, samplesPerSec } = simulate({ ...costs, jitter: 0.1 }, { ...scenario, nodes: 4, rounds: 1 });
    expect(Object.values(phases).reduce((a, b) => a + b)).toBeCloseTo(64_000 / samplesPerSec, 9);
  });

  test('a tree asks less of the card of the coordinator than a star', () => {
    const big = { ...costs, shards: 64, batch: 1024, together: [{ ...costs.together[0], additionMs: 0 }] };
    const [star, tree] = (['star', 'tree'] as const).map((topology) => period(big, { nodes: 64, topology }));
    expect(star).toBeGreaterThan(63); // everybody's megabyte; down and up at the same time
    // Down: seven of its own group, then seven leaders, each of which sends seven on; up: to the leader, and one merged sum from there.
    expect(tree).toBeCloseTo(14 + 3 + 7 + 3 + 10.25 + 1 + 3 + 1 + 3 + 2, 9);
  });
});

describe('what is final early', () => {
  const ref = (element: number) => ({ region: 'gradients', offset: 4 * element }) as const;
  const gemm = (m: number, c: ReturnType<typeof ref>) => ({ kernel: 'gemm', args: [0, 0, m, 1, 1, 0, 1, 0, 1, 0, c, 1] }) as const; // biome-ignore format: one line
  const tensor = (name: string, offset: number, size: number) => ({
    name,
    offset,
    size,
    shape: [size],
    group: 0,
    init: { kind: 'constant', value: 0 } as const,
  });
  const tensors = [tensor('first', 0, 50_000), tensor('middle', 50_000, 20_000), tensor('last', 70_000, 10_000)];

  test('is known from the order of the products of the backward pass; what is not worth a message goes with the next', () => {
    const forward = { kernel: 'gemm', args: [0, 0, 99, 1, 1] } as const;
    const [last, middle, first] = [gemm(1, ref(70_000)), gemm(3, ref(50_000)), gemm(4, ref(0))];
    const calls = [forward, { ...last, opensBackward: true as const }, middle, first];
    expect(finalParts(calls, tensors)).toEqual([{ fromBytes: 200_000, share: 0.5 }]); // 40,000 bytes are not worth it
  });

  test('workers come to it in their last shards', () => {
    const early = { finals: [{ fromBytes: 8, share: 0.25 }, { fromBytes: 4, share: 0.75 }], lastTogether: [0, 1, 2, 1] }; // biome-ignore format: one line
    expect(untilFinal(early, [9, 8, 0], [3, 2, 0])).toEqual([[6.75, 1.5, 0.75], [2, 4, 2], [0, 0, 0]]); // biome-ignore format: one line
    expect(untilFinal({ ...early, lastTogether: [0, 1, 0] }, [8], [2])).toBeUndefined(); // it ends with an addition
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

  test('when the node that collects for others is lost, they send to the coordinator what they have', () => {
    const all = { ...costs, shards: 64, batch: 1024 };
    for (let seed = 1; seed <= 20; seed++) {
      const changes = [{ round: 2, lose: 20 }, { round: 3, lose: 20 }, { round: 4, join: 5 }]; // biome-ignore format: one line
      const result = simulate(all, { ...scenario, nodes: 64, topology: 'tree', changes, seed });
      expect(result.shardsAtEnd).toHaveLength(64 - 40 + 5);
      expect(result.shardsAtEnd.reduce((a, b) => a + b)).toBe(64);
      expect(result.samplesPerSec).toBeGreaterThan(0);
    }
  });

  test('nodes without shards of their own take over those of one that is lost', () => {
    const { shardsAtEnd, repeatedShards } = simulate(costs, {
      ...scenario,
      nodes: 6,
      changes: [{ round: 2, lose: 3 }],
    });
    expect(repeatedShards).toBe(3);
    expect(shardsAtEnd).toEqual([2, 1, 1]);
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

describe('cores', () => {
  /** When each of some threads is done that begin at a time with so much work. */
  const run = (cores: number, slowdown: number, threads: readonly (readonly [at: number, ms: number])[]) => {
    const queue = new EventQueue();
    const machine = new Cores(queue, cores, (running) => (running > 1 ? slowdown : 1));
    const done: number[] = [];
    threads.forEach(([at, ms], i) => {
      const finish = (): void => {
        done[i] = queue.now;
      };
      queue.at(at, () => machine.run(ms, finish));
    });
    queue.run();
    return done;
  };

  test('are shared evenly by the threads that are on them', () => {
    expect(run(1, 1, [[0, 10], [0, 4]])).toEqual([14, 8]); // biome-ignore format: one line
    expect(run(1, 1, [[0, 10], [5, 1], [20, 1]])).toEqual([11, 7, 21]); // biome-ignore format: one line
    expect(run(2, 1, [[0, 10], [0, 4]])).toEqual([10, 4]); // biome-ignore format: one line
  });

  test('a core that runs dry takes over a thread of another, unless its threads have met just now; then at a tick', () => {
    // Until 6 ms the first two have half a core each: the first goes to the core of the second, where nobody is any more.
    expect(run(2, 1, [[0, 6], [0, 6], [0, 6]])).toEqual([9, 6, 9]); // biome-ignore format: one line
    expect(run(2, 1, [[0, 6], [0, 2], [3, 6]])).toEqual([6, 2, 9]); // biome-ignore format: one line
    // The third comes 0.3 ms before the second is done: until the tick at 4 ms the first and the third share a core.
    expect(run(2, 1, [[0, 8], [0, 2], [1.7, 8]])).toEqual([9.15, 2, 10.85]); // biome-ignore format: one line
  });

  test('a thread that wakes up takes its last core, if that has nothing to do; who wakes it still is on its own', () => {
    const queue = new EventQueue();
    const machine = new Cores(queue, 2, () => 1);
    const [left, right, third] = [{}, {}, {}] as Runner[];
    const done: string[] = [];
    const say = (name: string) => () => done.push(`${name}${queue.now}`);
    machine.run(10, say('a'), left); // on the first core
    machine.run(1, () => machine.run(6, say('c'), third), right); // on the second: when it wakes the third both have one, so on the first
    queue.at(3, () => machine.run(1, say('d'), right)); // on its last, which then takes over the one that has most to do
    queue.run();
    expect(done).toEqual(['d4', 'c8.5', 'a11.5']);
  });

  test('are slower while others have work', () =>
    expect(run(2, 2, [[0, 4], [0, 10]])).toEqual([8, 14])); // biome-ignore format: one line

  test('a thread does one thing after the other', () => {
    const queue = new EventQueue();
    const thread = new Thread(new Cores(queue, 2, () => 1));
    const done: number[] = [];
    for (const ms of [3, 4]) thread.run(ms, () => done.push(queue.now));
    queue.at(1, () => thread.run(5, () => done.push(queue.now)));
    queue.run();
    expect(done).toEqual([3, 7, 12]);
  });
});

test('between measured numbers of workers slowdowns lie on straight lines', () => {
  expect(slowdownOf([[1, 1]])).toEqual([1]);
  expect(slowdownOf([[1, 1], [2, 1.2], [4, 2]])).toEqual([1, 1.2, 1.6, 2]); // biome-ignore format: one line
  expect(slowdownOf([[2, 1], [4, 1.4]])).toEqual([1, 1, 1.2, 1.4]); // biome-ignore format: one line
});

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

test('where to stop is said in a line for each topology: what for, and what other formats move it to', () => {
  const whatIf = parseWhatIf('nodes=1..64,link=1gbit/0.5ms');
  const of = (topology: Series['topology'], format: Series['format'], stopAt: number, limit: Series['limit']): Series => ({ topology, format, stopAt, limit, rows: [] }); // biome-ignore format: one line
  const series = [of('star', 'fp32', 6, 'down'), of('star', 'bf16', 11, 'up'), of('star', 'int8', 6, 'up'), of('tree', 'fp32', 64, 'compute'), of('tree', 'bf16', 64, 'compute')]; // biome-ignore format: one line
  expect(stopLines({ series, whatIf } as unknown as JobScaling)).toEqual([
    'star, fp32 over 1gbit/0.5ms: stop at 6 nodes, for then it is mostly parameters on their way down; bf16 moves it to 11',
    'two-level tree (simulated only), fp32 over 1gbit/0.5ms: all 64 nodes pay; bf16: the same',
  ]);
});

test('where shards are what is missing, that is said', () => {
  const [star] = predict(costs, 1, parseWhatIf('nodes=1..16,link=10gbit/0.01ms,format=fp32,topology=star'));
  expect(star).toMatchObject({ stopAt: 4, limit: 'shards' });
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
