import { expect, test } from 'vitest';
import { type Contestant, type PlanOptions, planGroups } from '../../scripts/bench/contestants.ts';
import { WORKLOADS } from '../../src/scaling/workloads.ts';

const everything: PlanOptions = {
  workloads: WORKLOADS,
  workers: [1, 2],
  peers: ['torch', 'tfjs', 'jax-js'],
  gemms: ['blas', 'wasm'],
  scaling: true,
};
const all = (options: PlanOptions): Contestant[] => planGroups(options).flatMap((g) => g.contestants);

test('a peer always has a Lockstep run of the same workload, batch and cores beside it', () => {
  for (const { contestants } of planGroups(everything)) {
    for (const peer of contestants.filter((c) => c.peer !== 'lockstep')) {
      const twin = contestants.find(
        (c) => c.peer === 'lockstep' && c.batch === peer.batch && c.workers === peer.workers && !('shards' in c),
      );
      expect(twin, `${peer.peer} ${peer.way}`).toBeDefined();
    }
  }
});

test('PyTorch gets one process a core and one process with all of them, with the same global batch', () => {
  const onTwo = all({ ...everything, workloads: WORKLOADS.slice(1, 2) }).filter(
    (c) => c.peer === 'torch' && c.workers === 2,
  );
  expect(onTwo).toMatchObject([
    { processes: 2, threads: 1, batch: 256 },
    { processes: 1, threads: 2, batch: 256 },
  ]);
});

const scaling: PlanOptions = { ...everything, peers: ['torch'], cluster: true, onlyScaling: true };

test('all that an efficiency is made of runs in the same rounds', () => {
  const groups = planGroups(scaling);
  expect(groups.map(({ workload }) => workload.name)).toEqual(WORKLOADS.map(({ name }) => name));
  for (const { workload, contestants } of groups) {
    const own = contestants.filter((c) => c.peer === 'lockstep');
    const has = (batch: number, workers: number, shards?: number) =>
      own.some((c) => c.batch === batch && c.workers === workers && c.shards === shards && c.nodes === undefined);
    const weak = workload.weakBatch ?? workload.batch;
    expect([has(weak, 1), has(2 * weak, 2)]).toEqual([true, true]);
    for (const batch of workload.scalingBatches) {
      expect([has(batch, 1), has(batch, 2), has(batch, 1, 1)]).toEqual([true, true, true]);
    }
    expect(own.filter(({ nodes }) => nodes === 2)).toHaveLength(1);
    expect(contestants.filter(({ peer }) => peer === 'torch').length).toBeGreaterThanOrEqual(3);
  }
});

test('nobody appears twice in a group', () => {
  for (const { contestants } of [...planGroups(everything), ...planGroups(scaling)]) {
    const texts = contestants.map((c) => JSON.stringify(c));
    expect(new Set(texts).size).toBe(texts.length);
  }
});

test('options: batch and shards reach every Lockstep run of the main group', () => {
  const own = all({ ...everything, batch: 96, shards: 3, scaling: false }).filter((c) => c.peer === 'lockstep');
  expect(own.length).toBeGreaterThan(0);
  for (const contestant of own) {
    expect(contestant).toMatchObject({ shards: 3, batch: 96 * contestant.workers });
  }
});

test('one worker, one GEMM, nobody else: one run a workload', () => {
  expect(all({ workloads: WORKLOADS, workers: [1], peers: [], gemms: ['wasm'], scaling: true })).toHaveLength(
    WORKLOADS.length,
  );
});
