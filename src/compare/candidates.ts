import { closest, LockstepError } from '../errors.ts';
import { sizeOf } from '../graph/tensor.ts';
import { OPTIMIZERS, resolveOptimizer } from '../optim/catalogue.ts';
import type { OptimizerDef } from '../optim/contract.ts';
import type { Job } from '../train/job.ts';
import type { RunPlan } from '../train/plan-run.ts';
import type { Objective } from './contract.ts';
import { COMMON_RATE, gridAround, largestRate } from './learning-rates.ts';
import { optimizerOf } from './trial.ts';

/** An optimizer that takes part. */
export interface Candidate {
  readonly optimizer: string;
  readonly grid: readonly number[];
  /** Of its slots and numbers, for this model. */
  readonly stateBytes: number;
}

/** Those that most people would try, first; where a budget has no room for all, the others are left out. */
const COMMON = [
  'adamw',
  'adam',
  'momentum',
  'sgd',
  'rmsprop',
  'nesterov',
  'adagrad',
  'nadamw',
  'lion',
  'muon',
  'radam',
  'prodigy',
];

/** By how common they are: the job's own first, then COMMON, then the catalogue's order. */
export function commonFirst<T extends { readonly optimizer: string }>(entries: readonly T[], own: string): T[] {
  const place = ({ optimizer }: T) => {
    const found = [own, ...COMMON].indexOf(optimizer);
    return found < 0 ? COMMON.length + 1 : found;
  };
  return [...entries].sort((a, b) => place(a) - place(b));
}

export interface Candidates {
  readonly taking: readonly Candidate[];
  /** Those that cannot train this job, with the reason; only where the user named none. */
  readonly left: readonly { readonly optimizer: string; readonly reason: string }[];
}

/**
 * The optimizers of a comparison: those named, or all of the catalogue (and the job's own) that can train the job with their
 * defaults.
 *
 * @throws E_OPTION for a name that is unknown (with the closest one) or cannot train the job, and for a rate that is not > 0.
 */
export function findCandidates(
  job: Job,
  plan: RunPlan,
  names: readonly string[] | undefined,
  rates: readonly number[] | undefined,
): Candidates {
  rates?.forEach(checkRate);
  const own = job.optimizer.kind;
  const known = [...new Set([...Object.keys(OPTIMIZERS), own])];
  for (const name of names ?? []) if (!known.includes(name)) throw unknownOptimizer(name, known);
  const taking: Candidate[] = [];
  const left: { optimizer: string; reason: string }[] = [];
  for (const optimizer of new Set(names ?? known)) {
    try {
      taking.push(candidateOf(job, plan, optimizer, rates));
    } catch (error) {
      if (names !== undefined || !(error instanceof LockstepError)) throw error;
      left.push({ optimizer, reason: `expected ${error.detail.expected}, got ${error.detail.got}` });
    }
  }
  return { taking, left };
}

function candidateOf(job: Job, plan: RunPlan, optimizer: string, rates: readonly number[] | undefined): Candidate {
  const { totalSteps, tensors, batchSize } = plan.compiled;
  const isOwn = optimizer === job.optimizer.kind;
  const def: OptimizerDef = isOwn ? plan.optimizer.def : OPTIMIZERS[optimizer];
  const centre = isOwn ? largestRate(job.optimizer.lr, totalSteps) : (def.defaultLr ?? COMMON_RATE);
  const grid = rates === undefined ? gridAround(centre) : [...new Set(rates)].sort((a, b) => a - b);
  const resolved = resolveOptimizer(optimizerOf(job, optimizer, grid[0], totalSteps));
  if (def.fullBatch && batchSize < plan.data.train.size) {
    throw new LockstepError('E_OPTION', {
      where: `optimizer ${optimizer}`,
      expected: "batchSize 'full': it needs the same rows in every step",
      got: `batches of ${batchSize} of ${plan.data.train.size} rows`,
      fix: `leave ${optimizer} out or use --batch-size full`,
    });
  }
  const options = def.bind?.(resolved.options, tensors) ?? resolved.options;
  let stateBytes = 8 * Object.keys(def.state ?? {}).length;
  for (const tensor of tensors) {
    for (const { shape } of Object.values(def.slots(options, tensor))) {
      stateBytes += 4 * (shape === undefined ? tensor.size : sizeOf(shape));
    }
  }
  return { optimizer, grid, stateBytes };
}

function checkRate(rate: number): void {
  if (Number.isFinite(rate) && rate > 0) return;
  throw new LockstepError('E_OPTION', {
    where: 'option --learning-rates',
    expected: 'numbers > 0',
    got: String(rate),
    fix: 'write for example --learning-rates 0.001,0.003,0.01',
  });
}

function unknownOptimizer(name: string, known: readonly string[]): LockstepError {
  const near = closest(name, known);
  return new LockstepError('E_OPTION', {
    where: 'option --optimizers',
    expected: `names among ${known.join(', ')}`,
    got: `'${name}'`,
    fix: near === undefined ? 'use one of those names' : `did you mean '${near}'?`,
  });
}

/** What to compare by: the target's metric, the one named, what the job monitors, else its first metric, else the loss. */
export function findObjective(
  job: Job,
  plan: RunPlan,
  wanted: { readonly target?: { readonly metric: string; readonly value: number }; readonly metric?: string },
): Objective {
  const reported = new Map<string, 'min' | 'max'>([
    ['val.loss', 'min'],
    ...plan.compiled.metrics.map(({ name, mode }) => [`val.${name}`, mode] as const),
  ]);
  if (!plan.data.validation) {
    throw new LockstepError('E_JOB', {
      where: 'job.data.validation',
      expected: 'a validation split: optimizers are compared by it',
      got: 'none',
      fix: 'give the job data: { validation: 0.1 }',
    });
  }
  const first = plan.compiled.metrics.map(({ name }) => `val.${name}`).at(0);
  const metric = wanted.target?.metric ?? wanted.metric ?? job.earlyStopping?.monitor ?? first ?? 'val.loss';
  const mode = reported.get(metric);
  if (mode !== undefined) return { metric, mode, ...(wanted.target && { target: wanted.target.value }) };
  const names = [...reported.keys()];
  const near = closest(metric, names) ?? names.find((name) => name.endsWith(`.${metric}`));
  throw new LockstepError('E_OPTION', {
    where: wanted.target ? `option --target ${metric}` : `option --metric ${metric}`,
    expected: `a metric that the job reports on validation: ${names.join(', ')}`,
    got: `'${metric}'`,
    fix: near === undefined ? 'use one of those, or add the metric to the job' : `did you mean '${near}'?`,
  });
}
