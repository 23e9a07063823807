/**
 * Lockstep as a contestant (protocol.ts): every slice is one run of the public `train()` with everything on that is on by
 * default, its times are those of the run's own history. Started with LOCKSTEP_GEMM by main.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { createSampler } from '../../src/data/sampler.ts';
import { type OptimizerDescription, type StepRecord, sgd, type TrainResult, train } from '../../src/index.ts';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { compileKernels } from '../../src/kernels/wasm.ts';
import { KernelSpeed } from '../../src/scaling/kernel-speed.ts';
import { workloadJob } from '../../src/scaling/models.ts';
import type { ModelSpec } from '../../src/scaling/workloads.ts';
import { ClusterRuns } from './cluster-runs.ts';
import { median } from './statistics.ts';

/** The bench made it; what it says is checked where it is used. */
const ModelSpecSchema = z.custom<ModelSpec>((value) => typeof value === 'object' && value !== null && 'kind' in value);
const Request = z.discriminatedUnion('cmd', [
  z.object({
    cmd: z.literal('setup'),
    model: ModelSpecSchema,
    input: z.object({ dtype: z.enum(['f32', 'i32']), shape: z.array(z.number()) }),
    target: z.array(z.number()),
    folder: z.string(),
  }),
  z.object({ cmd: z.literal('export'), batch: z.number(), steps: z.number(), ids: z.string() }),
  z.object({ cmd: z.literal('parity'), batch: z.number(), steps: z.number(), ...sizes() }),
  z.object({
    cmd: z.literal('run'),
    batch: z.number(),
    seconds: z.number(),
    warmup: z.number(),
    nodes: z.number().optional(),
    ...sizes(),
  }),
  z.object({ cmd: z.literal('gemm'), size: z.number(), seconds: z.number() }),
  z.object({ cmd: z.literal('close') }),
]);
type Setup = Extract<z.output<typeof Request>, { cmd: 'setup' }>;
interface Shape {
  readonly batch: number;
  readonly workers: number;
  readonly shards?: number | undefined;
  readonly nodes?: number | undefined;
}

function sizes() {
  return { workers: z.number(), shards: z.number().optional() };
}

/** A workload in memory, and the jobs made of it. */
class Contestant {
  readonly #setup: Setup;
  readonly #cluster: ClusterRuns;
  readonly #x: Float32Array | Int32Array;
  readonly #y: Int32Array;
  /** Mean step of the last run by shape, to turn seconds into steps. */
  readonly #expectedMs = new Map<string, number>();

  constructor(setup: Setup) {
    this.#setup = setup;
    this.#cluster = new ClusterRuns(setup);
    const x = shared(`${setup.folder}/x.${setup.input.dtype}`);
    this.#x = setup.input.dtype === 'f32' ? new Float32Array(x) : new Int32Array(x);
    this.#y = new Int32Array(shared(`${setup.folder}/y.i32`));
  }

  get #rows(): number {
    return this.#y.length / this.#setup.target.reduce((a, b) => a * b, 1);
  }

  /** Writes the initial parameters, and the rows of the first batches, for the peers. */
  async export(batch: number, steps: number, ids: string): Promise<void> {
    const still = await this.#train({ batch, workers: 1 }, 1, sgd({ lr: 1e-30 })); // one step that changes nothing
    const flat = Object.values(still.parameters).flatMap(({ data }) => [...data]);
    const shapes = Object.entries(still.parameters).map(([name, { shape }]) => ({ name, shape }));
    writeFileSync(`${this.#setup.folder}/weights.f32`, new Uint8Array(Float32Array.from(flat).buffer));
    writeFileSync(`${this.#setup.folder}/weights.json`, JSON.stringify(shapes));
    const sampler = createSampler({ size: this.#rows, batchSize: batch, seed: 1, shuffle: true });
    const rows = new Int32Array(steps * batch);
    for (let step = 0; step < steps; step++) {
      sampler.ids(step + 1, 0, 1, rows.subarray(step * batch, (step + 1) * batch));
    }
    writeFileSync(ids, new Uint8Array(rows.buffer));
  }

  async losses(shape: Shape, steps: number): Promise<number[]> {
    const { history } = await this.#train(shape, steps);
    return [...history].map((record) => record.loss);
  }

  async run(shape: Shape, seconds: number, warmup: number) {
    const key = JSON.stringify(shape);
    let expected = this.#expectedMs.get(key);
    if (expected === undefined) expected = mean(times((await this.#train(shape, 60)).history).slice(20));
    const steps = Math.max(30, Math.ceil((1000 * (seconds + warmup)) / expected));
    const result = await this.#train(shape, steps);
    const history = [...result.history];
    const all = times(history);
    const kept = afterWarmup(all, 1000 * warmup);
    const stepsMs = all.slice(kept);
    this.#expectedMs.set(key, mean(stepsMs));
    return {
      stepsMs,
      shards: result.shards,
      gemm: result.gemm,
      shareOutsideSteps: shareOutsideSteps(history, result.samplesPerSec),
      phases: phases(history.slice(kept)),
      ...(shape.nodes !== undefined && { wire: this.#cluster.wire }),
    };
  }

  #train(shape: Shape, steps: number, optimizer?: OptimizerDescription): Promise<TrainResult> {
    const { batch, workers, shards, nodes } = shape;
    const rows = { x: this.#x, y: this.#y };
    const job = workloadJob(this.#setup, rows, { batch, steps, shards, optimizer });
    return nodes === undefined ? train(job, { workers }) : this.#cluster.train(job, nodes, { ...shape, steps });
  }
}

function shapeOf({ batch, workers, shards, nodes }: Shape): Shape {
  return { batch, workers, shards, nodes };
}

function shared(path: string): SharedArrayBuffer {
  const bytes = readFileSync(path);
  const buffer = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

function times(history: Iterable<StepRecord>): number[] {
  return [...history].map((record) => record.timings.stepMs);
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Index of the first step that begins after `ms`; some steps always remain. */
function afterWarmup(stepsMs: readonly number[], ms: number): number {
  let index = 0;
  for (let passed = 0; index < stepsMs.length - 5 && passed < ms; index++) passed += stepsMs[index];
  return index;
}

/** Share of the run's training time, seen from the main thread, that no step's own time accounts for. */
function shareOutsideSteps(history: readonly StepRecord[], samplesPerSec: number): number {
  const samples = history.reduce((sum, record) => sum + record.samples, 0);
  return 1 - times(history).reduce((sum, ms) => sum + ms, 0) / ((1000 * samples) / samplesPerSec);
}

function phases(history: readonly StepRecord[]): Record<string, number> {
  const names = ['gatherMs', 'computeMs', 'waitMs', 'reduceMs', 'updateMs'] as const;
  return Object.fromEntries(names.map((name) => [name, median(history.map((r) => r.timings[name]))]));
}

async function main(): Promise<void> {
  const backend = chooseBackend();
  const version = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
  const { blas } = backend;
  const kernels = [
    blas ? [blas.library, blas.version, blas.core].filter(Boolean).join(' ') : 'no BLAS',
    `wasm ${backend.simd}`,
  ].join(', ');
  let speed: KernelSpeed | undefined;
  let contestant: Contestant | undefined;

  const answer = async (request: z.output<typeof Request>): Promise<object> => {
    if (request.cmd === 'setup') {
      contestant = new Contestant(request);
      return { version: `Lockstep ${version}`, gemm: backend.gemm, kernels };
    }
    if (request.cmd === 'gemm') {
      speed ??= new KernelSpeed(backend, (await compileKernels({ simd: backend.simd })).module);
      return { stepsMs: speed.gemm(request.size, request.seconds), gemm: backend.gemm, kernels };
    }
    if (contestant === undefined) throw new Error(`${request.cmd} before setup`);
    if (request.cmd === 'export') {
      await contestant.export(request.batch, request.steps, request.ids);
      return {};
    }
    if (request.cmd === 'parity') return { losses: await contestant.losses(request, request.steps) };
    if (request.cmd === 'run') return contestant.run(shapeOf(request), request.seconds, request.warmup);
    return {};
  };

  for await (const line of createInterface({ input: process.stdin })) {
    const request = Request.parse(JSON.parse(line));
    if (request.cmd === 'close') break;
    let reply: object;
    try {
      reply = await answer(request);
    } catch (error) {
      reply = { error: error instanceof Error ? error.message : String(error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}

await main();
