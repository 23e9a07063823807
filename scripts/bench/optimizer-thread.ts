/**
 * A thread of optimizer-peer.ts: passes of an optimizer's fused kernel over this thread's blocks, all threads in step, or of x + x
 * in place over as much memory, which is as fast as memory goes.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { instantiateKernels } from '../../src/kernels/wasm.ts';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import type { OptimizerDescription } from '../../src/optim/contract.ts';
import { Barrier } from '../../src/parallel/barrier.ts';

/** Floats that a call gets at most in training. */
const BLOCK = 16 * 1024;
const WARMUP = 3;
const SPINS = 20_000;

/** What the threads share. */
export interface ThreadSeat {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly rank: number;
  readonly barrierWords: Int32Array;
  /** One word: 0 while passes go on. */
  readonly end: Int32Array;
  /** First byte that may be used. */
  readonly base: number;
}

export interface PassOrder {
  readonly description: OptimizerDescription;
  readonly parameters: number;
  readonly threads: number;
  readonly seconds: number;
  /** x + x in place instead of the optimizer. */
  readonly memoryOnly: boolean;
}

const seat: ThreadSeat = workerData;
const kernels = instantiateKernels(seat.module, seat.memory);

parentPort?.on('message', (order: PassOrder) => {
  parentPort?.postMessage(timesOf(order));
});

/** Milliseconds of each pass, as rank 0 sees them. */
function timesOf({ description, parameters, threads, seconds, memoryOnly }: PassOrder): number[] {
  const { rank, memory, base, end, barrierWords } = seat;
  const barrier = new Barrier(barrierWords, threads, SPINS);
  const { def, options } = resolveOptimizer(description);
  const kernel = def.kernel?.(options);
  if (kernel === undefined) throw new Error(`${def.kind} has no kernel`);
  const tensor = {
    name: 'w',
    shape: [parameters],
    size: parameters,
    offset: 0,
    init: { kind: 'constant', value: 0 } as const,
    group: 0,
  };
  const slots = Object.keys(def.slots(options, tensor)).length;
  const [param, grad, ...slotsAt] = Array.from(
    { length: 2 + slots },
    (_, i) => base + 256 * threads + 4 * parameters * i,
  );
  const scalarsAt = base + 256 * rank;
  const scalars = new Float64Array(memory.buffer, scalarsAt, def.scalarNames.length);
  const state = { ...def.state };
  const sums = new Float64Array(def.measures ?? 0).fill(1);
  const [first, last] = [rank, rank + 1].map((k) => BLOCK * Math.floor((Math.ceil(parameters / BLOCK) * k) / threads));
  const stop = Math.min(last, parameters);
  for (let i = first; i < stop; i += BLOCK) {
    const count = Math.min(BLOCK, stop - i);
    kernels.fill(param + 4 * i, 0.5, count);
    kernels.fill(grad + 4 * i, 0.01, count);
    for (const slot of slotsAt) kernels.fill(slot + 4 * i, 0.01, count);
  }
  const update = (step: number): void => {
    def.scalars({ step, lr: 1e-3, gradScale: 1, weight: 1, options }, scalars, state, sums);
    for (let i = first; i < stop; i += BLOCK) {
      const [a, b, c, d] = slotsAt.map((slot) => slot + 4 * i);
      kernels[kernel](
        param + 4 * i,
        grad + 4 * i,
        a ?? 0,
        b ?? 0,
        c ?? 0,
        Math.min(BLOCK, stop - i),
        scalarsAt,
        d ?? 0,
      );
    }
  };
  // All vectors of the optimizer, read and written in place.
  const floats = Math.floor(((2 + slots) * parameters) / threads);
  const x = param + 4 * floats * rank;
  const double = (): void => {
    for (let i = 0; i < floats; i += BLOCK) {
      const at = x + 4 * i;
      kernels.add(at, at, at, 1, Math.min(BLOCK, floats - i), 0, 1, 0, 1);
    }
  };
  const times: number[] = [];
  let deadline = Number.POSITIVE_INFINITY;
  for (let pass = 1; ; pass++) {
    if (rank === 0 && pass === WARMUP + 1) deadline = performance.now() + 1000 * seconds;
    if (rank === 0) Atomics.store(end, 0, performance.now() > deadline ? 1 : 0);
    barrier.wait();
    if (Atomics.load(end, 0) === 1) return times;
    const before = performance.now();
    if (memoryOnly) double();
    else update(pass);
    barrier.wait();
    if (rank === 0 && pass > WARMUP) times.push(performance.now() - before);
  }
}
