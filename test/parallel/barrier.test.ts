import { Piscina } from 'piscina';
import { expect, test } from 'vitest';
import { AbortedError, BARRIER_WORDS, Barrier, isPoisoned, poison } from '../../src/parallel/barrier.ts';
import type { BarrierTask } from '../fixtures/barrier-worker.ts';
import { fixtureUrl } from '../support/fixture.ts';

async function withThreads<T>(participants: number, use: (run: (task: BarrierTask) => Promise<unknown>) => Promise<T>) {
  const pool = new Piscina({
    filename: fixtureUrl('barrier-worker').href,
    minThreads: participants,
    maxThreads: participants,
  });
  try {
    return await use((task) => pool.run(task));
  } finally {
    await pool.destroy();
  }
}

const sharedWords = (participants: number) => new Int32Array(new SharedArrayBuffer(4 * (BARRIER_WORDS + participants)));

test.each([
  { participants: 2, spins: 5000, rounds: 20_000 },
  { participants: 5, spins: 0, rounds: 500 },
])(
  'nobody passes before all have come: $participants threads, $spins spins',
  async ({ participants, spins, rounds }) => {
    const words = sharedWords(participants);
    const tasks = Array.from({ length: participants }, (_, rank) => ({ words, rounds, rank, participants, spins }));
    const results = await withThreads(participants, (run) => Promise.all(tasks.map(run)));
    expect(results).toEqual(tasks.map(() => ({ violations: 0, aborted: false })));
  },
);

test('a poisoned barrier frees those who wait and refuses those who come later', async () => {
  const words = sharedWords(3);
  await withThreads(2, async (run) => {
    const waiting = [0, 1].map((rank) => run({ words, rounds: 0, rank, participants: 3, spins: 100 }));
    const marks = words.subarray(BARRIER_WORDS);
    for (let arrived = 0; arrived < 2; arrived = Atomics.load(marks, 0)) {
      await Atomics.waitAsync(marks, 0, arrived).value;
    }
    poison(words);
    expect(await Promise.all(waiting)).toEqual([0, 1].map(() => ({ violations: 0, aborted: true })));
  });
  expect(isPoisoned(words)).toBe(true);
  expect(() => new Barrier(words.subarray(0, BARRIER_WORDS), 1, 0).wait()).toThrow(AbortedError);
});
