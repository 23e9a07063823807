/**
 * `npm run profile -- --workload gpt`: where the step of a reference workload spends its time on one thread: every kind of kernel
 * call with its share, GFLOP/s or GB/s beside the machine's peaks of the same run. The step is the trainer's own, with clocks
 * around the calls of its programs.
 */
import { formatTable } from '../../src/cli/format.ts';
import { LockstepError } from '../../src/errors.ts';
import type { Call } from '../../src/graph/program.ts';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { compileKernels } from '../../src/kernels/wasm.ts';
import { CONTROL_WORDS } from '../../src/parallel/control.ts';
import { importCustomCode } from '../../src/parallel/custom-code.ts';
import { initialize } from '../../src/parallel/initialize.ts';
import { RECORD_SUMS, RecordRing, RING_CAPACITY } from '../../src/parallel/record-ring.ts';
import { step } from '../../src/parallel/step.ts';
import { PHASE } from '../../src/parallel/timings.ts';
import { WorkerState } from '../../src/parallel/worker-state.ts';
import { KernelSpeed } from '../../src/scaling/kernel-speed.ts';
import { workloadJob } from '../../src/scaling/models.ts';
import { makeRows } from '../../src/scaling/rows.ts';
import { WORKLOADS } from '../../src/scaling/workloads.ts';
import { createSession } from '../../src/train/open-run.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { count, positive, UsageError } from '../bench/arguments.ts';
import { gemmFlop } from '../bench/flop.ts';
import { median } from '../bench/statistics.ts';
import { given } from '../given.ts';
import { bytesOf, flopOf, sizesOf } from './traffic.ts';

const USAGE = `npm run profile -- --workload NAME [options]
  --workload NAME   one of ${WORKLOADS.map((w) => w.name).join(', ')}
  --batch N         rows a step instead of the workload's
  --shards N        S instead of the default
  --gemm blas|wasm  which GEMM (default: as the trainer chooses)
  --seconds S       how long to measure, default 2
  --top N           lines of the table, default 25
  --json            one JSON object instead of the table`;

const values = given({
  workload: { type: 'string' },
  batch: { type: 'string' },
  shards: { type: 'string' },
  gemm: { type: 'string' },
  seconds: { type: 'string', default: '2' },
  top: { type: 'string', default: '25' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
});

/** Calls of one kernel with the same sizes. */
interface Line {
  readonly call: Call;
  ms: number;
  calls: number;
}

async function main(): Promise<void> {
  const workload = WORKLOADS.find((w) => w.name === values.workload);
  if (values.help || workload === undefined) {
    (values.help ? process.stdout : process.stderr).write(`${USAGE}\n`);
    process.exitCode = values.help ? 0 : 1;
    return;
  }
  if (values.gemm !== undefined) process.env.LOCKSTEP_GEMM = values.gemm;
  const batch = values.batch === undefined ? workload.batch : count(values.batch, '--batch');
  const shards = values.shards === undefined ? undefined : count(values.shards, '--shards');
  const few = { ...workload, rows: Math.min(workload.rows, 64 * batch) };
  const plan = await planRun(workloadJob(workload, makeRows(few, 1), { batch, shards, steps: 1e6 }), { workers: 1 });
  const session = await createSession(plan, undefined);

  const lines = new Map<string, Line>();
  let counting = false;
  const worker = new WorkerState(session, await importCustomCode(session), (call, run) => {
    const key = `${call.kernel} ${sizesOf(call).join(' ')}`;
    const line = lines.get(key) ?? { call, ms: 0, calls: 0 };
    lines.set(key, line);
    return () => {
      const before = performance.now();
      run();
      if (!counting) return;
      line.ms += performance.now() - before;
      line.calls++;
    };
  });
  initialize(worker);
  const { buffer } = session.memory;
  const records = new RecordRing(
    new Float64Array(buffer, session.layout.ring, RING_CAPACITY * (RECORD_SUMS + session.sums.length)),
    new Int32Array(buffer, session.layout.control, CONTROL_WORDS),
  );
  const phases = { compute: 0, reduce: 0, update: 0 };
  const stepsMs: number[] = [];
  let t = 0;
  const end = performance.now() + 1000 * positive(values.seconds, '--seconds');
  while (performance.now() < end || stepsMs.length < 5) {
    counting = ++t > 5;
    const before = performance.now();
    step(worker, t);
    records.drain(() => undefined);
    if (!counting) continue;
    stepsMs.push(performance.now() - before);
    const at = worker.timings;
    phases.compute += at[PHASE.computed] - at[PHASE.start];
    phases.reduce += at[PHASE.reduced] - at[PHASE.gathered];
    phases.update += at[PHASE.updated] - at[PHASE.normed];
  }

  const speed = new KernelSpeed(chooseBackend(), (await compileKernels({ simd: plan.backend.simd })).module);
  const peakFlops = (2 * 1024 ** 3) / median(speed.gemm(1024, 0.4)) / 1e6;
  const steps = stepsMs.length;
  const stepMs = stepsMs.reduce((a, b) => a + b, 0) / steps;
  const rows = [...lines.values()].map(({ call, ms, calls }) => {
    const [flop, bytes] = [flopOf(call), bytesOf(call)];
    return {
      kernel: call.kernel,
      sizes: sizesOf(call),
      calls: calls / steps,
      msPerStep: ms / steps,
      share: ms / steps / stepMs,
      gflops: flop === undefined ? null : (flop * calls) / ms / 1e6,
      gbytesPerSecond: bytes === undefined ? null : (bytes * calls) / ms / 1e6,
    };
  });
  rows.sort((a, b) => b.msPerStep - a.msPerStep);
  const efficiency = gemmFlop(workload, batch) / stepMs / 1e6 / peakFlops;
  const inKernels = rows.reduce((sum, { msPerStep }) => sum + msPerStep, 0);
  const perStep = {
    'gather and binding': phases.compute / steps - inKernels,
    kernels: inKernels,
    reduce: phases.reduce / steps,
    update: phases.update / steps,
  };
  const head = { workload: workload.name, batch, shards: session.shards, gemm: plan.backend.gemm };
  if (values.json) {
    const json = {
      ...head,
      stepMs,
      efficiency,
      gemmGflops: peakFlops,
      activationBytes: activations(plan),
      phasesMs: perStep,
      rows,
    };
    process.stdout.write(`${JSON.stringify(json)}\n`);
    return;
  }
  const text = [
    `${head.workload}, batch ${batch}, S ${head.shards}, GEMM ${head.gemm}: ${stepMs.toFixed(3)} ms a step on one thread with clocks on, ` +
      `GEMM efficiency ${efficiency.toFixed(2)} of ${peakFlops.toFixed(0)} GFLOP/s, activations ${(activations(plan) / 2 ** 20).toFixed(1)} MiB`,
    Object.entries(perStep)
      .map(([name, ms]) => `${name} ${ms.toFixed(3)} ms`)
      .join(', '),
    '',
    ...formatTable(
      ['kernel', 'sizes', 'calls', 'ms a step', 'share', 'GFLOP/s', 'GB/s'],
      rows
        .slice(0, Number(values.top))
        .map((r) => [
          r.kernel,
          r.sizes.map((n) => Number(n.toPrecision(6))).join(' '),
          r.calls.toFixed(0),
          r.msPerStep.toFixed(4),
          `${(100 * r.share).toFixed(1)} %`,
          r.gflops === null ? '' : r.gflops.toFixed(1),
          r.gbytesPerSecond === null ? '' : r.gbytesPerSecond.toFixed(1),
        ]),
    ),
    '',
    `by kernel: ${kinds(rows)}`,
  ];
  process.stdout.write(`${text.join('\n')}\n`);
}

function activations({ programs }: Awaited<ReturnType<typeof planRun>>): number {
  return Math.max(...programs.map((program) => program.activationBytes));
}

/** Time of each kernel over all sizes. */
function kinds(rows: readonly { readonly kernel: string; readonly msPerStep: number }[]): string {
  const sums = new Map<string, number>();
  for (const { kernel, msPerStep } of rows) sums.set(kernel, (sums.get(kernel) ?? 0) + msPerStep);
  const sorted = [...sums].sort((a, b) => b[1] - a[1]);
  return sorted.map(([kernel, ms]) => `${kernel} ${ms.toFixed(3)} ms`).join(', ');
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError || error instanceof LockstepError)) throw error;
  process.stderr.write(`profile: ${error.message}\n`);
  process.exitCode = 1;
}
