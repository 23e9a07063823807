import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FieldInfo, Fields, LoadedData } from '../../data/contract.ts';
import { applyTransforms } from '../../data/transforms.ts';
import { LockstepError } from '../../errors.ts';
import { Predictor, type Row } from '../../predict/index.ts';
import type { Job } from '../job.ts';
import type { TrainOptions, TrainResult } from '../options.ts';
import { loadJobData, planRun, type RunPlan } from '../plan-run.ts';
import { resolveJob } from '../resolve-job.ts';
import { trainPlan } from '../train.ts';
import { trialData } from '../trial.ts';
import { diagnose, type Verdict } from './diagnose.ts';
import { type StillTensor, stillTensors } from './gradients.ts';
import { type Attempt, type Heart, learnByHeart, otherRates, prepareHeart } from './overfit.ts';
import { farthest, isConstant, momentsOf, targetOf, valueAt } from './rows.ts';

/** One line of the list. */
export interface CheckResult {
  readonly name: string;
  readonly status: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly seconds: number;
  readonly detail: string;
  /** What is wrong and what to do about it. */
  readonly advice: readonly string[];
}

export interface CheckOptions extends Pick<TrainOptions, 'workers' | 'module' | 'signal'> {
  /** After each check. */
  readonly onResult?: (result: CheckResult) => void;
}

type Outcome = Omit<CheckResult, 'name' | 'seconds'>;

/**
 * Tries everything that a run of the job will need, on a few rows: data, compiling, a training batch, a validation batch, saving,
 * loading, predicting; whether 32 rows can be learnt by heart; whether two workers give the bytes of one. Nothing is left behind.
 *
 * @returns the results in order; a failed check is a result, not an error.
 * @throws E_ABORTED
 */
export async function checkJob<F extends Fields>(job: Job<F>, options: CheckOptions = {}): Promise<CheckResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-check-'));
  const check = new Check({ ...(job as unknown as Job), callbacks: undefined }, options, folder);
  try {
    await check.run();
    return check.results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

class Check {
  readonly results: CheckResult[] = [];
  readonly #job: Job;
  readonly #options: CheckOptions;
  readonly #runDir: string;

  constructor(job: Job, options: CheckOptions, folder: string) {
    this.#job = job;
    this.#options = options;
    this.#runDir = join(folder, 'run');
  }

  async run(): Promise<void> {
    const data = await this.#try('data', () => this.#loadData());
    const plan = data && (await this.#try('compile', () => this.#compile(data)));
    if (!data || !plan) {
      for (const name of ['train', 'validate', 'save', 'load', 'predict', 'learn', 'workers']) this.#skip(name);
      return;
    }
    const batch = await this.#trainBatch(data);
    const predictor = batch && (await this.#try('load', () => this.#load(batch)));
    if (!batch) this.#skip('load');
    if (predictor) await this.#try('predict', () => this.#predict(predictor, data));
    else this.#skip('predict');
    predictor?.dispose();
    await this.#try('learn', () => this.#learn(data, plan));
    await this.#try('workers', () => this.#compareWorkers(data));
  }

  /** Runs one check: what it throws becomes its result. */
  async #try<T>(name: string, action: () => Promise<{ outcome: Outcome; value: T }>): Promise<T | undefined> {
    const start = performance.now();
    const seconds = () => (performance.now() - start) / 1000;
    try {
      const { outcome, value } = await action();
      this.#throwIfAborted();
      this.#add({ name, seconds: seconds(), ...outcome });
      return value;
    } catch (error) {
      this.#throwIfAborted();
      this.#add({ name, seconds: seconds(), ...failure(error) });
      return undefined;
    }
  }

  async #loadData(): Promise<{ outcome: Outcome; value: LoadedData }> {
    const { module, signal } = this.#options;
    const data = await loadJobData(resolveJob(this.#job), { module, signal });
    const rows = [
      `${data.train.size} training`,
      `${data.validation?.size ?? 0} validation`,
      `${data.test?.size ?? 0} test rows`,
    ];
    const detail = `${rows.join(', ')}; ${data.fields.map(describeField).join(', ')}`;
    const target = targetOf(data, this.#job.loss);
    const advice = unscaledFields(data, this.#job).map(
      ({ field, element, mean, std }) =>
        `field ${field} is not normalised: element ${element} has mean ${short(mean)}, standard deviation ${short(std)}`,
    );
    if (target && isConstant(target, data.train.size)) {
      const value = `every training row has the same ${target.name} (${short(valueAt(target, 0))}): there is nothing to learn`;
      return { outcome: { status: 'failed', detail, advice: [value, ...advice] }, value: data };
    }
    return { outcome: { status: advice.length > 0 ? 'warning' : 'ok', detail, advice }, value: data };
  }

  async #compile(data: LoadedData): Promise<{ outcome: Outcome; value: RunPlan }> {
    const { workers, module } = this.#options;
    const plan = await planRun(this.#job, { workers, module }, data);
    const { tensors, shards, batchSize, totalSteps, warnings } = plan.compiled;
    const detail =
      `${count(tensors)} parameters in ${tensors.length} tensors; batch ${batchSize} in ${shards} ` +
      `${shards === 1 ? 'shard' : 'shards'}, ${totalSteps} steps; gemm ${plan.backend.gemm}, simd ${plan.backend.simd}`;
    return { outcome: { status: warnings.length > 0 ? 'warning' : 'ok', detail, advice: warnings }, value: plan };
  }

  /** One run for three checks: a training batch, a validation batch, a checkpoint of it. */
  async #trainBatch(data: LoadedData): Promise<TrainResult | undefined> {
    const { workers, module, signal } = this.#options;
    const start = performance.now();
    const at: { trained?: number; validated?: number } = {};
    const notes: string[] = [];
    try {
      const plan = await planRun(this.#job, { workers, module, fastDevRun: true }, data);
      const result = await trainPlan(plan, {
        ...{ workers, module, signal, runDir: this.#runDir },
        onProgress: (event) => {
          if (event.kind === 'steps') at.trained ??= performance.now();
          if (event.kind === 'evaluation') at.validated ??= performance.now();
          if (event.kind === 'note') notes.push(event.text);
        },
      });
      this.#throwIfAborted();
      const { trained = performance.now(), validated = trained } = at;
      const [step] = result.history.slice(0);
      this.#add({
        ...{ name: 'train', status: 'ok', seconds: (trained - start) / 1000, advice: [] },
        detail: `one batch of ${step.samples} rows on ${plan.workers} ${plan.workers === 1 ? 'worker' : 'workers'}: loss ${short(step.loss)}, gradient norm ${short(step.gradNorm)}`,
      });
      if (data.validation) {
        const loss = short(result.metrics['val.loss']);
        this.#add(
          ok(
            'validate',
            (validated - trained) / 1000,
            `one batch of ${plan.data.validation?.size} rows: val.loss ${loss}`,
          ),
        );
      } else this.#add({ ...ok('validate', 0, 'the job has no validation rows'), status: 'skipped' });
      const saved = performance.now() - validated;
      if (notes.length === 0) this.#add(ok('save', saved / 1000, 'a checkpoint'));
      else this.#add({ ...ok('save', saved / 1000, notes[0]), status: 'failed' });
      return notes.length === 0 ? result : undefined;
    } catch (error) {
      this.#throwIfAborted();
      const now = performance.now();
      if (at.trained === undefined) {
        this.#add({ name: 'train', seconds: (now - start) / 1000, ...failure(error) });
        this.#skip('validate');
        this.#skip('save');
      } else {
        this.#add(ok('train', (at.trained - start) / 1000, 'one batch'));
        if (at.validated === undefined && data.validation) {
          this.#add({ name: 'validate', seconds: (now - at.trained) / 1000, ...failure(error) });
          this.#skip('save');
        } else {
          this.#add(ok('validate', ((at.validated ?? at.trained) - at.trained) / 1000, 'one batch'));
          this.#add({ name: 'save', seconds: (now - (at.validated ?? at.trained)) / 1000, ...failure(error) });
        }
      }
      return undefined;
    }
  }

  async #load(result: TrainResult): Promise<{ outcome: Outcome; value: Predictor }> {
    const predictor = await Predictor.load(this.#runDir);
    const { tensors, step } = predictor.manifest;
    const names = Object.keys(result.parameters);
    const same = tensors.length === names.length && tensors.every((t) => names.includes(t.name));
    const outcome: Outcome = same
      ? { status: 'ok', detail: `${tensors.length} tensors of step ${step}, as they were saved`, advice: [] }
      : { status: 'failed', detail: 'other tensors than were trained', advice: [] };
    return { outcome, value: predictor };
  }

  async #predict(predictor: Predictor, data: LoadedData): Promise<{ outcome: Outcome; value: undefined }> {
    const rows = exampleRows(data, predictor.columns);
    const [alone, together] = [await predictor.predict(rows[0]), await predictor.predict(rows)];
    const difference = encodingDifference(data, predictor.columns);
    const problem =
      difference ??
      (JSON.stringify(alone) === JSON.stringify(together[0])
        ? undefined
        : 'a row alone is answered otherwise than among others');
    const answer = JSON.stringify(alone, (_, v) => (typeof v === 'number' ? Number(v.toPrecision(3)) : v));
    const detail = `${rows.length} raw rows, alone and together: ${answer.length > 80 ? `${answer.slice(0, 77)}...` : answer}`;
    const outcome: Outcome = problem
      ? { status: 'failed', detail, advice: [problem] }
      : { status: 'ok', detail, advice: [] };
    return { outcome, value: undefined };
  }

  async #learn(data: LoadedData, plan: RunPlan): Promise<{ outcome: Outcome; value: undefined }> {
    const { module, signal } = this.#options;
    const options = { workers: 1, module, signal };
    const heart = await prepareHeart(this.#job, data, plan, options);
    const attempt = await learnByHeart(heart, heart.lr, options);
    const others: Attempt[] = [];
    // A warning of the compiler is cause enough: other rates would not help.
    if (!attempt.learnt && plan.compiled.warnings.length === 0) {
      for (const factor of otherRates(attempt)) {
        others.push(await learnByHeart(heart, factor * heart.lr, options));
        if (others[others.length - 1].learnt) break;
      }
    }
    const { status, detail, causes } = this.#verdict(heart, attempt, others);
    return { outcome: { status, detail, advice: causes }, value: undefined };
  }

  #verdict(heart: Heart, attempt: Attempt, others: readonly Attempt[]): Verdict {
    const { rows, plan, data } = heart;
    const target = targetOf({ ...data, train: data.validation ?? data.train }, this.#job.loss);
    const far = target?.dtype === 'f32' && rows ? farthest(momentsOf(target, rows.size)) : undefined;
    let still: StillTensor[] = [];
    if (!attempt.learnt && rows && attempt.parameters) still = stillTensors(plan, rows, attempt.parameters);
    return diagnose({
      ...{ attempt, others, still, target: far, bounds: heart.bounds },
      rows: data.validation?.size ?? 0,
      lossName: this.#job.loss.lossName,
      parameters: Number(plan.compiled.tensors.reduce((sum, t) => sum + t.size, 0)),
      warnings: plan.compiled.warnings,
      unscaled: unscaledFields(data, this.#job),
    });
  }

  /** Two batches, three steps, on one worker and on two. */
  async #compareWorkers(data: LoadedData): Promise<{ outcome: Outcome; value: undefined }> {
    const { module, signal } = this.#options;
    const cut = trialData(data, { kind: 'overfitBatches', batches: 2 }, resolveJob(this.#job));
    const job: Job = {
      ...this.#job,
      ...{ steps: 3, epochs: undefined, evaluate: undefined, earlyStopping: undefined, checkpoint: undefined },
    };
    const { shards, batchSize } = (await planRun(job, { workers: 2, module }, cut)).compiled;
    const sliced = { ...job, shards: Math.min(batchSize, Math.max(2, shards)) };
    const results: TrainResult[] = [];
    for (const workers of [1, 2]) {
      results.push(await trainPlan(await planRun(sliced, { workers, module }, cut), { workers, module, signal }));
    }
    const [one, two] = results;
    const hash = one.parametersSha256.slice(0, 16);
    const outcome: Outcome =
      one.parametersSha256 === two.parametersSha256
        ? { status: 'ok', detail: `1 and 2 workers end in the same bytes (${hash})`, advice: [] }
        : {
            status: 'failed',
            detail: `${hash} on 1 worker, ${two.parametersSha256.slice(0, 16)} on 2`,
            advice: [
              'code of the job depends on time, order, Math.random or what it kept from earlier calls; rows must be a function of id and random()',
            ],
          };
    return { outcome, value: undefined };
  }

  #add(result: CheckResult): void {
    this.results.push(result);
    this.#options.onResult?.(result);
  }

  #skip(name: string): void {
    this.#add({ name, status: 'skipped', seconds: 0, detail: 'needs what failed', advice: [] });
  }

  #throwIfAborted(): void {
    if (!this.#options.signal?.aborted) return;
    throw new LockstepError('E_ABORTED', {
      where: 'check',
      expected: 'to check everything',
      got: 'an abort',
      fix: 'run it again',
    });
  }
}

function ok(name: string, seconds: number, detail: string): CheckResult {
  return { name, status: 'ok', seconds, detail, advice: [] };
}

function failure(error: unknown): Outcome {
  if (error instanceof LockstepError) {
    const { where, expected, got, fix } = error.detail;
    return { status: 'failed', detail: `${error.code}: ${where}: expected ${expected}, got ${got}`, advice: [fix] };
  }
  return { status: 'failed', detail: error instanceof Error ? error.message : String(error), advice: [] };
}

/** The first training rows as a user gives them; rows that workers compute have no other form than their fields. */
function exampleRows(data: LoadedData, columns: readonly string[]): Row[] {
  const pick = (row: Readonly<Record<string, unknown>>) => Object.fromEntries(columns.map((name) => [name, row[name]]));
  if (data.examples) return data.examples.map(pick);
  const { train } = data;
  if (train.kind !== 'computed') throw new TypeError('a table without examples');
  return [0, 1].map((i) => {
    const out = Object.fromEntries(train.fields.map((field) => [field.name, emptyRow(field)]));
    train.read(train.ids ? train.ids[i % train.size] : i % train.size, out, () => 0.5);
    return Object.fromEntries(columns.map((name) => [name, scalarOf(out[name], train.fields, name)]));
  });
}

function emptyRow({ dtype, shape }: FieldInfo): Float32Array | Int32Array {
  const width = shape.reduce((a, b) => a * b, 1);
  return dtype === 'i32' ? new Int32Array(width) : new Float32Array(width);
}

function scalarOf(values: Float32Array | Int32Array, fields: readonly FieldInfo[], name: string): unknown {
  return fields.find((f) => f.name === name)?.shape.length === 0 ? values[0] : values;
}

/** Whether a raw row gives other numbers than the table that was trained on. */
function encodingDifference(
  { examples, train, transforms }: LoadedData,
  columns: readonly string[],
): string | undefined {
  if (!examples || train.kind !== 'table') return undefined;
  const used = train.columns.filter((column) =>
    transforms.some((t) => t.field === column.name && columns.includes(String(t.column))),
  );
  const encoded = applyTransforms(
    transforms,
    examples[0],
    used.map((c) => c.name),
  );
  for (const column of used) {
    const values = encoded[column.name];
    for (let i = 0; i < values.length; i++) {
      if (Math.abs(values[i] - valueAt(column, i)) <= 1e-6 * Math.max(1, Math.abs(values[i]))) continue;
      return `element ${i} of field ${column.name} is ${short(valueAt(column, i))} in training and ${short(values[i])} from the raw row`;
    }
  }
  return undefined;
}

function unscaledFields(data: LoadedData, job: Job) {
  const { train } = data;
  if (train.kind !== 'table') return [];
  const target = job.loss.target ?? 'y';
  return train.columns
    .filter((column) => column.dtype === 'f32' && column.name !== target)
    .flatMap((column) => {
      const far = farthest(momentsOf(column, train.size));
      return far ? [{ field: column.name, ...far }] : [];
    });
}

function describeField({ name, dtype, shape, size }: FieldInfo): string {
  return `${name} ${dtype} [${shape.join(', ')}]${size === undefined ? '' : ` below ${size}`}`;
}

function count(tensors: readonly { readonly size: number }[]): string {
  return tensors.reduce((sum, t) => sum + t.size, 0).toLocaleString('en-US');
}

function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}
