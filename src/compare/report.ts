import { z } from 'zod';
import type { Candidates } from './candidates.ts';
import type { Objective, RacePlan, TrialResult } from './contract.ts';
import { compareFinals } from './finals.ts';
import { pointSchema, real } from './journal.ts';
import { commonTarget, measuresOf, sensitivityOf, winnerOnBorder } from './measures.ts';
import { finalistsOf, type Tuning, tuningOf } from './planner.ts';
import { performanceProfiles } from './profile.ts';
import type { RaceOutcome } from './race.ts';
import { finalValue, pointAtTarget } from './ranking.ts';
import { recommend } from './recommend.ts';
import { standing } from './standing.ts';

const outcome = z.enum(['finished', 'diverged', 'crashed']);

const measuresSchema = z.object({
  seeds: z.number(),
  value: real,
  trainValue: real,
  validationLoss: real,
  trainLoss: real,
  gap: real,
  toTarget: z.object({ steps: real, samples: real, seconds: real }),
  missed: z.number(),
  secondsPerStep: real,
  divergenceRate: real,
  crashed: z.number(),
  trials: z.number(),
});

const optimizerSchema = z.object({
  optimizer: z.string(),
  /** Best learning rate; absent where every rate failed or the tuning did not end. */
  lr: z.number().optional(),
  onBorder: z.boolean(),
  finalist: z.boolean(),
  stateBytes: z.number(),
  measures: measuresSchema,
  sensitivity: z
    .object({ decades: z.number(), low: z.number(), high: z.number(), open: z.boolean(), step: z.number() })
    .optional(),
  /** Every trial of the tuning: value of the objective's metric at its last step, NaN where it failed. */
  tuning: z.array(z.object({ lr: z.number(), step: z.number(), outcome, value: real, message: z.string().optional() })),
  /** Runs on fresh seeds, with their curves. */
  finals: z.array(
    z.object({
      seed: z.number(),
      outcome,
      message: z.string().optional(),
      value: real,
      secondsToTarget: real,
      curve: z.array(pointSchema),
    }),
  ),
});

const profileSchema = z.object({
  optimizer: z.string(),
  ratios: z.array(real),
  steps: z.array(z.object({ tau: z.number(), share: z.number() })),
  score: real,
});

const jobSchema = z.object({
  name: z.string(),
  objective: z.object({ metric: z.string(), mode: z.enum(['min', 'max']), target: z.number().optional() }),
  /** Whether the user gave the target; else it is what the weakest finalist reaches. */
  targetGiven: z.boolean(),
  run: z.object({
    steps: z.number(),
    /** Length of the job as written; larger than `steps` where the budget cut the runs. */
    stepsOfJob: z.number(),
    batchSize: z.number(),
    parameters: z.number(),
    tuningSeed: z.number(),
    finalSeeds: z.array(z.number()),
  }),
  ended: z.enum(['complete', 'budget', 'aborted']),
  optimizers: z.array(optimizerSchema),
  left: z.array(z.object({ optimizer: z.string(), reason: z.string() })),
  finals: z.object({
    decision: z.string(),
    mode: z.enum(['min', 'max']),
    order: z.array(z.string()),
    comparisons: z.array(
      z.object({
        a: z.string(),
        b: z.string(),
        pairs: z.number(),
        effect: real,
        interval: z.tuple([real, real]),
        p: z.number(),
        adjusted: z.number(),
      }),
    ),
    detectable: z.object({
      pairs: z.number(),
      comparisons: z.number(),
      smallestP: z.number(),
      effect: real,
      difference: real,
    }),
  }),
  /** Over the seeds of the finals, each a workload. */
  profiles: z.array(profileSchema),
  recommendation: z.object({
    verdict: z.enum(['clear', 'leads', 'only', 'none']),
    optimizer: z.string().optional(),
    lr: z.number().optional(),
    reasons: z.array(z.string()),
  }),
  cores: z.object({ slots: z.number(), seconds: z.number(), occupied: real, cpu: real, trials: z.number() }),
  notes: z.array(z.string()),
});

/** What report.json holds. Numbers that JSON lacks stand as strings; parsing gives numbers back. */
export const reportSchema = z.object({
  kind: z.literal('lockstep-comparison'),
  version: z.literal(1),
  lockstep: z.string(),
  createdAt: z.string(),
  machine: z.object({ cpu: z.string(), cores: z.number(), platform: z.string(), node: z.string(), gemm: z.string() }),
  jobs: z.array(jobSchema),
  /** AlgoPerf's profile and score over several jobs; absent for one. */
  profiles: z.array(profileSchema).optional(),
});

export type Report = z.output<typeof reportSchema>;
export type JobReport = Report['jobs'][number];
export type OptimizerReport = JobReport['optimizers'][number];

export interface JobOutcome {
  readonly name: string;
  readonly plan: RacePlan;
  readonly candidates: Candidates;
  readonly race: RaceOutcome;
  readonly slots: number;
  readonly stepsOfJob: number;
  readonly batchSize: number;
  readonly parameters: number;
  readonly notes: readonly string[];
}

/** Everything that a race of one job says, from its plan and results. Pure. */
export function jobReport(job: JobOutcome): JobReport {
  const { plan, race, candidates } = job;
  const known = new Map(race.results.map((result) => [result.trial.id, result]));
  const tunings = plan.entries.map((_, index) => tuningOf(plan, index, known));
  const finals = finalsOf(plan, tunings, race.results);
  const target = plan.objective.target ?? commonTarget(finals, plan.objective);
  const reporting: Objective = target === undefined ? plan.objective : { ...plan.objective, target };
  const optimizers = tunings.map((tuning): OptimizerReport => {
    const runs = finals.get(tuning.optimizer) ?? [];
    return {
      optimizer: tuning.optimizer,
      lr: tuning.winner?.trial.lr,
      onBorder: winnerOnBorder(tuning),
      finalist: finals.has(tuning.optimizer),
      stateBytes: candidates.taking.find((c) => c.optimizer === tuning.optimizer)?.stateBytes ?? Number.NaN,
      measures: measuresOf(tuning, runs, reporting),
      sensitivity: sensitivityOf(plan, tuning),
      tuning: tuning.results.map((result) => tuningRow(result, plan.objective.metric)),
      finals: runs.map((run) => finalRow(run, reporting)),
    };
  });
  const statistics = compareFinals(finals, plan.objective, plan.tuningSeed);
  const contenders = optimizers.flatMap(({ lr, ...rest }) =>
    lr !== undefined && rest.finalist ? [{ ...rest, lr }] : [],
  );
  const given = {
    target: plan.objective.target !== undefined,
    finished: race.ended === 'complete',
    standing: standing(plan, race.results),
  };
  return {
    name: job.name,
    objective: reporting,
    targetGiven: given.target,
    run: {
      steps: plan.totalSteps,
      stepsOfJob: job.stepsOfJob,
      batchSize: job.batchSize,
      parameters: job.parameters,
      tuningSeed: plan.tuningSeed,
      finalSeeds: [...plan.finalSeeds],
    },
    ended: race.ended,
    optimizers: inOrder(optimizers, statistics.order, plan.objective.mode),
    left: candidates.left.map((one) => ({ ...one })),
    finals: {
      ...statistics,
      order: [...statistics.order],
      comparisons: statistics.comparisons.map((c) => ({ ...c, interval: [c.interval[0], c.interval[1]] })),
    },
    profiles: seedProfiles(finals, reporting),
    recommendation: plainCopy(recommend(contenders, statistics, plan.objective, given)),
    cores: {
      slots: job.slots,
      seconds: race.seconds,
      occupied: race.occupied,
      cpu: race.cpu,
      trials: race.results.length,
    },
    notes: [...job.notes],
  };
}

/** Runs of the finalists by optimizer, in the order of the tuning. */
function finalsOf(
  plan: RacePlan,
  tunings: readonly Tuning[],
  results: readonly TrialResult[],
): Map<string, TrialResult[]> {
  return new Map(
    finalistsOf(plan, tunings).map(({ trial }) => [
      trial.optimizer,
      results.filter(
        (r) => r.trial.phase === 'final' && r.trial.optimizer === trial.optimizer && r.trial.lr === trial.lr,
      ),
    ]),
  );
}

function tuningRow({ trial, outcome, message, curve }: TrialResult, metric: string): OptimizerReport['tuning'][number] {
  const value = outcome === 'finished' ? (curve.at(-1)?.metrics[metric] ?? Number.NaN) : Number.NaN;
  return { lr: trial.lr, step: trial.stopStep, outcome, value, ...(message !== undefined && { message }) };
}

function finalRow(run: TrialResult, objective: Objective): OptimizerReport['finals'][number] {
  const { trial, outcome, message, curve } = run;
  return {
    seed: trial.seed,
    outcome,
    ...(message !== undefined && { message }),
    value: finalValue(run, objective.metric),
    secondsToTarget: pointAtTarget(run, objective)?.seconds ?? Number.POSITIVE_INFINITY,
    curve: curve.map((point) => ({ ...point, metrics: { ...point.metrics } })),
  };
}

/** Finalists in the order of the finals, then the others by their tuned value. */
function inOrder(optimizers: OptimizerReport[], order: readonly string[], mode: 'min' | 'max'): OptimizerReport[] {
  const place = ({ optimizer }: OptimizerReport) =>
    order.includes(optimizer) ? order.indexOf(optimizer) : order.length;
  const sign = mode === 'max' ? -1 : 1;
  const tuned = ({ measures }: OptimizerReport) =>
    Number.isNaN(measures.value) ? Number.POSITIVE_INFINITY : sign * measures.value;
  return optimizers.sort((a, b) => place(a) - place(b) || (tuned(a) < tuned(b) ? -1 : tuned(a) > tuned(b) ? 1 : 0));
}

function seedProfiles(
  finals: ReadonlyMap<string, readonly TrialResult[]>,
  objective: Objective,
): JobReport['profiles'] {
  if (objective.target === undefined) return [];
  const runs = [...finals.values()];
  const seeds = (runs[0] ?? [])
    .map(({ trial }) => trial.seed)
    .filter((seed) => runs.every((own) => own.some((r) => r.trial.seed === seed)));
  if (seeds.length === 0) return [];
  const times = [...finals].map(([name, own]): [string, number[]] => [
    name,
    seeds.map((seed) => {
      const run = own.find(({ trial }) => trial.seed === seed);
      return (run && pointAtTarget(run, objective)?.seconds) ?? Number.POSITIVE_INFINITY;
    }),
  ]);
  return performanceProfiles(new Map(times)).map(plainProfile);
}

/** AlgoPerf's profile over jobs: median time to target in the finals, else of the best tuned run; Infinity where it took no part. */
export function jobProfiles(jobs: readonly JobReport[]): Report['profiles'] {
  const names = [...new Set(jobs.flatMap(({ optimizers }) => optimizers.map(({ optimizer }) => optimizer)))];
  const time = (job: JobReport, name: string) =>
    job.optimizers.find(({ optimizer }) => optimizer === name)?.measures.toTarget.seconds ?? Number.POSITIVE_INFINITY;
  const times = new Map(names.map((name) => [name, jobs.map((job) => time(job, name))]));
  return performanceProfiles(times)
    .map(plainProfile)
    .sort((a, b) => b.score - a.score);
}

function plainProfile({
  optimizer,
  ratios,
  steps,
  score,
}: ReturnType<typeof performanceProfiles>[number]): JobReport['profiles'][number] {
  return { optimizer, ratios: [...ratios], steps: steps.map((step) => ({ ...step })), score };
}

function plainCopy({ verdict, optimizer, lr, reasons }: ReturnType<typeof recommend>): JobReport['recommendation'] {
  return {
    verdict,
    reasons: [...reasons],
    ...(optimizer !== undefined && { optimizer }),
    ...(lr !== undefined && { lr }),
  };
}
