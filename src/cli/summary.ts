import { formatBytes, workersThatFit } from '../parallel/arena.ts';
import type { RunPlan } from '../train/plan-run.ts';
import { formatCount, formatRate, formatTable } from './format.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';

export interface SummaryCommandOptions extends JobOptions {
  readonly workers?: number | 'auto';
}

/** `lockstep summary <job>`: what would be trained, without training. */
export async function summaryCommand(path: string, options: SummaryCommandOptions, io: Io): Promise<void> {
  const [{ planRun }, loaded] = await Promise.all([import('../train/plan-run.ts'), loadJob(path)]);
  const job = overrideJob(loaded.job, options);
  const plan = await planRun(job, { workers: options.workers, module: loaded.module, signal: io.stop });
  for (const line of renderSummary(plan)) io.out(line);
}

/** Layers with shapes and parameters, sizes of a step, memory of each region. Pure. */
export function renderSummary(plan: RunPlan): string[] {
  const { compiled, layout, data, backend, workers } = plan;
  const layers = compiled.layers.map((layer) => [
    layer.name,
    layer.kind,
    `[batch${layer.outputShape
      .slice(1)
      .map((n) => `, ${n}`)
      .join('')}]`,
    formatCount(layer.parameters),
  ]);
  const parameters = compiled.tensors.reduce((sum, tensor) => sum + tensor.size, 0);
  const sizes = [
    ['train rows', formatCount(data.train.size)],
    ['validation rows', formatCount(data.validation?.size ?? 0)],
    ['test rows', formatCount(data.test?.size ?? 0)],
    ['batch', formatCount(compiled.batchSize)],
    ['shards', formatCount(compiled.shards)],
    ['workers', formatCount(workers)],
    ['steps', `${formatCount(compiled.totalSteps)} (${formatCount(compiled.stepsPerEpoch)} an epoch)`],
    ['optimizer', plan.optimizer.def.kind],
    ['gemm', backend.gemm],
    ['simd', backend.simd],
    ['FLOP a step', formatRate(flopsOfStep(plan))],
  ];
  const regions = [...layout.regions, { name: 'total', bytes: layout.bytes }].map(({ name, bytes }) => [
    name,
    formatBytes(bytes),
  ]);
  return [
    ...formatTable(['layer', 'kind', 'output', 'parameters'], layers),
    `total parameters: ${formatCount(parameters)}`,
    '',
    ...pairs(sizes),
    '',
    'memory',
    ...pairs(regions),
    `largest number of workers that fits: ${formatCount(workersThatFit(layout))}`,
    ...plan.notes.map((note) => `note: ${note}`),
  ];
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

function pairs(rows: readonly (readonly string[])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
