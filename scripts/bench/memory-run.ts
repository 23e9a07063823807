import { type Job, train } from '../../src/index.ts';
import { workloadJob } from '../../src/scaling/models.ts';
import { makeRows } from '../../src/scaling/rows.ts';
import { SMALL as workload } from '../../src/scaling/workloads.ts';

const [workers, steps, window = Number.POSITIVE_INFINITY] = process.argv.slice(2).map(Number);
const collect = globalThis.gc;
if (collect === undefined) throw new Error('run with --expose-gc');
collect(); // its line in the trace names this isolate

const { x, y } = makeRows(workload, 1);
const heap: { step: number; heapUsed: number; arrayBuffers: number }[] = [];

function observe(step: number): void {
  collect?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  heap.push({ step, heapUsed, arrayBuffers });
}

const job = {
  ...workloadJob(workload, { x, y }, { batch: workload.batch * workers, steps }),
  callbacks: {
    onEpochEnd({ step }: { step: number }) {
      if (heap.length === 0 && step >= 2000) observe(step);
      else if (heap.length === 1 && step >= heap[0].step + window) observe(step);
    },
  },
} satisfies Job;
await train(job, { workers });
process.stdout.write(`\nRESULT ${JSON.stringify({ heap })}\n`);
