import type { DataSpec, Fields } from '../data/contract.ts';
import type { LossDef, MetricDef, Model, ModelOutput } from '../nn/contract.ts';
import type { ClipOptions } from '../optim/clip.ts';
import type { OptimizerDescription } from '../optim/contract.ts';
import type { Callbacks } from './callbacks.ts';

/** What to train. Plain description: nothing is read or computed until `train`. */
export interface Job<F extends Fields = Fields, O extends ModelOutput = ModelOutput> {
  readonly data: DataSpec<F>;
  // NoInfer: `data` alone says what the fields are, and `model` what the outputs.
  readonly model: Model<NoInfer<F>, O>;
  readonly loss: LossDef<NoInfer<F>, NoInfer<O>>;
  readonly optimizer: OptimizerDescription;
  /** Names ('accuracy', 'top5', 'r2', 'mae') or definitions; default: those that fit the loss. */
  readonly metrics?: readonly (string | MetricDef)[];
  /** Gradient clipping, after the all-reduce and before the optimizer. */
  readonly clip?: ClipOptions;
  /** Global batch in rows; 'full' = all training rows (batch gradient descent), 1 = stochastic. Default 32. */
  readonly batchSize?: number | 'full';
  /** Passes over the training rows. Default 1. */
  readonly epochs?: number;
  /** Stop after this many updates even if epochs are left. */
  readonly steps?: number;
  /** Everything random follows from it. Default 1. */
  readonly seed?: number;
  /** Fixed slices of the global batch. Default: see defaultShards(). */
  readonly shards?: number;
  /** Bytes of activations a shard may take before S is doubled. Default 64 MiB. */
  readonly activationBudget?: number;
  /**
   * A loss or gradient that is not finite: 'stop' (default) ends the run with the parameters before that step; 'skip' leaves the
   * step out and goes on, unless ten in a row are bad.
   */
  readonly nonFinite?: 'stop' | 'skip';
  /** When to save and what to keep; needs a run folder. With a run folder the last state is saved anyway. */
  readonly checkpoint?: CheckpointRule;
  /** Evaluate on validation: every epoch (default) or every n steps. */
  readonly evaluate?: { readonly everySteps?: number; readonly everyEpochs?: number };
  readonly earlyStopping?: EarlyStopping;
  readonly callbacks?: Callbacks;
  /** 'portable': plain simd128, the same bytes on any machine. */
  readonly deterministic?: 'portable';
}

export interface CheckpointRule {
  readonly everySteps?: number;
  readonly everyEpochs?: number;
  readonly everyMinutes?: number;
  /** Newest checkpoints that stay. Default 2. */
  readonly keepLast?: number;
  /** The best one by this metric is saved when it is measured, and stays: 'val.loss', 'val.accuracy' ... */
  readonly keepBest?: string;
}

export interface EarlyStopping {
  /** 'val.loss', 'val.accuracy' ... */
  readonly monitor: string;
  /** Evaluations without improvement before stopping. Default 3. */
  readonly patience?: number;
  /** Smallest change that counts. Default 0. */
  readonly minDelta?: number;
  /** Default: from the metric. */
  readonly mode?: 'min' | 'max';
}

/** Identity with types: names in `model` are checked against `data`, names in `loss` against both. Validation happens in `train`. */
export function defineJob<F extends Fields, O extends ModelOutput = ModelOutput>(job: Job<F, O>): Job<F, O> {
  return job;
}
