import { arrays } from '../../data/arrays.ts';
import type { Model } from '../../nn/contract.ts';
import { dense } from '../../nn/layers/dense.ts';
import { sequential } from '../../nn/layers/sequential.ts';
import { crossEntropy } from '../../nn/losses/cross-entropy.ts';
import { meanSquaredError } from '../../nn/losses/regression.ts';
import type { OptimizerDescription } from '../../optim/contract.ts';
import type { EvaluationRecord, SinkRecord, StepRecord } from '../../record/contract.ts';
import type { Job } from '../../train/job.ts';
import { train } from '../../train/train.ts';
import type { Laboratory } from './contract.ts';
import type { Labelled } from './data.ts';

/** A training of an experiment. */
export interface Setup {
  readonly data: Labelled;
  readonly model: Model;
  readonly optimizer: OptimizerDescription;
  readonly batchSize: number | 'full';
  readonly seed: number;
  readonly epochs: number;
  /** Fewer updates than the epochs have. */
  readonly steps?: number;
  readonly validation?: number;
  readonly clip?: Job['clip'];
  readonly evaluateEpochs?: number;
  readonly evaluateSteps?: number;
  /** Share of the rows of `data` that take part, from the first. */
  readonly rows?: number;
  readonly workers?: number;
}

export interface Run {
  /** False where loss or gradient stopped being finite. */
  readonly finite: boolean;
  readonly steps: readonly StepRecord[];
  readonly evaluations: readonly EvaluationRecord[];
  readonly sha256: string;
}

/** Trains a setup; divergence is a result. */
export async function learn(setup: Setup, signal?: AbortSignal): Promise<Run> {
  const { data, rows, model, optimizer, batchSize, seed, epochs, clip } = setup;
  const kept = rows === undefined ? data : firstRows(data, rows);
  const steps: StepRecord[] = [];
  const evaluations: EvaluationRecord[] = [];
  const job: Job = {
    data: { train: arrays({ x: kept.x, y: kept.y }), validation: setup.validation ?? 0.2 },
    model,
    loss: kept.y instanceof Int32Array ? crossEntropy() : meanSquaredError(),
    optimizer,
    batchSize,
    seed,
    epochs,
    ...(setup.steps !== undefined && { steps: setup.steps }),
    shards: 2,
    ...(clip && { clip }),
    evaluate: setup.evaluateSteps ? { everySteps: setup.evaluateSteps } : { everyEpochs: setup.evaluateEpochs ?? 1 },
  };
  const sink = {
    open: () => {},
    close: () => {},
    write: (records: readonly SinkRecord[]) => {
      for (const record of records) {
        if (record.kind === 'step') steps.push(record);
        else if (record.kind === 'evaluation') evaluations.push(record);
      }
    },
  };
  try {
    const { parametersSha256 } = await train(job, { workers: setup.workers ?? 1, sinks: [sink], signal });
    return { finite: true, steps, evaluations, sha256: parametersSha256 };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'E_NON_FINITE')) throw error;
    return { finite: false, steps, evaluations, sha256: '' };
  }
}

function firstRows({ x, y }: Labelled, rows: number): Labelled {
  const width = x.shape[1];
  return { x: { data: x.data.slice(0, rows * width), shape: [rows, width] }, y: y.slice(0, rows) };
}

/** Two dense layers, or what the widths say; `classes` outputs. */
export function perceptron(
  widths: readonly number[],
  classes: number,
  activation: 'relu' | 'tanh' | 'sigmoid' = 'relu',
) {
  return sequential(...widths.map((width) => dense(width, activation)), dense(classes));
}

/** Runs `work` on every item, so many at a time as the laboratory has cores; results in the order of the items. */
export async function onCores<T, R>(
  { cores, signal }: Laboratory,
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      signal?.throwIfAborted();
      const at = next++;
      results[at] = await work(items[at]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(cores, items.length) }, lane));
  return results;
}

/** Seconds of training steps up to a step, from the records. */
export function secondsUntil(run: Run, step: number): number {
  return run.steps.reduce((sum, record) => (record.step <= step ? sum + record.timings.stepMs / 1000 : sum), 0);
}

/** The first evaluation whose metric reaches the value; undefined where none does. */
export function reach(run: Run, metric: string, value: number, mode: 'min' | 'max'): EvaluationRecord | undefined {
  return run.evaluations.find(({ metrics }) => (mode === 'max' ? metrics[metric] >= value : metrics[metric] <= value));
}

/** Value of a metric at the last evaluation of a run that stayed finite; NaN else. */
export function finalOf(run: Run, metric: string): number {
  return run.finite ? (run.evaluations.at(-1)?.metrics[metric] ?? Number.NaN) : Number.NaN;
}
