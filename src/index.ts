/** `lockstep`: describe a job, train it. Ops live in `lockstep/ops`, data sources in `lockstep/data`. */

export { terminal } from './cli/terminal.ts';
export type { NodeStatus, PartStep, TimedStep } from './dashboard/contract.ts';
export { type Dashboard, type DashboardOptions, openDashboard } from './dashboard/dashboard.ts';
export { type ErrorCode, type ErrorDetail, LockstepError } from './errors.ts';
export type { TensorEntry } from './graph/program.ts';
export type { Tensor } from './graph/tensor.ts';
export * from './nn/index.ts';
export * from './optim/index.ts';
export type { Calendar } from './parallel/calendar.ts';
export type { NoiseSample } from './parallel/noise-sampler.ts';
export { PHASES, type PhaseName, phasesOf, type WorkerStep } from './parallel/timeline.ts';
export type {
  EvaluationRecord,
  EventName,
  EventRecord,
  Histogram,
  HistogramRecord,
  PhaseTimings,
  RunHeader,
  Sink,
  SinkRecord,
  StepRecord,
} from './record/contract.ts';
export { CsvSink } from './record/csv.ts';
export { JsonlSink } from './record/jsonl.ts';
export { TensorBoardSink } from './record/tensorboard.ts';
export { TraceSink } from './record/trace.ts';
export type { Callbacks, RunControl, TrainSummary } from './train/callbacks.ts';
export { Controls } from './train/controls.ts';
export { defineJob, type EarlyStopping, type Job } from './train/job.ts';
export type { LrPoint, SmoothedPoint } from './train/lr-curve.ts';
export { findLearningRate, type LrFindOptions, type LrFindResult } from './train/lr-find.ts';
export type { ProgressEvent, TrainOptions, TrainResult } from './train/options.ts';
export { train } from './train/train.ts';
