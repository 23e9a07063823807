import { packEvaluation } from '../checkpoint/evaluation-graph.ts';
import type { ManifestFacts } from '../checkpoint/manifest.ts';
import type { SeatState } from '../checkpoint/node-states.ts';
import { PREDICTION_ROWS, packGraph } from '../checkpoint/prediction-graph.ts';
import { isFileSource } from '../data/load.ts';
import { traceModel } from '../nn/trace.ts';
import { describeOptimizer } from '../optim/catalogue.ts';
import type { Progress } from '../parallel/progress.ts';
import type { StoppingState } from './early-stopping.ts';
import { describeJob, packageVersion } from './header.ts';
import type { RunPlan } from './plan-run.ts';
import type { PlateauState } from './plateau.ts';

/** What the evaluations so far have led to. */
export interface Watched {
  readonly stopping: StoppingState;
  /** Only where the schedule looks at evaluations. */
  readonly plateau?: PlateauState;
}

/** The state of a run between two steps, beside its vectors. */
export interface RunState {
  readonly step: number;
  readonly progress: Progress;
  readonly watched: Watched;
  /** Latest evaluation, by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Books of the epoch that is under way. */
  readonly epoch: EpochState;
  /** Of nodes that keep something. */
  readonly nodes?: { readonly lost: number; readonly states: readonly SeatState[] };
}

export interface EpochState {
  readonly epoch: number;
  readonly sums: readonly number[];
  readonly samples: number;
  readonly skipped: number;
}

/** What a checkpoint says about a run: plain data for the manifest. */
export function manifestFacts(plan: RunPlan, state: RunState): ManifestFacts {
  const { job, data, compiled, optimizer, local, needs, backend } = plan;
  const { step, progress, watched, metrics, epoch, nodes } = state;
  const { stopping, plateau } = watched;
  const { blas } = backend;
  return {
    lockstep: packageVersion(),
    step,
    epoch: epoch.epoch,
    sampler: { seed: job.seed, rows: data.train.size, batchSize: compiled.batchSize },
    shards: compiled.shards,
    job: describeJob(plan),
    optimizer: {
      description: describeOptimizer(local?.resolved ?? optimizer),
      updates: progress.updates,
      state: { ...progress.state },
      slots: needs.slots.map(({ name, shapes }) => ({ name, ...(shapes && { shapes: mutable(shapes) }) })),
    },
    progress: {
      totalSteps: compiled.totalSteps,
      skipped: epoch.skipped,
      badInARow: progress.badInARow,
      stopping: { ...stopping },
      ...(plateau && { plateau: { ...plateau, changes: plateau.changes.map((change) => ({ ...change })) } }),
      epochSums: [...epoch.sums],
      epochSamples: epoch.samples,
    },
    ...(nodes && {
      nodes: { wire: plan.wire, lost: nodes.lost, states: nodes.states.map(({ seat, after }) => ({ seat, after })) },
    }),
    metrics: { ...metrics },
    kernels: {
      gemm: backend.gemm,
      simd: backend.simd,
      ...(blas ? { blas: { library: blas.library, version: blas.version, core: blas.core } } : {}),
    },
    fields: data.fields.map(({ name, dtype, shape, size, classNames }) => ({
      name,
      dtype,
      shape: [...shape],
      ...(size === undefined ? {} : { size }),
      ...(classNames ? { classNames: [...classNames] } : {}),
    })),
    transforms: data.transforms.map((t) => ({ ...t })),
    loss: {
      name: job.loss.lossName ?? 'custom',
      ...(job.loss.output ? { output: job.loss.output } : {}),
      ...(job.loss.target ? { target: job.loss.target } : {}),
    },
    tensors: [...compiled.tensors, ...compiled.buffers].map(({ name, shape, init, group, sparse, buffer }) => ({
      name,
      shape: [...shape],
      init,
      group,
      ...(sparse && { sparse }),
      ...(buffer && { buffer }),
    })),
    ...graphs(plan),
    origin: { ...plan.origin, ...describedData(plan) },
  };
}

const mutable = (shapes: Readonly<Record<string, readonly number[]>>): Record<string, number[]> =>
  Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, [...shape]]));

type Graphs = Pick<ManifestFacts, 'model' | 'evaluation'>;

const GRAPHS = new WeakMap<RunPlan, Graphs>();

/** The same for every checkpoint of a run: traced once. */
function graphs(plan: RunPlan): Graphs {
  let found = GRAPHS.get(plan);
  if (!found) {
    const { job, data } = plan;
    const model = packGraph(
      PREDICTION_ROWS.map((rows) => ({
        rows,
        outputs: traceModel(job.model, data.fields, rows, { training: false }).outputs,
      })),
    );
    found = { model, evaluation: packEvaluation(job, data.fields) };
    GRAPHS.set(plan, found);
  }
  return found;
}

/** The job's data if all of it is files: then the description can be loaded again. */
function describedData({ job }: RunPlan): { data?: unknown } {
  const sources = [job.data.train, job.data.validation, job.data.test].filter((s) => typeof s === 'object');
  return sources.every(isFileSource) ? { data: job.data } : {};
}
