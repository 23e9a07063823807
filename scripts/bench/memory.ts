/**
 * Growth of the JavaScript heap and allocation in steady state, through the public `train()`. V8 reports at each garbage
 * collection what a thread has allocated since the last one (--trace-gc-nvp); a long run minus a short one leaves the steps.
 * Young generations of 1 MiB make what is not yet collected small against the whole.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { ExtraContext, ExtraOutcome } from './extras.ts';
import { script } from './peers.ts';

const WORKERS = 2;
const SHORT = 3000;
const LONG = 43_000;
const WINDOW = 10_000;
const FLAGS = ['--expose-gc', '--trace-gc-nvp', '--min-semi-space-size=1', '--max-semi-space-size=1'];
const Result = z.object({
  heap: z.array(z.object({ step: z.number(), heapUsed: z.number(), arrayBuffers: z.number() })),
});

export async function measureMemory(_: ExtraContext): Promise<ExtraOutcome> {
  const short = await run(SHORT);
  const long = await run(LONG);
  const steps = LONG - SHORT;
  const [before, after] = long.heap;
  if (before === undefined || after === undefined) throw new Error('bench: memory-run.ts ended too early');
  const perWindow = WINDOW / (after.step - before.step);
  const figures = {
    workers: WORKERS,
    heapGrowthBytes: (after.heapUsed - before.heapUsed) * perWindow,
    /** History: typed arrays outside the heap. */
    arrayBufferGrowthBytes: (after.arrayBuffers - before.arrayBuffers) * perWindow,
    allocatedBytesPerStepAndWorker: (long.workers - short.workers) / steps / WORKERS,
    allocatedBytesPerStepMain: (long.main - short.main) / steps,
    resolutionBytes: 2 ** 20 / steps,
  };
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`;
  return {
    extras: {
      heapGrowthBytes: figures.heapGrowthBytes,
      allocatedBytesPerStepAndWorker: figures.allocatedBytesPerStepAndWorker,
    },
    figures,
    notes: [
      `memory, small, ${WORKERS} workers: heap of the main thread ${kib(figures.heapGrowthBytes)} in ${WINDOW} steps after GC ` +
        `(history in typed arrays: ${kib(figures.arrayBufferGrowthBytes)}); allocated a step: ` +
        `${figures.allocatedBytesPerStepAndWorker.toFixed(0)} bytes a worker, ${figures.allocatedBytesPerStepMain.toFixed(0)} bytes ` +
        `on the main thread (resolution ${figures.resolutionBytes.toFixed(0)})`,
    ],
  };
}

async function run(steps: number) {
  const { command, args, env } = script('memory', 'memory-run', [WORKERS, steps, WINDOW].map(String), {}, FLAGS);
  const { stdout } = await promisify(execFile)(command, [...args], {
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 28,
  });
  const line = stdout.split('\n').find((text) => text.startsWith('RESULT '));
  const { heap } = Result.parse(JSON.parse(line?.slice('RESULT '.length) ?? 'null'));
  return { heap, ...allocated(stdout) };
}

/** Bytes allocated by the main thread, whose collection is the first of the trace, and by all others. */
export function allocated(trace: string): { main: number; workers: number } {
  const sums = new Map<string, number>();
  for (const line of trace.split('\n')) {
    const isolate = /^\[\d+:(0x[0-9a-f]+)\]/.exec(line)?.[1];
    const bytes = / allocated=(\d+)/.exec(line)?.[1];
    if (isolate !== undefined && bytes !== undefined) sums.set(isolate, (sums.get(isolate) ?? 0) + Number(bytes));
  }
  const [main = 0, ...workers] = sums.values();
  return { main, workers: workers.reduce((a, b) => a + b, 0) };
}
