import type { Calendar } from '../parallel/calendar.ts';
import type { EvaluationRecord, RunHeader, Sink, StepRecord } from '../record/contract.ts';
import type { TrainSummary } from './callbacks.ts';
import type { Controls } from './controls.ts';

/** How to run a job here; nothing of it changes the result, but for the trials. */
export interface TrainOptions {
  /** Threads; 'auto' = available cores. Default 'auto'. */
  readonly workers?: number | 'auto';
  /** Module that exports the job (`import.meta.url`), so that workers can import custom code. */
  readonly module?: string;
  /** Folder for metrics.jsonl and checkpoints; none: nothing is written. */
  readonly runDir?: string;
  /** 'auto': go on from the newest whole checkpoint of runDir, if there is one; else a run folder or checkpoint that must exist. */
  readonly resume?: string;
  /** A run folder, a checkpoint or a model file (`lockstep export`) to take only the parameters from. */
  readonly warmStart?: string;
  /** A trial: one training batch and one validation batch, no files (no run folder, resume or sinks). Default false. */
  readonly fastDevRun?: boolean;
  /** A trial: the first n batches again and again, in the same order; validation, test and early stopping are off. */
  readonly overfitBatches?: number;
  readonly sinks?: readonly Sink[];
  /** Histograms of weights and gradients every so many steps, for sinks that show them (TensorBoard). Default: none. */
  readonly histogramSteps?: number;
  /** Take a sample for the gradient-noise scale every n steps, as records of kind 'gradient-noise' for sinks. Default: none. */
  readonly gradientNoiseEvery?: number;
  readonly signal?: AbortSignal;
  /** To pause, save and stop the run from outside. */
  readonly controls?: Controls;
  /** Receives progress; `terminal()` draws it. */
  readonly onProgress?: (event: ProgressEvent) => void;
}

/** What a progress display needs. Events come in order; 'steps' at most some ten times a second. */
export type ProgressEvent =
  | { kind: 'start'; header: RunHeader; calendar: Calendar; notes: readonly string[] }
  | { kind: 'steps'; records: readonly StepRecord[]; calendar: Calendar }
  | { kind: 'evaluation'; record: EvaluationRecord }
  | {
      kind: 'epoch';
      epoch: number;
      step: number;
      loss: number;
      metrics: Readonly<Record<string, number>>;
      samplesPerSec: number;
      seconds: number;
    }
  /** A checkpoint was written; the workers waited `pauseMs` for the snapshot, `seconds` went into hash and disk. */
  | { kind: 'checkpoint'; step: number; path: string; bytes: number; pauseMs: number; seconds: number }
  | { kind: 'note'; text: string }
  /** A line that the process of a node has printed. */
  | { kind: 'output'; from: string; line: string }
  | { kind: 'end'; summary: TrainSummary };

/** What `train` resolves to. */
export interface TrainResult extends TrainSummary {
  /** Every committed step. */
  readonly history: readonly StepRecord[];
  readonly evaluations: readonly EvaluationRecord[];
  /** Final parameters by name. */
  readonly parameters: Readonly<Record<string, { shape: readonly number[]; data: Float32Array }>>;
  /** Folder of the newest checkpoint; only with a run folder. */
  readonly checkpoint?: string;
  /** Steps left out by nonFinite: 'skip'. */
  readonly skippedSteps: number;
  /** What went wrong beside the training: a last checkpoint that could not be written, records that a sink has not kept. */
  readonly problems: readonly Error[];
}
