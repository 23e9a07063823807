import { formatBytes, renderSummary, summarize } from '../nn/summary.ts';
import { workersThatFit } from '../parallel/arena.ts';
import type { RunPlan } from '../train/plan-run.ts';
import { formatCount, plural } from './format.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';

/** compileJob traces the layers' shapes with one row. */
const TRACED_ROWS = 1;

export interface SummaryCommandOptions extends JobOptions {
  readonly workers?: number | 'auto';
}

/** `lockstep summary <job>`: what would be trained, without training. */
export async function summaryCommand(path: string, options: SummaryCommandOptions, io: Io): Promise<void> {
  const { planRun } = await import('../train/plan-run.ts');
  const loaded = await loadJob(path);
  const job = overrideJob(loaded.job, options);
  const plan = await planRun(job, { workers: options.workers, module: loaded.module, signal: io.stop });
  io.out(describePlan(plan));
}

/** What `lockstep summary` prints of a plan. Pure. */
export function describePlan(plan: RunPlan): string {
  const { compiled, layout, data, backend, workers } = plan;
  const model = summarize({
    layers: compiled.layers,
    rows: TRACED_ROWS,
    flopsPerStep: flopsOfStep(plan),
    regions: layout.regions,
    maxWorkers: workersThatFit(layout),
  });
  const facts: Record<string, string> = {
    rows: `train ${formatCount(data.train.size)}, validation ${formatCount(data.validation?.size ?? 0)}, test ${formatCount(data.test?.size ?? 0)}`,
    batch: `${plural(compiled.batchSize, 'row')} in ${plural(compiled.shards, 'shard')} on ${plural(workers, 'worker')}`,
    activations: activationsOf(plan),
    steps: `${formatCount(compiled.totalSteps)}, ${formatCount(compiled.calendar.course.stepsPerEpoch)} an epoch`,
    optimizer: plan.optimizer.def.kind,
    kernels: `gemm ${backend.gemm}, simd ${backend.simd}`,
  };
  return [
    renderSummary(model),
    '',
    ...Object.entries(facts).map(([name, text]) => `${name}: ${text}`),
    ...plan.notes.map((note) => `note: ${note}`),
  ].join('\n');
}

/** Of the GEMMs of all shards, forward and backward. */
function flopsOfStep({ compiled }: RunPlan): number {
  const { batchSize, shards, trainPrograms } = compiled;
  let flops = 0;
  for (let shard = 0; shard < shards; shard++) {
    const rows = Math.floor(((shard + 1) * batchSize) / shards) - Math.floor((shard * batchSize) / shards);
    flops += trainPrograms.find((program) => program.rows === rows)?.flops ?? 0;
  }
  return flops;
}

/** The most that forward and backward of a shard hold at any moment: memory is used again as soon as it may be. */
function activationsOf({ compiled }: RunPlan): string {
  const largest = compiled.trainPrograms.reduce((a, b) => (b.activationBytes > a.activationBytes ? b : a));
  return `${formatBytes(largest.activationBytes)} for a shard of ${plural(largest.rows, 'row')}, forward and backward`;
}
