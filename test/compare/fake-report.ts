import type { RaceSettings } from '../../src/compare/plan.ts';
import { runRace } from '../../src/compare/race.ts';
import { type JobReport, jobReport, type Report } from '../../src/compare/report.ts';
import { FakeSlot, fakePlan, type Hump } from './fake.ts';

export const GRID = [0.0001, 0.00032, 0.001, 0.0032, 0.01];

/** A report of a race without training. */
export async function fakeJobReport(
  humps: Readonly<Record<string, Hump>>,
  settings: Partial<RaceSettings> = {},
  signal?: AbortSignal,
): Promise<JobReport> {
  const plan = fakePlan(Object.fromEntries(Object.keys(humps).map((name) => [name, GRID])), settings);
  const race = await runRace({ plan, done: [], slots: [new FakeSlot(humps)], signal });
  return jobReport({
    name: 'job',
    plan,
    candidates: {
      taking: plan.entries.map(({ optimizer, grid }, i) => ({ optimizer, grid, stateBytes: 400 * (i + 1) })),
      left: [{ optimizer: 'lbfgs', reason: "expected batchSize 'full', got batches of 32 rows" }],
    },
    race,
    slots: 1,
    stepsOfJob: 270,
    batchSize: 32,
    parameters: 100,
    notes: [],
  });
}

export function fakeReport(...jobs: JobReport[]): Report {
  return {
    kind: 'lockstep-comparison',
    version: 1,
    lockstep: '0.0.0',
    createdAt: '2026-01-01T00:00:00.000Z',
    machine: { cpu: 'a <fast> & new one', cores: 2, platform: 'linux-x64', node: '20', gemm: 'blas' },
    jobs,
  };
}
