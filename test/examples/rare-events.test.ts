import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { train } from 'lockstep';
import { afterAll, expect, test } from 'vitest';
import job from '../../examples/rare-events.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-rare-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('finds more of the rare reports than the best rule on size and phase, and goes on from a trained model', async () => {
  const runDir = join(folder, 'run');
  const trained = await train(job, { workers: 1, runDir });
  // "A large animal on take-off or climb": 34 of the 1,065 reports of 2000, 6 of the 31 with substantial damage.
  expect(trained.metrics['test.recall']).toBeGreaterThan(6 / 31);
  expect(trained.metrics['test.f1']).toBeGreaterThan(0.185);
  const some = { ...job, steps: 20, epochs: undefined };
  const cold = await train(some, { workers: 1 });
  const warm = await train(some, { workers: 1, warmStart: runDir });
  expect(warm.loss).toBeLessThan(0.8 * cold.loss);
});
