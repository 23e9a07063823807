/**
 * Lockstep as a contestant (protocol.ts): every slice is a stretch of a run of the public trainer with everything on that is on by
 * default, which waits between slices with its threads alive; its times are those of the run's own records. Started with
 * LOCKSTEP_GEMM by main.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { createSampler } from '../../src/data/sampler.ts';
import { type Job, type OptimizerDescription, type StepRecord, sgd, type TrainResult, train } from '../../src/index.ts';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { compileKernels } from '../../src/kernels/wasm.ts';
import { KEPT_STEPS, KeptRun } from '../../src/scaling/kept-run.ts';
import { KernelSpeed } from '../../src/scaling/kernel-speed.ts';
import { workloadJob } from '../../src/scaling/models.ts';
import { Stage } from '../../src/scaling/stage.ts';
import type { ModelSpec } from '../../src/scaling/workloads.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { trainPlan } from '../../src/train/train.ts';
import { ROOT } from '../root.ts';
import { ClusterRun } from './cluster-runs.ts';
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
  z.object({ cmd: z.literal('wire'), batch: z.number(), nodes: z.number(), ...sizes() }),
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
  /** By shape, as text. */
  readonly #stage = new Stage<string, KeptRun>((shape) => this.#open(JSON.parse(shape) as Shape), freemem() / 4);
  readonly #x: Float32Array | Int32Array;
  readonly #y: Int32Array;
  /** Mean step of the last slice by shape, to turn seconds into steps. */
  readonly #expectedMs = new Map<string, number>();

  constructor(setup: Setup) {
    this.#setup = setup;
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

  async losses({ batch, workers, shards }: Shape, steps: number): Promise<number[]> {
    const { history } = await this.#train({ batch, workers, shards }, steps);
    return [...history].map((record) => record.loss);
  }

  async run(shape: Shape, seconds: number, warmup: number) {
    const key = JSON.stringify(shape);
    let expected = this.#expectedMs.get(key);
    if (expected === undefined) {
      await this.#stage.run(key, 20); // starting, and the first steps
      expected = mean((await this.#stage.run(key, 40)).stepsMs);
    }
    const steps = Math.max(30, Math.ceil((1000 * (seconds + warmup)) / expected));
    const { kept, stepsMs: all } = await this.#stage.run(key, steps);
    const from = afterWarmup(all, 1000 * warmup);
    const stepsMs = all.slice(from);
    this.#expectedMs.set(key, mean(stepsMs));
    return {
      stepsMs,
      shards: kept.shards,
      gemm: chooseBackend().gemm,
      shareOutsideSteps: 1 - (mean(all) * steps) / kept.wallMs,
      phases: phases(kept.records.slice(from)),
    };
  }

  /** Ends the run of a shape with nodes; what its sockets cost. */
  async wire(shape: Shape): Promise<object> {
    const key = JSON.stringify(shape);
    const kept = await this.#stage.take(key);
    const wire = kept instanceof ClusterRun ? await kept.end() : undefined;
    await this.#stage.end(key);
    return { wire };
  }

  close(): Promise<void> {
    return this.#stage.close();
  }

  async #open({ batch, workers, shards, nodes }: Shape): Promise<KeptRun> {
    const job = this.#job({ batch, workers, shards }, KEPT_STEPS);
    const { model, input, target, folder } = this.#setup;
    if (nodes !== undefined) {
      return new ClusterRun(job, nodes, { model, input, target, folder, batch, shards, steps: KEPT_STEPS });
    }
    return new KeptRun(async (more, onOpen) => trainPlan(await planRun(job, { ...more, workers }), { ...more, workers }, onOpen), batch); // biome-ignore format: one line
  }

  #job({ batch, shards }: Shape, steps: number, optimizer?: OptimizerDescription): Job {
    return workloadJob(this.#setup, { x: this.#x, y: this.#y }, { batch, steps, shards, optimizer });
  }

  #train(shape: Shape, steps: number, optimizer?: OptimizerDescription): Promise<TrainResult> {
    return train(this.#job(shape, steps, optimizer), { workers: shape.workers });
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

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Index of the first step that begins after `ms`; some steps always remain. */
function afterWarmup(stepsMs: readonly number[], ms: number): number {
  let index = 0;
  for (let passed = 0; index < stepsMs.length - 5 && passed < ms; index++) passed += stepsMs[index];
  return index;
}

function phases(history: readonly StepRecord[]): Record<string, number> {
  const names = ['gatherMs', 'computeMs', 'waitMs', 'reduceMs', 'updateMs'] as const;
  return Object.fromEntries(names.map((name) => [name, median(history.map((r) => r.timings[name]))]));
}

async function main(): Promise<void> {
  const backend = chooseBackend();
  const version = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')).version;
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
    if (request.cmd === 'wire') return contestant.wire(shapeOf(request));
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
  await contestant?.close();
}

await main();
