import type { WorkerStep } from '../parallel/timeline.ts';

/** One committed step, as the recorder keeps it. The loss and the metrics are those of the step's own global batch, before the update. */
export interface StepRecord {
  /** 1 for the first. */
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** Training metrics of this batch by name. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly lr: number;
  /** Global norm of the mean gradient before clipping. */
  readonly gradNorm: number;
  /** 1 where nothing was clipped. */
  readonly clipScale: number;
  readonly samples: number;
  /** Duration of the step and of its phases on rank 0. */
  readonly timings: PhaseTimings;
}

/** Milliseconds on rank 0. */
export interface PhaseTimings {
  readonly stepMs: number;
  readonly gatherMs: number;
  readonly computeMs: number;
  readonly waitMs: number;
  readonly reduceMs: number;
  readonly updateMs: number;
}

/** Result of an evaluation. `metrics` keys are prefixed: 'val.loss', 'val.accuracy', 'test.accuracy'. */
export interface EvaluationRecord {
  readonly step: number;
  readonly epoch: number;
  readonly split: 'val' | 'test';
  readonly metrics: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** First line of metrics.jsonl: everything needed to say what ran. */
export interface RunHeader {
  readonly kind: 'header';
  readonly job: unknown;
  readonly versions: Readonly<Record<string, string>>;
  readonly seed: number;
  readonly machine: { cpu: string; cores: number; memoryBytes: number; platform: string };
  readonly kernels: { gemm: string; simd: string; detail: string };
  readonly workers: number;
  readonly shards: number;
  readonly parameters: number;
  readonly startedAt: string;
  /** The step after which this run goes on with an earlier one: what that one recorded of later steps is void. */
  readonly resumedAfter?: number;
}

/** A place that records go to. May be slow: it is called in batches, off the step's path. */
export interface Sink {
  open(header: RunHeader): void | Promise<void>;
  steps(records: readonly StepRecord[]): void | Promise<void>;
  evaluation(record: EvaluationRecord): void | Promise<void>;
  /**
   * What each worker did when in the steps since the last call: `phasesOf` gives the phases. Where steps are
   * shorter than some 20 microseconds, some may be missing.
   */
  timeline?(steps: readonly WorkerStep[]): void | Promise<void>;
  close(): void | Promise<void>;
}
