import type { FieldInfo, LoadedData } from '../data/contract.ts';
import { shardRange } from '../data/sampler.ts';
import { LockstepError } from '../errors.ts';
import { type CompileOptions, compileProgram } from '../graph/compile.ts';
import { type Block, layoutTensors, makeBlocks } from '../graph/layout.ts';
import type { Program, TensorEntry } from '../graph/program.ts';
import { lookupsByTable } from '../graph/roots.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { LayerRow, MetricDef, StatisticsSpec, TracedModel } from '../nn/contract.ts';
import { applyLoss, lossWarnings } from '../nn/losses.ts';
import { resolveMetrics } from '../nn/metrics.ts';
import { traceModel } from '../nn/trace.ts';
import type { ResolvedOptimizer } from '../optim/catalogue.ts';
import { bindOptimizer } from '../optim/groups.ts';
import { Calendar } from '../parallel/calendar.ts';
import { type RowTable, rowTables } from '../parallel/row-memory.ts';
import type { RunningStatistic } from '../parallel/running-statistics.ts';
import { checkLookups } from './check-lookups.ts';
import type { ResolvedJob } from './resolve-job.ts';
import { defaultShards, rowsPerSample } from './shards.ts';
import { chooseSparse, type SparseChoice } from './sparse-tables.ts';

/** Rows of the program that is asked about the model. */
const PROBE_ROWS = 4;
/** Rows of an evaluation shard, before the activation budget. */
const EVALUATION_ROWS = 256;

/** A job compiled for its data: programs for every shard size that can occur, and the tensor table. Plain data but for metrics. */
export interface CompiledJob {
  readonly tensors: readonly TensorEntry[];
  readonly flatSize: number;
  /** Length of flat gradients: sparse tables lie behind it. */
  readonly gradientSize: number;
  readonly blocks: readonly Block[];
  /** State of layers that is not trained, behind the parameters. */
  readonly buffers: readonly TensorEntry[];
  /** What changes it. */
  readonly statistics: readonly RunningStatistic[];
  readonly batchSize: number;
  readonly shards: number;
  /** Of the run: those of the job, or with local steps rounds. */
  readonly totalSteps: number;
  /** Which of them make up its epochs. */
  readonly calendar: Calendar;
  readonly epochs: number;
  /** Sizes that a global batch can have. */
  readonly batches: readonly number[];
  readonly trainPrograms: readonly Program[];
  /** Tables with sparse gradients. */
  readonly rowTables: readonly RowTable[];
  /** The training program for any number of rows. */
  compileTrain(rows: number): Program;
  readonly evaluationPrograms: readonly Program[];
  readonly evaluationRows: number;
  /** Names of the f64 sums of a shard. */
  readonly sums: readonly string[];
  readonly metrics: readonly MetricDef[];
  readonly layers: readonly LayerRow[];
  readonly rowsPerSample: number;
  readonly warnings: readonly string[];
}

export function compileJob(job: ResolvedJob, data: LoadedData, optimizer: ResolvedOptimizer): CompiledJob {
  const rows = data.train.size;
  const batchSize = Math.min(rows, job.batchSize === 'full' ? rows : job.batchSize);
  const stepsPerEpoch = Math.ceil(rows / batchSize);
  const epochs = job.epochs ?? (job.steps === undefined ? 1 : Math.ceil(job.steps / stepsPerEpoch));
  const totalSteps = Math.min(job.steps ?? Number.POSITIVE_INFINITY, epochs * stepsPerEpoch);

  const compiler = new Compiler(job, data.fields, optimizer, batchSize);
  checkLookups(Object.values(compiler.traced.outputs), data);
  const probe = compiler.train(Math.min(batchSize, PROBE_ROWS));
  const perSample = rowsPerSample(probe);
  const shards =
    job.shards ?? defaultShards(batchSize, perSample, (n) => compiler.train(n).activationBytes, job.activationBudget);

  const batches = [...new Set([batchSize, rows % batchSize || batchSize])];
  const trainRows = distinctShardRows(batches, shards);
  let evaluationRows = EVALUATION_ROWS;
  while (evaluationRows > 1 && compiler.evaluate(evaluationRows).activationBytes > job.activationBudget) {
    evaluationRows = Math.ceil(evaluationRows / 2);
  }
  const evaluationSizes = [data.validation, data.test].flatMap((split) =>
    split ? distinctShardRows([split.size], Math.max(1, Math.ceil(split.size / evaluationRows))) : [],
  );
  const trainPrograms = trainRows.map((n) => compiler.train(n));
  return {
    ...compiler.layout,
    batchSize,
    shards,
    calendar: new Calendar({ stepsPerEpoch, totalSteps }),
    epochs,
    totalSteps,
    batches,
    statistics: placeStatistics(compiler.traced.statistics, compiler.layout.buffers),
    trainPrograms,
    rowTables: rowTables(trainPrograms, compiler.layout.tensors),
    compileTrain: (n) => compiler.train(n),
    evaluationPrograms: [...new Set(evaluationSizes)].map((n) => compiler.evaluate(n)),
    evaluationRows,
    sums: probe.sums,
    metrics: compiler.metrics,
    layers: compiler.traced.layers,
    rowsPerSample: perSample,
    warnings: [...lossWarnings(compiler.traced.outputs, job.loss), ...compiler.advice],
  };
}

/** The shard sizes that these batches can have: floor and ceil of batch / S, without the empty ones. */
function distinctShardRows(batches: readonly number[], shards: number): number[] {
  const sizes = new Set<number>();
  for (const batch of batches) {
    for (let shard = 0; shard < shards; shard++) {
      const [begin, end] = shardRange(batch, shards, shard);
      sizes.add(end - begin);
    }
  }
  sizes.delete(0);
  return [...sizes];
}

/** Traces and compiles each size once. */
class Compiler {
  readonly metrics: readonly MetricDef[];
  readonly traced: TracedModel;
  /** What could be faster. */
  readonly advice: readonly string[];
  readonly layout: Pick<CompiledJob, 'tensors' | 'buffers' | 'flatSize' | 'gradientSize' | 'blocks'>;
  readonly #job: ResolvedJob;
  readonly #fields: readonly FieldInfo[];
  readonly #programs = new Map<string, Program>();

  constructor(job: ResolvedJob, fields: readonly FieldInfo[], optimizer: ResolvedOptimizer, batchSize: number) {
    this.#job = job;
    this.#fields = fields;
    this.metrics = resolveMetrics(job.metrics, job.loss);
    this.traced = traceModel(job.model, fields, 1, { training: true });
    if (this.traced.parameters.length === 0) {
      throw new LockstepError('E_MODEL', {
        where: 'model',
        expected: 'at least one parameter to train',
        got: 'none',
        fix: 'add a layer with weights, such as dense(units)',
      });
    }
    const { names, advice } = this.#sparseTables(optimizer, batchSize);
    this.advice = advice;
    const specs = this.traced.parameters.map((spec) => ({ ...spec, sparse: names.has(spec.name) }));
    const buffers = this.traced.buffers.map((spec) => ({ ...spec, buffer: true }));
    const { entries, ...sizes } = layoutTensors([...specs, ...buffers]);
    this.layout = {
      tensors: entries.slice(0, specs.length),
      buffers: entries.slice(specs.length),
      ...sizes,
      blocks: makeBlocks(entries),
    };
  }

  /** Which tables have sparse gradients. */
  #sparseTables(optimizer: ResolvedOptimizer, batchSize: number): SparseChoice {
    const { parameters } = this.traced;
    if (!parameters.some(({ sparseGradient }) => sparseGradient)) return { names: new Set(), advice: [] };
    const { entries } = layoutTensors(parameters);
    return chooseSparse({
      parameters,
      lookups: lookupsByTable(this.#options(Math.min(batchSize, PROBE_ROWS), true, entries)),
      optimizer: bindOptimizer(optimizer, entries),
      clip: this.#job.clip,
      batchSize,
    });
  }

  train(rows: number): Program {
    return this.#compile(rows, true);
  }

  evaluate(rows: number): Program {
    return this.#compile(rows, false);
  }

  #compile(rows: number, training: boolean): Program {
    const key = `${training ? 'train' : 'evaluate'}/${rows}`;
    let program = this.#programs.get(key);
    if (!program) {
      program = compileProgram(this.#options(rows, training, [...this.layout.tensors, ...this.layout.buffers]));
      this.#programs.set(key, program);
    }
    return program;
  }

  #options(rows: number, training: boolean, tensors: readonly TensorEntry[]): CompileOptions {
    const traced = traceModel(this.#job.model, this.#fields, rows, { training });
    const loss = applyLoss(this.#job.loss, traced);
    const sums = this.metrics.flatMap((metric) =>
      Object.entries(metric.sums(traced.outputs, traced.inputs)).map(([name, sum]) => ({
        name: sumName(metric, name),
        ...sum,
      })),
    );
    const moments = traced.statistics.map((s) => s.moments);
    return { rows, fields: this.#fields, tensors, outputs: {}, loss, sums, moments, gradients: training };
  }
}

/** Where each layer's statistics lie, and the moments of all of its calls among those of a shard. */
function placeStatistics(specs: readonly StatisticsSpec[], buffers: readonly TensorEntry[]): RunningStatistic[] {
  const offsetOf = (name: string): number => buffers.find((entry) => entry.name === name)?.offset ?? Number.NaN;
  const layers = new Map<string, RunningStatistic>();
  let at = 0;
  for (const { mean, variance, momentum, moments } of specs) {
    const known = layers.get(mean);
    const place = { mean: offsetOf(mean), variance: offsetOf(variance), momentum };
    const channels = buffers.find((entry) => entry.name === mean)?.size ?? 0;
    layers.set(mean, { channels, ...place, moments: [...(known?.moments ?? []), at] });
    at += sizeOf(moments.shape) / 2;
  }
  return [...layers.values()];
}

export function sumName(metric: MetricDef, sum: string): string {
  return `${metric.name}.${sum}`;
}

/** Loss and metrics from added-up sums, in the order of `names`. */
export function finishSums(
  metrics: readonly MetricDef[],
  names: readonly string[],
  value: (index: number) => number,
): { loss: number; metrics: Record<string, number> } {
  const weight = value(1);
  const results: Record<string, number> = {};
  for (const metric of metrics) {
    const sums: Record<string, number> = {};
    names.forEach((name, i) => {
      if (name.startsWith(`${metric.name}.`)) sums[name.slice(metric.name.length + 1)] = value(i);
    });
    results[metric.name] = metric.finish(sums);
  }
  return { loss: weight === 0 ? 0 : value(0) / weight, metrics: results };
}
