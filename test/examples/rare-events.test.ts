import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { train } from 'lockstep';
import { afterAll, expect, test } from 'vitest';
import job from '../../examples/rare-events.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-rare-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const reports: Record<string, string>[] = parse(
  readFileSync(new URL('../../node_modules/vega-datasets/data/birdstrikes.csv', import.meta.url)),
  { columns: true },
);

/** F1 on the reports of 2000 of the rule "such a size in such a phase did damage often enough before", with the best "enough". */
function bestRule(): number {
  const damage = (r: Record<string, string>): boolean => r['Effect Amount of damage'] === 'Substantial';
  const kind = (r: Record<string, string>): string => `${r['Wildlife Size']} ${r['Phase of flight']}`;
  const [before, asked] = [
    reports.filter((r) => r['Flight Date'] < '2000'),
    reports.filter((r) => r['Flight Date'].startsWith('2000')),
  ];
  const rates = new Map(
    [...new Set(reports.map(kind))].map((name) => {
      const such = before.filter((r) => kind(r) === name);
      return [name, such.length === 0 ? 0 : such.filter(damage).length / such.length] as const;
    }),
  );
  const scores = [...rates.values()]
    .filter((rate) => rate > 0)
    .map((enough) => {
      const called = asked.filter((r) => (rates.get(kind(r)) ?? 0) >= enough);
      return (2 * called.filter(damage).length) / (called.length + asked.filter(damage).length);
    });
  return Math.max(...scores);
}

test('finds more of the rare reports than the best rule on size and phase, and goes on from a trained model', async () => {
  const runDir = join(folder, 'run');
  const trained = await train(job, { workers: 1, runDir });
  // "A large animal on take-off or climb": 34 of the 1,065 reports of 2000, 6 of the 31 with substantial damage.
  expect(trained.metrics['test.recall']).toBeGreaterThan(6 / 31);
  expect(bestRule()).toBeLessThan(0.185);
  expect(trained.metrics['test.f1']).toBeGreaterThan(0.185);
  const some = { ...job, steps: 20, epochs: undefined };
  const cold = await train(some, { workers: 1 });
  const warm = await train(some, { workers: 1, warmStart: runDir });
  expect(warm.loss).toBeLessThan(0.8 * cold.loss);
});
