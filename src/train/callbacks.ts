import type { EvaluationRecord, RunHeader, StepRecord } from '../record/contract.ts';

/** What a callback may do to the run. Acting here is deterministic: the workers are idle between epochs and evaluations. */
export interface RunControl {
  /** Ends the run after what is in progress. */
  stop(reason: string): void;
}

/** Called on the main thread while the workers wait (epochs, evaluations); never inside a step. */
export interface Callbacks {
  onStart?(header: RunHeader, control: RunControl): void | Promise<void>;
  onEvaluation?(record: EvaluationRecord, control: RunControl): void | Promise<void>;
  onEpochEnd?(summary: { epoch: number; step: number; loss: number }, control: RunControl): void | Promise<void>;
  /** Batches of committed steps, some time after they happened; workers do not wait. */
  onSteps?(records: readonly StepRecord[]): void;
  onEnd?(result: TrainSummary): void | Promise<void>;
}

/**
 * Why a run ended: all epochs or `steps` are done, early stopping, a callback, or an abort (Ctrl-C, a signal) after which `resume`
 * goes on.
 */
export type StopReason = 'epochs' | 'steps' | 'early-stopping' | 'callback' | 'aborted';

/** The last line of `--json`. */
export interface TrainSummary {
  readonly stopped: StopReason;
  readonly step: number;
  /** Updates that were made here: fewer than `step` after a resume, none where the run had ended before. */
  readonly trainedSteps: number;
  readonly epoch: number;
  readonly loss: number;
  /** 'val.accuracy', 'test.accuracy', 'test.loss', training 'accuracy' of the last epoch ... */
  readonly metrics: Readonly<Record<string, number>>;
  readonly samplesPerSec: number;
  readonly seconds: number;
  readonly workers: number;
  readonly shards: number;
  readonly gemm: string;
  readonly parametersSha256: string;
  readonly cpuSecondsPerWorker: readonly number[];
  /** Of nodes that keep something from round to round (lossy wire formats, local steps): how often it was lost, and begun from nothing. */
  readonly nodeStatesLost?: number;
}
