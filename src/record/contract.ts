import type { NoiseSample } from '../parallel/noise-sampler.ts';
import type { WorkerStep } from '../parallel/timeline.ts';

/** One committed step, as the recorder keeps it. The loss and the metrics are those of the step's own global batch, before the update. */
export interface StepRecord {
  readonly kind: 'step';
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
  readonly kind: 'evaluation';
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
  /** What is the better the lower it is: 'loss', and metrics by name. */
  readonly lowerIsBetter?: readonly string[];
  /** The step after which this run goes on with an earlier one: what that one recorded of later steps is void. */
  readonly resumedAfter?: number;
}

/**
 * What happens to a run beside steps and evaluations. 'lost': worker or node; 'non-finite': the step that ended the run; 'skipped': a step
 * left out because its numbers broke; 'pause', 'resume', 'stop': asked for by a person; 'end' and 'failed': the last of a run.
 */
export type EventName =
  | 'checkpoint'
  | 'lost'
  | 'non-finite'
  | 'skipped'
  | 'pause'
  | 'resume'
  | 'stop'
  | 'note'
  | 'end'
  | 'failed';

export interface EventRecord {
  readonly kind: 'event';
  readonly event: EventName;
  /** Steps committed when it happened; of a step that was not committed, that step. */
  readonly step: number;
  /** ISO 8601. */
  readonly at: string;
  /** A sentence for people. */
  readonly text: string;
  /** Numbers and names that belong to it, for programs. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** How the values of a tensor are spread, after a step. Counts of equal length as `limits`; a value belongs to the first limit that is above it. */
export interface Histogram {
  /** Name of the parameter. */
  readonly tensor: string;
  readonly of: 'weights' | 'gradients';
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly sumOfSquares: number;
  /** Ascending upper limits of buckets that hold something, and of empty ones before them. */
  readonly limits: readonly number[];
  readonly counts: readonly number[];
}

/** Only with `histogramSteps`. Gradients are means over the global batch, before clipping. */
export interface HistogramRecord {
  readonly kind: 'histogram';
  readonly step: number;
  readonly histograms: readonly Histogram[];
}

/** Only with `gradientNoiseEvery`: a sample for the gradient-noise scale. */
export interface NoiseRecord extends NoiseSample {
  readonly kind: 'gradient-noise';
}

export type SinkRecord = StepRecord | EvaluationRecord | EventRecord | HistogramRecord | NoiseRecord;

/**
 * A place that records go to: a file, a page, a service. It may be slow and it may fail: `write` is called off the step's path, one call at a
 * time, while what comes meanwhile waits in a bounded buffer; what does not fit, and what fails, is counted and reported, and training
 * goes on.
 */
export interface Sink {
  /** For messages. Default: the name of the class. */
  readonly name?: string;
  /**
   * Before the first record. A LockstepError refuses the run, for it says what the user has to mend; after any other error the run goes on
   * without this sink.
   */
  open(header: RunHeader): void | Promise<void>;
  /** The next records in their order; the next call comes when this one has settled. */
  write(records: readonly SinkRecord[]): void | Promise<void>;
  /**
   * What each worker did when in the steps since the last call: `phasesOf` gives the phases. Where steps are shorter than some
   * 20 microseconds, some may be missing; all of them while a `write` of this sink is under way.
   */
  timeline?(steps: readonly WorkerStep[]): void | Promise<void>;
  /** After the last record. Called once, also when `open` or `write` has failed. */
  close(): void | Promise<void>;
}
