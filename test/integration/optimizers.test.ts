import {
  adam,
  crossEntropy,
  defineJob,
  dense,
  type Job,
  momentum,
  type OptimizerDescription,
  sequential,
} from 'lockstep';
import { arrays } from 'lockstep/data';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { planSlots } from '../../src/optim/slots.ts';
import { RECORD_SUMS, RING_CAPACITY } from '../../src/parallel/record-ring.ts';
import { blobs } from '../fixtures/blobs.ts';
import { ALL } from '../optim/all.ts';
import { type ThreadRun, Threads } from '../support/threads.ts';

type BlobJob = Job<{ x: 'f32'; y: 'i32' }>;
const data = blobs(160, 6, 3);
const STEPS = 3;
const WORKERS = [1, 2, 3, 4];
const FIRST_LAYER = 'dense';

/** A network of six tensors, four shards, clipping by norm; `validation` so that evaluation parameters are used. */
const job = (optimizer: OptimizerDescription, overrides: Partial<BlobJob> = {}): BlobJob =>
  defineJob({
    data: { train: arrays(data), validation: 0.2 },
    model: sequential(dense(24, 'tanh'), dense(16, 'tanh'), dense(3)),
    loss: crossEntropy(),
    clip: { globalNorm: 0.5 },
    optimizer,
    batchSize: 64,
    shards: 4,
    steps: STEPS,
    seed: 3,
    ...overrides,
  });

let threads: Threads;
beforeAll(() => {
  threads = new Threads(Math.max(...WORKERS));
});
afterAll(() => threads.close());

/** Every bit that a run leaves behind: parameters, those to evaluate with, slots, progress, records, evaluation. */
async function outcome(run: ThreadRun, steps = STEPS) {
  const { session, plan } = run;
  const { layout } = session;
  const start = run.floats(layout.parameters, plan.compiled.flatSize);
  await run.train(1, steps);
  await run.evaluate();
  const width = RECORD_SUMS + session.sums.length;
  const records = run.doubles(layout.ring, RING_CAPACITY * width).subarray(0, steps * width);
  // Step, samples, lr, norm, coefficient, action and the sums; the rest of a record are times.
  const stable = Array.from(records).filter((_, i) => i % width < 6 || i % width >= RECORD_SUMS);
  return {
    start,
    parameters: run.floats(layout.parameters, plan.compiled.flatSize),
    evaluated: run.floats(layout.evaluated, plan.compiled.flatSize),
    slots: session.slots.map(({ floats }, i) => run.floats(layout.slots[i], floats)),
    progress: run.doubles(layout.progress, 12 + 2 * session.progressNames.length),
    evaluation: run.doubles(layout.evaluationSums, session.sums.length),
    records: stable,
  };
}

async function sameOnAll(j: BlobJob) {
  const one = await threads.run(j as unknown as Job, 1, outcome);
  for (const workers of WORKERS.slice(1)) {
    expect(await threads.run(j as unknown as Job, workers, outcome), `${workers} workers`).toEqual(one);
  }
  return one;
}

const fullBatch = (kind: string): Partial<BlobJob> => (kind === 'lbfgs' ? { batchSize: 'full', clip: {} } : {});

describe('1 to 4 workers give the same bytes', () => {
  test.each(ALL)('$description.kind: $description', async ({ description }) => {
    const { start, parameters, evaluated, records } = await sameOnAll(job(description, fullBatch(description.kind)));
    expect(parameters.every(Number.isFinite)).toBe(true);
    expect(evaluated.every(Number.isFinite)).toBe(true);
    expect(parameters).not.toEqual(start);
    expect(records.length).toBeGreaterThan(0);
  });

  test.each([
    { tensorNorm: 0.05 },
    { blockRms: 1e-3 },
    { adaptive: 0.01 },
    { globalNorm: 0.2, tensorNorm: 0.1, blockRms: 1e-2, adaptive: 0.02, value: 1e-3 },
  ])('clip %o', async (clip) => {
    const clipped = await sameOnAll(job(adam({ lr: 0.01 }), { clip }));
    const free = await threads.run(job(adam({ lr: 0.01 }), { clip: {} }) as unknown as Job, 1, outcome);
    expect(clipped.parameters).not.toEqual(free.parameters);
  });

  test("clip globalNorm 'auto' looks back on the norms of the run", async () => {
    const steps = 24;
    const j = job(momentum({ lr: 2 }), { clip: { globalNorm: 'auto' }, steps });
    const on = (workers: number) => threads.run(j as unknown as Job, workers, (run) => outcome(run, steps));
    const one = await on(1);
    expect(await on(3)).toEqual(one);
    const width = one.records.length / steps;
    const coefficients = Array.from({ length: steps }, (_, i) => one.records[i * width + 4]);
    expect(coefficients.slice(0, 10)).toEqual(new Array(10).fill(1));
    expect(coefficients.some((c) => c < 1)).toBe(true);
  });

  test('groups: frozen tensors stay, others have their own rate and decay', async () => {
    const named = job(
      adam({
        lr: 0.01,
        weightDecay: 0.1,
        decoupled: true,
        groups: [
          { match: `${FIRST_LAYER}/*`, freeze: true },
          { match: 'bias', lrScale: 0.1, weightDecay: 0 },
        ],
      }),
    );
    const { start, parameters } = await sameOnAll(named);
    await threads.run(named as unknown as Job, 1, async ({ plan }) => {
      for (const { name, offset, size } of plan.compiled.tensors) {
        const [before, after] = [start, parameters].map((p) => p.subarray(offset, offset + size));
        if (name.startsWith(`${FIRST_LAYER}/`)) expect(after).toEqual(before);
        else expect(after).not.toEqual(before);
        // Adam moves an element by about lr a step.
        const moved = Math.max(...after.map((p, i) => Math.abs(p - before[i])));
        if (name.endsWith('bias') && !name.startsWith(`${FIRST_LAYER}/`))
          expect(moved).toBeLessThanOrEqual(0.1 * 0.01 * STEPS * 1.5);
      }
      expect(planSlots(plan.bound, plan.compiled.tensors)).toEqual(plan.needs.slots);
      expect(plan.compiled.tensors.map(({ group }) => group)).toEqual(plan.bound.groupOf);
    });
  });
});
