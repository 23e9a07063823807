import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { type EvaluationFacts, packEvaluation } from '../checkpoint/evaluation-graph.ts';
import type { Manifest } from '../checkpoint/manifest.ts';
import type { StoredModel } from '../checkpoint/model-file.ts';
import type { LoadedData, Split } from '../data/contract.ts';
import { loadData } from '../data/load.ts';
import { LockstepError } from '../errors.ts';
import type { MetricDef } from '../nn/contract.ts';
import { RowRandom } from '../parallel/gather.ts';
import { type Evaluation, openEvaluator } from '../predict/evaluator.ts';
import { readStoredModel } from '../predict/node-model.ts';
import { nodePlatform } from '../predict/node-platform.ts';
import { fieldInfo } from '../predict/predictor.ts';
import { RowEncoder } from '../predict/row-encoder.ts';
import { splitWriter } from '../predict/split-writer.ts';
import type { Job } from '../train/job.ts';
import { formatCount, formatNumber } from './format.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type TableOptions, tableRows } from './table-rows.ts';

export interface EvalCommandOptions extends TableOptions {
  readonly json?: boolean;
  readonly best?: string;
  /** File of the job, if it is not where it was. */
  readonly job?: string;
}

/** `lockstep eval <model> [data]`: loss and metrics on the job's validation and test rows, or on a file. */
export async function evalCommand(
  model: string,
  data: string | undefined,
  options: EvalCommandOptions,
  io: Io,
): Promise<void> {
  const stored = await readStoredModel(model, options.best === undefined ? {} : { best: options.best });
  const { manifest } = stored;
  const job = options.job === undefined ? undefined : (await loadJob(options.job)).job;
  const results =
    data === undefined
      ? await evaluateJobData(stored, model, job, options, io)
      : await evaluateFile(stored, model, data, job, options, io);
  const metrics = Object.assign({}, ...results.map((r) => r.metrics)) as Record<string, number>;
  const rows = Object.fromEntries(results.map((r) => [r.name, r.rows]));
  if (options.json) {
    io.out(JSON.stringify({ step: manifest.step, rows, metrics }));
    return;
  }
  for (const { name, rows: count } of results) io.out(`${name}: ${formatCount(count)} rows, step ${manifest.step}`);
  for (const [name, value] of Object.entries(metrics)) io.out(`${name} ${formatNumber(value)}`);
  const unknown = [...new Set(results.flatMap((r) => r.unknown))];
  if (unknown.length > 0) {
    io.out(`not computed: ${unknown.join(', ')} (of the job's own: name its module with --job)`);
  }
}

interface Named {
  readonly name: string;
  readonly rows: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly unknown: readonly string[];
}

async function evaluateFile(
  stored: StoredModel,
  model: string,
  data: string,
  job: Job | undefined,
  options: EvalCommandOptions,
  io: Io,
): Promise<Named[]> {
  const { manifest } = stored;
  const evaluator = await openEvaluator(stored, factsOf(manifest, model, job), nodePlatform, definitionsOf(job));
  const encoder = new RowEncoder(manifest.transforms, manifest.fields.map(fieldInfo), evaluator.fields);
  for await (const { rows, place } of tableRows(data, encoder, options, io.stop)) {
    evaluator.add(rows.length, (stage, slot, i) => encoder.encode(rows[i], slot, stage.field, i, place));
  }
  return [named(data, '', evaluator.finish())];
}

async function evaluateJobData(
  stored: StoredModel,
  model: string,
  given: Job | undefined,
  options: EvalCommandOptions,
  io: Io,
): Promise<Named[]> {
  const { manifest } = stored;
  const { job, data } = await loadJobData(manifest, model, given, options, io);
  const splits: (readonly [name: string, split: Split | undefined])[] = [
    ['val', data.validation],
    ['test', data.test],
  ];
  const found = splits.flatMap(([name, split]) => (split ? [[name, split] as const] : []));
  const results: Named[] = [];
  for (const [name, split] of found.length > 0 ? found : [['train', data.train] as const]) {
    const evaluator = await openEvaluator(stored, factsOf(manifest, model, job), nodePlatform, definitionsOf(job));
    evaluator.add(split.size, splitWriter(split, evaluator.fields, rowRandom(manifest)));
    results.push(named(name, `${name}.`, evaluator.finish()));
  }
  return results;
}

function named(name: string, prefix: string, { rows, metrics, unknown }: Evaluation): Named {
  const prefixed = Object.entries(metrics).map(([metric, value]) => [`${prefix}${metric}`, value]);
  return { name, rows, metrics: Object.fromEntries(prefixed), unknown };
}

/** The data that the run was trained on, and the job where it had to be loaded for that. */
async function loadJobData(
  manifest: Manifest,
  model: string,
  given: Job | undefined,
  options: EvalCommandOptions,
  io: Io,
): Promise<{ job: Job | undefined; data: LoadedData }> {
  const { origin } = manifest;
  let job = given;
  let spec: unknown = given?.data ?? origin?.data;
  let baseDir = options.job === undefined ? (origin?.baseDir ?? process.cwd()) : dirname(resolve(options.job));
  if (spec === undefined && origin?.module !== undefined) {
    job = (await loadJob(fileURLToPath(origin.module))).job;
    spec = job.data;
    baseDir = dirname(fileURLToPath(origin.module));
  }
  if (spec === undefined) {
    throw new LockstepError('E_DATA_MISSING', {
      where: `${model}: data of the job`,
      expected: 'a description of files, or the module that made the data',
      got: 'neither in this model',
      fix: 'name the module with --job train.ts, or give a file: lockstep eval DIR data.csv',
    });
  }
  const data = await loadData(spec as Job['data'], { seed: manifest.sampler.seed, baseDir, signal: io.stop });
  checkUnchanged(manifest, data, model);
  return { job, data };
}

/** Other training rows give other splits and transforms: what was validation then may be training now. */
function checkUnchanged(manifest: Manifest, data: LoadedData, model: string): void {
  const plain = JSON.parse(JSON.stringify(data.transforms)) as unknown;
  const saved = JSON.parse(JSON.stringify(manifest.transforms)) as unknown;
  if (isDeepStrictEqual(plain, saved) && data.train.size === manifest.sampler.rows) return;
  throw new LockstepError('E_DATA_VALUE', {
    where: `${model}: data of the job`,
    expected: `the ${formatCount(manifest.sampler.rows)} training rows that the model was trained on`,
    got: data.train.size === manifest.sampler.rows ? 'other values' : `${formatCount(data.train.size)} rows`,
    fix: 'evaluate on rows that it has not seen: lockstep eval DIR data.csv',
  });
}

function factsOf(manifest: Manifest, model: string, job: Job | undefined): EvaluationFacts {
  if (manifest.evaluation) return manifest.evaluation;
  if (job) return packEvaluation(job, manifest.fields.map(fieldInfo));
  throw new LockstepError('E_CHECKPOINT', {
    where: model,
    expected: 'loss and metrics',
    got: 'a model that was saved without them',
    fix: 'name the module of the job: --job train.ts',
  });
}

function definitionsOf(job: Job | undefined): { definitions: readonly MetricDef[] } {
  return { definitions: (job?.metrics ?? []).filter((m) => typeof m === 'object') };
}

/** What computed rows are read with in evaluation: as in training's own, epoch 0. */
function rowRandom({ sampler }: Manifest): (id: number) => () => number {
  const random = new RowRandom(sampler.seed);
  return (id) => {
    random.start(0, id);
    return random.next;
  };
}
