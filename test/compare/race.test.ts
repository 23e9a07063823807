import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TrialResult } from '../../src/compare/contract.ts';
import { JOURNAL_FILE, Journal } from '../../src/compare/journal.ts';
import { raceSize } from '../../src/compare/planner.ts';
import { runRace } from '../../src/compare/race.ts';
import { FakeSlot, fakePlan, fakeResult, type Hump } from './fake.ts';

const GRID = [0.0001, 0.00032, 0.001, 0.0032, 0.01];
const HUMPS: Record<string, Hump> = {
  a: { best: 0.001, top: 0.95 },
  b: { best: 0.1, top: 0.9, limit: 0.5 },
};
const PLAN = fakePlan({ a: GRID, b: GRID }, { finalSeeds: 3 });
const ids = (results: readonly TrialResult[]) => results.map(({ trial }) => trial.id).sort();

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-race-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('runRace', () => {
  it('runs every trial once, in all slots', async () => {
    const slots = [new FakeSlot(HUMPS), new FakeSlot(HUMPS)];
    const { results, ended, occupied } = await runRace({ plan: PLAN, done: [], slots });
    expect(ended).toBe('complete');
    expect(new Set(ids(results)).size).toBe(results.length);
    expect(results.length).toBe(raceSize(PLAN).trials);
    for (const slot of slots) expect(slot.trials.length).toBeGreaterThan(10);
    expect(occupied).toBeGreaterThan(0);
    expect(occupied).toBeLessThanOrEqual(1);
  });

  it('keeps what is done when stopped, and goes on to the same end', async () => {
    const whole = await runRace({ plan: PLAN, done: [], slots: [new FakeSlot(HUMPS)] });
    const stop = new AbortController();
    const first = await runRace({
      plan: PLAN,
      done: [],
      slots: [new FakeSlot(HUMPS), new FakeSlot(HUMPS)],
      signal: stop.signal,
      onResult: (result) => {
        if (result.trial.stopStep === 90) stop.abort();
      },
    });
    expect(first.ended).toBe('aborted');
    expect(first.results.length).toBeLessThan(whole.results.length);
    const slots = [new FakeSlot(HUMPS)];
    const second = await runRace({ plan: PLAN, done: first.results, slots });
    expect(ids(second.results)).toEqual(ids(whole.results));
    expect(slots[0].trials.length).toBe(whole.results.length - first.results.length);
  });

  it('starts nothing when it is stopped before it begins', async () => {
    const slots = [new FakeSlot(HUMPS)];
    const { ended } = await runRace({ plan: PLAN, done: [], slots, signal: AbortSignal.abort() });
    expect(ended).toBe('aborted');
    expect(slots[0].trials).toEqual([]);
  });

  it('ends when the budget is spent, whatever a trial still does', async () => {
    let closed = () => {};
    const stuck = {
      run: () =>
        new Promise<undefined>((resolve) => {
          closed = () => resolve(undefined);
        }),
      close: () => closed(),
    };
    const { ended, results } = await runRace({ plan: PLAN, done: [], slots: [stuck], budgetSeconds: 0.05 });
    expect(ended).toBe('budget');
    expect(results).toEqual([]);
  });

  it('counts a crash as a result', async () => {
    const humps = { ...HUMPS, b: { best: 0.1, top: 0.9, crashes: () => true } };
    const { results, ended } = await runRace({ plan: PLAN, done: [], slots: [new FakeSlot(humps)] });
    expect(ended).toBe('complete');
    expect(results.filter(({ outcome }) => outcome === 'crashed')).toHaveLength(8);
  });
});

describe('Journal', () => {
  it('gives back what was written, numbers that JSON lacks too', async () => {
    const journal = await Journal.create(folder, { job: 'x' }, PLAN);
    const results = [0.001, 0.5].map((lr) => {
      const trial = { ...PLAN, id: `t${lr}`, phase: 'tune', optimizer: 'b', lr, seed: 1, stopStep: 30 } as const;
      return fakeResult({ ...trial, totalSteps: 270, evaluateEvery: 10 }, HUMPS);
    });
    const crashed: TrialResult = {
      ...results[0],
      outcome: 'crashed',
      message: 'gone',
      curve: [],
      secondsPerStep: Number.NaN,
    };
    for (const result of [...results, crashed]) await journal.add(result);
    const read = await Journal.read(folder);
    expect(read?.plan).toEqual(PLAN);
    expect(read?.request).toEqual({ job: 'x' });
    expect(read?.results[2].secondsPerStep).toBeNaN();
    expect(read?.results.map(({ curve }) => curve)).toEqual([...results, crashed].map(({ curve }) => curve));
  });

  it('drops half a line that a crash left, at every byte, and goes on behind it', async () => {
    const journal = await Journal.create(folder, {}, PLAN);
    const { trial } = fakeResult(
      { id: 't', phase: 'tune', optimizer: 'a', lr: 1, seed: 1, stopStep: 10, totalSteps: 270, evaluateEvery: 10 },
      HUMPS,
    );
    await journal.add(fakeResult(trial, HUMPS));
    await appendFile(join(folder, JOURNAL_FILE), '{"trial":{"id":"half');
    expect((await Journal.read(folder))?.results).toHaveLength(1);
    const again = await Journal.reopen(folder);
    await again.add(fakeResult(trial, HUMPS));
    expect((await Journal.read(folder))?.results).toHaveLength(2);
    expect(await readFile(join(folder, JOURNAL_FILE), 'utf8')).not.toContain('half');
  });

  it('is not there, or is damaged: says so', async () => {
    expect(await Journal.read(folder)).toBeUndefined();
    await appendFile(join(folder, JOURNAL_FILE), '{"kind":"something else"}\n');
    await expect(Journal.read(folder)).rejects.toMatchObject({ code: 'E_RUN_DIR' });
  });
});
