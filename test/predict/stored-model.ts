import { completeManifest } from '../../src/checkpoint/manifest.ts';
import { encodeModel, type StoredModel } from '../../src/checkpoint/model-file.ts';
import type { Job } from '../../src/train/job.ts';
import { manifestFacts } from '../../src/train/manifest-facts.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { philox } from '../fixtures/philox.ts';

/** A model as a checkpoint holds it, with parameters made up: what is tested here is not training. */
export async function storedModel(job: Job, seed = 1): Promise<StoredModel> {
  const plan = await planRun(job, { workers: 1 });
  const facts = manifestFacts(plan, {
    step: 1,
    progress: { updates: 1, badInARow: 0, state: {} },
    watched: { stopping: { best: 1, bad: 0 } },
    metrics: {},
    epoch: { epoch: 1, sums: [], samples: 0, skipped: 0 },
  });
  const files = (['parameters.safetensors', 'optimizer.safetensors'] as const).map((name) => ({
    name,
    bytes: 0,
    sha256: '0'.repeat(64),
  }));
  const random = philox(seed);
  const parameters = new Float32Array(plan.compiled.flatSize);
  for (const { offset, size, shape } of plan.compiled.tensors) {
    const scale = shape.length > 1 ? Math.sqrt(3 / shape[0]) : 0.1;
    for (let i = 0; i < size; i++) parameters[offset + i] = scale * (2 * random() - 1);
  }
  for (const { offset, size } of plan.compiled.buffers) {
    for (let i = 0; i < size; i++) parameters[offset + i] = 0.2 + random(); // running variances are positive
  }
  return { manifest: completeManifest(facts, files, '2024-01-01T00:00:00.000Z'), parameters };
}

/** The same as a model file. */
export async function modelBytes(job: Job, seed = 1): Promise<Uint8Array> {
  return encodeModel(await storedModel(job, seed));
}

/** Parameters by name, for oracles. */
export function parametersByName({ manifest, parameters }: StoredModel): Record<string, Float32Array> {
  let offset = 0;
  return Object.fromEntries(
    manifest.tensors.map(({ name, shape }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const values = parameters.slice(offset, offset + size);
      offset += 16 * Math.ceil(size / 16);
      return [name, values];
    }),
  );
}
