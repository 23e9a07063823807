import type { EvaluationRecord, RunHeader, StepRecord } from '../../src/record/contract.ts';

export const header: RunHeader = {
  kind: 'header',
  job: { optimizer: { kind: 'adam', lr: 0.001 } },
  versions: { lockstep: '0.1.0' },
  seed: 1,
  machine: { cpu: 'test', cores: 2, memoryBytes: 1024, platform: 'linux-x64' },
  kernels: { gemm: 'wasm', simd: 'relaxed', detail: '' },
  workers: 2,
  shards: 4,
  parameters: 10,
  startedAt: '2026-01-01T00:00:00.000Z',
};

export const step = (n: number, loss = 1 / n): StepRecord => ({
  kind: 'step',
  step: n,
  epoch: 1,
  loss,
  metrics: { accuracy: 0.5 },
  lr: 0.001,
  gradNorm: 1,
  clipScale: 1,
  samples: 32,
  timings: { stepMs: 1, gatherMs: 0, computeMs: 1, waitMs: 0, reduceMs: 0, updateMs: 0 },
});

export const evaluation: EvaluationRecord = {
  kind: 'evaluation',
  step: 2,
  epoch: 1,
  split: 'val',
  metrics: { 'val.loss': 0.5 },
  seconds: 0.1,
};
