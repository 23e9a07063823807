import type { LoadedData } from '../data/contract.ts';
import type { OptimizerDescription } from '../optim/contract.ts';
import type { EvaluationRecord, Sink, SinkRecord, StepRecord } from '../record/contract.ts';
import type { Job } from '../train/job.ts';
import type { TrainOptions } from '../train/options.ts';
import { loadJobData, planRun } from '../train/plan-run.ts';
import { resolveJob } from '../train/resolve-job.ts';
import { trainPlan } from '../train/train.ts';
import type { CurvePoint, Trial, TrialLimits, TrialResult } from './contract.ts';
import { rescaled, shortened } from './learning-rates.ts';
import { median } from './statistics.ts';

/** Training that ends this far above its first loss went nowhere. */
const DIVERGED_FACTOR = 1.25;

/** Options that every optimizer has and that belong to the model more than to the optimizer. */
const SHARED_OPTIONS = ['groups', 'noDecay'];

/**
 * The optimizer of a trial: the job's own with its options, or another with its defaults; the job's schedule, scaled, and cut
 * where the run is cut: else a warm-up that a tenth of the job takes would be all of a run of a tenth.
 */
export function optimizerOf(
  job: Job,
  kind: string,
  lr: number,
  totalSteps: number,
  stepsOfJob = totalSteps,
): OptimizerDescription {
  const own = job.optimizer;
  const course = stepsOfJob === totalSteps ? own.lr : shortened(own.lr, totalSteps / stepsOfJob);
  const rate = rescaled(course, lr, totalSteps) ?? lr;
  if (kind === own.kind) return { ...own, lr: rate }; // spreading keeps the symbol of a custom definition
  const shared = Object.entries(own).filter(([name]) => SHARED_OPTIONS.includes(name));
  return { kind, ...Object.fromEntries(shared), lr: rate };
}

/**
 * The user's job as a trial runs it. The test split takes no part; where it is a fraction of the training rows it stays, so that
 * those rows are not trained on. Callbacks and checkpoints are left out.
 */
export function trialJob(job: Job, trial: Trial): Job {
  const { test, ...data } = job.data;
  const { checkpoint: _, ...rest } = job;
  return {
    ...rest,
    data: typeof test === 'number' ? { ...data, test } : data,
    optimizer: optimizerOf(job, trial.optimizer, trial.lr, trial.totalSteps, trial.stepsOfJob),
    seed: trial.seed,
    steps: trial.totalSteps,
    evaluate: { everySteps: trial.evaluateEvery },
    callbacks: {
      onEvaluation: ({ step }, control) => {
        if (step >= trial.stopStep) control.stop('end of the trial');
      },
    },
  };
}

/**
 * Runs a trial in this process, on one worker. Never throws: what goes wrong is the result, a job that does not load too.
 *
 * @param load gives the job and the URL of its module.
 */
export async function runTrial(
  load: () => Promise<{ readonly job: Job; readonly module?: string }>,
  trial: Trial,
  limits: TrialLimits = {},
  signal?: AbortSignal,
): Promise<TrialResult> {
  const started = performance.now();
  const cpuBefore = process.cpuUsage();
  const enough = new AbortController();
  const stop = () => enough.abort();
  signal?.addEventListener('abort', stop);
  const curve = new CurveSink(() => {
    if (limits.seconds !== undefined && curve.seconds > limits.seconds) enough.abort();
  });
  let ended: Pick<TrialResult, 'outcome' | 'message'>;
  try {
    const { job, module } = await load();
    const options = { workers: 1, module, sinks: [curve], signal: enough.signal };
    const own = trialJob(job, trial);
    await trainPlan(await planRun(own, options, await dataOf(job, own, options)), options);
    ended = judge(curve);
  } catch (error) {
    ended = failure(error);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
  curve.finish();
  const cpu = process.cpuUsage(cpuBefore);
  return {
    trial,
    ...ended,
    curve: curve.points,
    secondsPerStep: median(curve.stepSeconds),
    wallSeconds: (performance.now() - started) / 1000,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
  };
}

/** What the last trial of a job in this process was trained on: the tuning has one seed, so most trials have the same rows. */
const LOADED = new WeakMap<Job, { readonly seed: number; readonly data: LoadedData }>();

async function dataOf(job: Job, own: Job, options: TrainOptions): Promise<LoadedData> {
  const resolved = resolveJob(own);
  const known = LOADED.get(job);
  if (known?.seed === resolved.seed) return known.data;
  LOADED.delete(job); // two at once would be twice the memory
  const data = await loadJobData(resolved, options);
  LOADED.set(job, { seed: resolved.seed, data });
  return data;
}

function judge({ points, firstLoss }: CurveSink): Pick<TrialResult, 'outcome' | 'message'> {
  const last = points.at(-1);
  if (last !== undefined && firstLoss > 0 && last.loss > DIVERGED_FACTOR * firstLoss) {
    const message = `training loss rose from ${firstLoss.toPrecision(3)} to ${last.loss.toPrecision(3)}`;
    return { outcome: 'diverged', message };
  }
  return { outcome: 'finished' };
}

function failure(error: unknown): Pick<TrialResult, 'outcome' | 'message'> {
  const message = error instanceof Error ? error.message : String(error);
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'E_NON_FINITE') return { outcome: 'diverged', message };
  return { outcome: 'crashed', message: typeof code === 'string' ? `${code}: ${message}` : message };
}

/** Gathers a run into points, one an evaluation; what came after the last evaluation becomes one more. */
class CurveSink implements Sink {
  readonly points: CurvePoint[] = [];
  readonly stepSeconds: number[] = [];
  firstLoss = Number.NaN;
  seconds = 0;
  readonly #onSteps: () => void;
  #samples = 0;
  #step = 0;
  #sums: Record<string, number> = {};
  #since = 0;

  constructor(onSteps: () => void) {
    this.#onSteps = onSteps;
  }

  open(): void {}
  close(): void {}

  write(records: readonly SinkRecord[]): void {
    for (const record of records) {
      if (record.kind === 'step') this.#addStep(record);
      else if (record.kind === 'evaluation') this.#addEvaluation(record);
    }
    this.#onSteps();
  }

  #addStep({ step, loss, metrics, samples, timings }: StepRecord): void {
    if (step === 1) this.firstLoss = loss;
    this.#step = step;
    this.#samples += samples;
    this.#since += samples;
    this.seconds += timings.stepMs / 1000;
    this.stepSeconds.push(timings.stepMs / 1000);
    for (const [name, value] of Object.entries({ ...metrics, loss })) {
      this.#sums[name] = (this.#sums[name] ?? 0) + samples * value;
    }
  }

  #addEvaluation({ metrics }: EvaluationRecord): void {
    if (Object.keys(metrics).some((name) => name.startsWith('test.'))) return;
    this.#close(metrics);
  }

  finish(): void {
    if (this.#since > 0) this.#close({});
  }

  #close(evaluated: Readonly<Record<string, number>>): void {
    const { loss = Number.NaN, ...means } = Object.fromEntries(
      Object.entries(this.#sums).map(([name, sum]) => [name, sum / this.#since]),
    );
    this.points.push({
      step: this.#step,
      samples: this.#samples,
      seconds: this.seconds,
      loss,
      metrics: { ...means, ...evaluated },
    });
    this.#sums = {};
    this.#since = 0;
  }
}
