import { train } from 'lockstep';
import { expect, test } from 'vitest';
import type { KeptPoint } from '../../src/scaling/contract.ts';
import { KeptRun } from '../../src/scaling/kept-run.ts';
import { openLocally, openTimedJob } from '../../src/scaling/local.ts';
import { Stage } from '../../src/scaling/stage.ts';
import small from '../fixtures/small-job.ts';

const point = (workers: number) => ({ workers, nodes: 1, batch: 24, roles: ['strong' as const] });

test('slices of a run that is kept are the steps of one run: so many as asked for, to the bytes of a run of all', async () => {
  const timed = await openTimedJob(small, {});
  const open = openLocally(timed);
  const [one, two] = [await open(point(1)), await open(point(2))];
  try {
    for (const steps of [7, 30, 3]) {
      const [a, b] = [await one.run(steps), await two.run(steps)]; // in turns, as rounds do
      expect(a.length).toBe(b.length);
      expect(a.length).toBeGreaterThan(0);
      expect(a.length).toBeLessThanOrEqual(steps); // ragged batches do not count
      expect(two.hash()).toBe(one.hash());
      const timeline = await two.timeline();
      expect(timeline.map(({ rank }) => rank)).toEqual(Array.from({ length: 2 * steps }, (_, i) => i % 2));
    }
    const { parametersSha256 } = await train(
      { ...small, earlyStopping: undefined, steps: 40, epochs: 100 },
      { workers: 1 },
    );
    expect(one.hash()).toBe(parametersSha256);
  } finally {
    await Promise.all([one.close(), two.close()]);
  }
});

test('a run that cannot go on says why to whoever waits for its next slice', async () => {
  const broken = new KeptRun(async () => {
    throw new Error('no');
  }, 24);
  await expect(broken.run(5)).rejects.toThrow('no');
  await broken.close();
  const ended = new KeptRun(async () => ({ step: 3 }), 24);
  await expect(ended.run(5)).rejects.toThrow(expect.objectContaining({ code: 'E_ABORTED' }));
});

/** A point that takes memory and writes down what happens to it. */
function fake(name: string, bytes: number, log: string[]): KeptPoint {
  log.push(`+${name}`);
  return {
    run: async () => [1],
    shards: 1,
    hash: () => '',
    timeline: async () => [],
    bytes,
    close: async () => void log.push(`-${name}`),
  };
}

test('points stay while memory has room; then the one that ran longest ago ends', async () => {
  const log: string[] = [];
  const stage = new Stage<string>(async (name) => fake(name, 10, log), 25);
  for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) await stage.run(name, 1);
  expect(log).toEqual(['+a', '+b', '-b', '+c', '-c', '+b']);
  await stage.close();
  expect(log.slice(-2).sort()).toEqual(['-a', '-b']);
});

test('one point is run even where there is no room for it', async () => {
  const log: string[] = [];
  const stage = new Stage<string>(async (name) => fake(name, 10, log), 0);
  for (const name of ['a', 'a', 'b']) await stage.run(name, 1);
  await stage.end('b');
  expect(log).toEqual(['+a', '-a', '+b', '-b']);
});
