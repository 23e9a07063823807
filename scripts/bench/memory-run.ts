/**
 * One long run of `train()` for memory.ts, in a process of its own: `memory-run.ts WORKERS STEPS [WINDOW]`. Prints as its last
 * line what the main thread's heap held after garbage collection at the first end of an epoch and WINDOW steps later.
 */
import { arrays } from '../../src/data/index.ts';
import { adam, crossEntropy, type Job, train } from '../../src/index.ts';
import { buildModel } from './models.ts';
import { makeRows } from './rows.ts';
import { CLIP_NORM, LEARNING_RATE, SMALL as workload } from './workloads.ts';

const [workers, steps, window = Number.POSITIVE_INFINITY] = process.argv.slice(2).map(Number);
const collect = globalThis.gc;
if (collect === undefined) throw new Error('run with --expose-gc');
collect(); // its line in the trace names this isolate

const { x, y } = makeRows(workload, 1);
const batchSize = workload.batch * workers;
const heap: { step: number; heapUsed: number; arrayBuffers: number }[] = [];

function observe(step: number): void {
  collect?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  heap.push({ step, heapUsed, arrayBuffers });
}

const job = {
  data: { train: arrays({ x: { data: x, shape: [workload.rows, ...workload.input.shape] }, y }) },
  model: buildModel(workload.model),
  loss: crossEntropy(),
  optimizer: adam({ lr: LEARNING_RATE }),
  clip: { globalNorm: CLIP_NORM },
  batchSize,
  epochs: Math.ceil((steps * batchSize) / workload.rows) + 1,
  steps,
  callbacks: {
    onEpochEnd({ step }: { step: number }) {
      if (heap.length === 0 && step >= 2000) observe(step);
      else if (heap.length === 1 && step >= heap[0].step + window) observe(step);
    },
  },
} satisfies Job;
await train(job, { workers });
process.stdout.write(`\nRESULT ${JSON.stringify({ heap })}\n`);
