import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { cpus, totalmem } from 'node:os';
import { describeOptimizer } from '../optim/catalogue.ts';
import type { RunHeader } from '../record/contract.ts';
import type { CompiledJob } from './compile.ts';
import type { RunPlan } from './plan-run.ts';
import type { StartPoint } from './resume.ts';

/** What ran, on what: the first line of metrics.jsonl. `start`: what it goes on from. */
export function runHeader(plan: RunPlan, start?: StartPoint): RunHeader {
  const { job, compiled, backend } = plan;
  const processors = cpus();
  return {
    kind: 'header',
    job: describeJob(plan),
    versions: { lockstep: packageVersion(), node: process.versions.node, v8: process.versions.v8 },
    seed: job.seed,
    machine: {
      cpu: processors[0]?.model.trim() ?? 'unknown',
      cores: plan.cores,
      memoryBytes: totalmem(),
      platform: `${process.platform}-${process.arch}`,
    },
    kernels: {
      gemm: backend.gemm,
      simd: backend.simd,
      detail: backend.blas
        ? [backend.blas.library, backend.blas.version, backend.blas.core].filter(Boolean).join(' ')
        : '',
    },
    workers: plan.workers,
    shards: compiled.shards,
    parameters: compiled.tensors.reduce((sum, t) => sum + t.size, 0),
    startedAt: new Date().toISOString(),
    lowerIsBetter: ['loss', ...compiled.metrics.flatMap(({ name, mode }) => (mode === 'min' ? [name] : []))],
    ...(start && !start.warm && { resumedAfter: start.checkpoint.step }),
  };
}

/** The job as plain data: functions by name, data by description. */
export function describeJob({ job, compiled, optimizer, data, trial, local }: RunPlan): object {
  return {
    ...(trial?.kind === 'overfitBatches' ? { overfitBatches: trial.batches } : {}),
    fields: data.fields,
    ...(data.augment ? { augment: data.augment } : {}),
    ...(data.train.kind === 'streamed' ? { blocks: data.train.blocks } : {}),
    rows: { train: data.train.size, val: data.validation?.size ?? 0, test: data.test?.size ?? 0 },
    tensors: compiled.tensors.map(({ name, shape, init }) => ({ name, shape, init })),
    ...(compiled.statistics.length > 0 ? { statistics: compiled.statistics } : {}),
    loss: job.loss.lossName ?? 'custom',
    computation: computationOf(compiled),
    optimizer: describeOptimizer(optimizer),
    ...(local && {
      localSteps: { ...local.pace, steps: local.totalSteps, optimizer: describeOptimizer(local.resolved) },
    }),
    metrics: compiled.metrics.map((m) => m.name),
    clip: job.clip,
    batchSize: compiled.batchSize,
    epochs: compiled.epochs,
    totalSteps: compiled.totalSteps,
    evaluate: job.evaluate,
    earlyStopping: job.earlyStopping,
    deterministic: job.deterministic,
  };
}

const COMPUTATIONS = new WeakMap<CompiledJob, string>();

/** SHA-256 of what a step computes: activations, dropout rates, the loss and its options show in the calls and nowhere else. */
function computationOf(compiled: CompiledJob): string {
  let found = COMPUTATIONS.get(compiled);
  if (found === undefined) {
    const hash = createHash('sha256');
    for (const { rows, calls, constants } of compiled.trainPrograms) {
      hash.update(JSON.stringify([rows, calls])).update(constants);
    }
    found = hash.digest('hex');
    COMPUTATIONS.set(compiled, found);
  }
  return found;
}

/** From package.json, which lies two folders up in a checkout and three in the built package. */
export function packageVersion(): string {
  const require = createRequire(import.meta.url);
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = require(path) as { name?: string; version?: string };
      if (name === 'lockstep' && version) return version;
    } catch {
      // not there: the other layout
    }
  }
  return 'unknown';
}
