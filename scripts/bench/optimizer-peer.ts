/**
 * Lockstep's optimizers as a contestant (protocol.ts): the update alone on one or more threads, and the share of a step that an
 * optimizer takes in the public `train()`.
 */
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { arrays } from '../../src/data/index.ts';
import { crossEntropy, dense, type OptimizerDescription, sequential, train } from '../../src/index.ts';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { compileKernels, heapBaseOf, instantiateKernels } from '../../src/kernels/wasm.ts';
import { BARRIER_WORDS } from '../../src/parallel/barrier.ts';
import type { PassOrder, ThreadSeat } from './optimizer-thread.ts';

const description = z.custom<OptimizerDescription>((v) => typeof v === 'object' && v !== null && 'kind' in v);
const Request = z.discriminatedUnion('cmd', [
  z.object({
    cmd: z.literal('pass'),
    description,
    parameters: z.number(),
    threads: z.number(),
    seconds: z.number(),
    memoryOnly: z.boolean(),
  }),
  z.object({ cmd: z.literal('share'), description, sizes: z.array(z.number()), batch: z.number(), steps: z.number() }),
  z.object({ cmd: z.literal('close') }),
]);

const PAGE = 64 * 1024;
/** Vectors of the largest optimizer here: parameters, gradient, four slots. */
const VECTORS = 6;
const LARGEST = 16_000_000;

/** Threads over one memory, started when they are first needed. */
class Threads {
  readonly #workers: Worker[] = [];
  readonly #common: Omit<ThreadSeat, 'rank'>;

  constructor(module: WebAssembly.Module) {
    const base = PAGE * Math.ceil(heapBaseOf(module) / PAGE);
    const pages = Math.ceil((base + 4096 + 4 * VECTORS * LARGEST) / PAGE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    instantiateKernels(module, memory); // its static data, once
    const words = new Int32Array(new SharedArrayBuffer(4 * (BARRIER_WORDS + 1)));
    const [barrierWords, end] = [words.subarray(0, BARRIER_WORDS), words.subarray(BARRIER_WORDS)];
    this.#common = { module, memory, barrierWords, end, base };
  }

  async pass(order: PassOrder): Promise<number[]> {
    while (this.#workers.length < order.threads) {
      const seat: ThreadSeat = { ...this.#common, rank: this.#workers.length };
      this.#workers.push(new Worker(new URL('./optimizer-thread.js', import.meta.url), { workerData: seat }));
    }
    const taking = this.#workers.slice(0, order.threads);
    const answers = taking.map(
      (worker) =>
        new Promise<number[]>((resolve, reject) => {
          worker.once('message', resolve).once('error', reject);
        }),
    );
    for (const worker of taking) worker.postMessage(order);
    const [times] = await Promise.all(answers);
    for (const worker of taking) worker.removeAllListeners('error');
    return times;
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** Mean milliseconds of a step and of its update, of a dense network on one worker. */
async function share(optimizer: OptimizerDescription, sizes: readonly number[], batch: number, steps: number) {
  const rows = 4 * batch;
  const x = Float32Array.from({ length: rows * sizes[0] }, (_, i) => Math.sin(i));
  const y = Int32Array.from({ length: rows }, (_, i) => i % sizes[sizes.length - 1]);
  const hidden = sizes.slice(1, -1).map((units) => dense(units, 'relu'));
  const { history } = await train(
    {
      data: { train: arrays({ x: { data: x, shape: [rows, sizes[0]] }, y }) },
      model: sequential(...hidden, dense(sizes[sizes.length - 1])),
      loss: crossEntropy(),
      optimizer,
      clip: { globalNorm: 1 },
      batchSize: batch,
      steps,
    },
    { workers: 1 },
  );
  const timings = [...history].slice(5).map((record) => record.timings);
  return { stepMs: mean(timings.map((t) => t.stepMs)), updateMs: mean(timings.map((t) => t.updateMs)) };
}

/** Not the median: some do their hard work in every tenth update. */
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

async function main(): Promise<void> {
  const { module } = await compileKernels({ simd: chooseBackend().simd });
  const threads = new Threads(module);
  for await (const line of createInterface({ input: process.stdin })) {
    const request = Request.parse(JSON.parse(line));
    if (request.cmd === 'close') break;
    const reply =
      request.cmd === 'pass'
        ? { stepsMs: await threads.pass(request) }
        : await share(request.description, request.sizes, request.batch, request.steps);
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  await threads.close();
}

await main();
