import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LockstepError } from '../errors.ts';
import { toLine } from '../record/jsonl.ts';
import { describeJob, runHeader } from '../train/header.ts';
import type { Job } from '../train/job.ts';
import { planRun, type RunPlan } from '../train/plan-run.ts';
import { type Candidates, commonFirst, findCandidates, findObjective } from './candidates.ts';
import type { RacePlan, Slot, TrialResult } from './contract.ts';
import { renderReport } from './html.ts';
import { Journal } from './journal.ts';
import { costOf, estimateSeconds, fitBudget, fitField, planRace, type RaceSettings } from './plan.ts';
import { raceSize, trialOf } from './planner.ts';
import { runRace } from './race.ts';
import { type JobReport, jobProfiles, jobReport, type Report } from './report.ts';

/** Training seconds of a calibration trial. */
const CALIBRATION_SECONDS = 2;
/** Share of the budget that calibration may take. */
const CALIBRATION_SHARE = 0.05;

export const REPORT_JSON = 'report.json';
export const REPORT_HTML = 'report.html';

/** A job that takes part. */
export interface ComparedJob {
  /** Short name, for folders and headings. */
  readonly name: string;
  readonly job: Job;
  /** URL of its module, for custom code. */
  readonly module?: string;
  /** A process (or whatever stands for one) that runs trials of this job. */
  openSlot(): Slot;
}

export interface CompareOptions {
  readonly jobs: readonly ComparedJob[];
  /** Journal, report.json and report.html go here. */
  readonly runDir: string;
  /** Go on with what runDir holds; else it must hold no comparison. */
  readonly resume?: boolean;
  /** Kinds; default: all of the catalogue that can train the job. */
  readonly optimizers?: readonly string[];
  /** First learning rates of every optimizer; default: five around its own default. */
  readonly learningRates?: readonly number[];
  readonly target?: { readonly metric: string; readonly value: number };
  /** What to compare by where there is no target. */
  readonly metric?: string;
  /** Fresh seeds of the finals. Default 8. */
  readonly seeds?: number;
  /** Default 4: of six pairs, eight seeds can still show one difference. */
  readonly finalists?: number;
  /** Wall-clock seconds for everything. Default: none, whole runs whatever they take. */
  readonly budgetSeconds?: number;
  /** Trials at a time. */
  readonly slots: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: CompareEvent) => void;
}

export type CompareEvent =
  | { kind: 'plan'; job: string; plan: RacePlan; trials: number; known: number; estimateSeconds: number | undefined }
  | { kind: 'trial'; job: string; result: TrialResult; done: number; trials: number }
  | { kind: 'note'; text: string };

export const DEFAULT_SEEDS = 8;
export const DEFAULT_FINALISTS = 4;

/** One job, checked: every error of the request is known by now. */
interface Prepared {
  readonly compared: ComparedJob;
  readonly run: RunPlan;
  readonly settings: RaceSettings;
  readonly candidates: Candidates;
  readonly folder: string;
  readonly request: Readonly<Record<string, unknown>>;
}

/**
 * Races optimizers on jobs and reports which one to use. All jobs are checked before anything is trained. Aborted or out of
 * time, it reports what is there; results are in the journal and `resume` goes on.
 *
 * @throws LockstepError for a wrong request or job.
 */
export async function compare(options: CompareOptions): Promise<Report> {
  const prepared: Prepared[] = [];
  for (const compared of options.jobs) prepared.push(await prepare(compared, options));
  for (const one of prepared) await checkFolder(one, options);
  const started = performance.now();
  const reports: JobReport[] = [];
  for (const [index, one] of prepared.entries()) {
    const left =
      options.budgetSeconds === undefined ? undefined : options.budgetSeconds - (performance.now() - started) / 1000;
    reports.push(await raceJob(one, options, left === undefined ? undefined : left / (prepared.length - index)));
    if (options.signal?.aborted) break;
  }
  const report = assemble(prepared[0].run, reports);
  await mkdir(options.runDir, { recursive: true });
  await writeFile(join(options.runDir, REPORT_JSON), toLine(report));
  await writeFile(join(options.runDir, REPORT_HTML), renderReport(report));
  return report;
}

async function prepare(compared: ComparedJob, options: CompareOptions): Promise<Prepared> {
  const { job, module, name } = compared;
  const run = await planRun(job, { workers: 1, module, signal: options.signal });
  const objective = findObjective(job, run, options);
  const candidates = findCandidates(job, run, options.optimizers, options.learningRates);
  const seeds = options.seeds ?? DEFAULT_SEEDS;
  const finalists = options.finalists ?? DEFAULT_FINALISTS;
  const settings: RaceSettings = {
    objective,
    entries: candidates.taking.map(({ optimizer, grid }) => ({ optimizer, grid })),
    totalSteps: run.compiled.totalSteps,
    seed: run.job.seed,
    finalSeeds: seeds,
    finalists,
  };
  const fingerprint = createHash('sha256')
    .update(JSON.stringify(describeJob(run)))
    .digest('hex');
  const request = { job: fingerprint, ...settings, target: options.target ?? null };
  const folder = options.jobs.length === 1 ? options.runDir : join(options.runDir, name);
  return { compared, run, settings, candidates, folder, request };
}

async function checkFolder({ folder, request }: Prepared, options: CompareOptions): Promise<void> {
  const earlier = await Journal.read(folder);
  if (!earlier) return;
  if (!options.resume) {
    throw new LockstepError('E_RUN_DIR', {
      where: `folder ${folder}`,
      expected: 'a folder without a comparison',
      got: `one with ${earlier.results.length} results`,
      fix: '--resume goes on with it; --run-dir names another folder',
    });
  }
  const plain: Record<string, unknown> = JSON.parse(JSON.stringify(request));
  const other = Object.keys(plain).find((key) => JSON.stringify(plain[key]) !== JSON.stringify(earlier.request[key]));
  if (other === undefined) return;
  throw new LockstepError('E_RESUME', {
    where: `comparison in ${folder}`,
    expected: `the same ${other} as it was begun with`,
    got: other === 'job' ? 'a job that has changed' : JSON.stringify(plain[other]),
    fix: 'go on with the same job and options, or begin anew in another --run-dir',
  });
}

async function raceJob(
  prepared: Prepared,
  options: CompareOptions,
  budgetSeconds: number | undefined,
): Promise<JobReport> {
  const { compared, run, settings, candidates, folder, request } = prepared;
  const notes: string[] = [];
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  const slots = Array.from({ length: options.slots }, () => compared.openSlot());
  try {
    const earlier = await Journal.read(folder);
    const { plan, estimate } = earlier
      ? { plan: earlier.plan, estimate: undefined }
      : await choosePlan(prepared, options, slots, budgetSeconds);
    const journal = earlier ? await Journal.reopen(folder) : await Journal.create(folder, request, plan);
    const field = withinBudget(candidates, plan);
    if (field.left.length > candidates.left.length) {
      const names = field.taking.map(({ optimizer }) => optimizer).join(', ');
      options.onProgress?.({ kind: 'note', text: `${compared.name}: the budget has room for ${names}` });
    }
    const { trials } = raceSize(plan);
    const known = earlier?.results.length ?? 0;
    options.onProgress?.({ kind: 'plan', job: compared.name, plan, trials, known, estimateSeconds: estimate });
    let done = known;
    const race = await runRace({
      plan,
      done: earlier?.results ?? [],
      slots,
      signal: options.signal,
      budgetSeconds: budgetSeconds === undefined ? undefined : Math.max(0, budgetSeconds - elapsed()),
      onResult: async (result) => {
        await journal.add(result);
        done += 1;
        options.onProgress?.({ kind: 'trial', job: compared.name, result, done, trials });
      },
    });
    if (known > 0) notes.push(`${known} results come from an earlier run of this comparison.`);
    return jobReport({
      name: compared.name,
      plan,
      candidates: field,
      race,
      slots: options.slots,
      stepsOfJob: settings.totalSteps,
      batchSize: run.compiled.batchSize,
      parameters: run.compiled.tensors.reduce((sum, { size }) => sum + size, 0),
      notes,
    });
  } finally {
    for (const slot of slots) slot.close();
  }
}

/** The candidates as the plan has them: those that it left out had no room in the budget. */
function withinBudget({ taking, left }: Candidates, plan: RacePlan): Candidates {
  const planned = new Set(plan.entries.map(({ optimizer }) => optimizer));
  const reason = 'no room for it in the budget: give more time, or name it with --optimizers';
  const out = taking.filter(({ optimizer }) => !planned.has(optimizer));
  return {
    taking: taking.filter(({ optimizer }) => planned.has(optimizer)),
    left: [...left, ...out.map(({ optimizer }) => ({ optimizer, reason }))],
  };
}

/**
 * Without a budget whole runs; with one, as much as fits by the cost of a trial, which two short ones in each slot measure. Where even
 * the shortest runs of all optimizers do not fit, and the user named none, the less common ones are left out.
 */
async function choosePlan(
  { settings, run, compared }: Prepared,
  { signal, optimizers }: CompareOptions,
  slots: readonly Slot[],
  budgetSeconds: number | undefined,
): Promise<{ plan: RacePlan; estimate: number | undefined }> {
  if (budgetSeconds === undefined || signal?.aborted) return { plan: planRace(settings), estimate: undefined };
  const whole = planRace(settings);
  const started = performance.now();
  const seconds = Math.min(CALIBRATION_SECONDS, CALIBRATION_SHARE * budgetSeconds);
  const stop = () => {
    for (const slot of slots) slot.close();
  };
  signal?.addEventListener('abort', stop);
  const { entries } = settings;
  const results = await Promise.all(
    slots.map(async (slot, i) => {
      const { optimizer, grid } = entries[Math.floor((i * entries.length) / slots.length)];
      const lr = grid[grid.length >> 1];
      const trial = trialOf(whole, 'calibrate', optimizer, lr, settings.seed, settings.totalSteps);
      const cold = await slot.run(trial, { seconds: 0 });
      const warm = cold && (await slot.run(trial, { seconds }));
      return cold && warm && { cold, warm };
    }),
  );
  signal?.removeEventListener('abort', stop);
  const measured = results.flatMap((result) => result ?? []);
  const cost = costOf(measured, { batch: run.compiled.batchSize, validation: run.data.validation?.size ?? 0 });
  if (cost === undefined) {
    const crashed = measured.find(({ warm }) => warm.outcome === 'crashed');
    if (crashed) throw cannotTrain(crashed.warm);
    return { plan: whole, estimate: undefined };
  }
  const left = budgetSeconds - (performance.now() - started) / 1000;
  const ordered = { ...settings, entries: commonFirst(entries, compared.job.optimizer.kind) };
  const field = optimizers === undefined ? fitField(ordered, cost, slots.length, left) : settings;
  const plan = fitBudget(field, cost, slots.length, left);
  return { plan, estimate: estimateSeconds(plan, cost, slots.length) };
}

function cannotTrain({ trial, message }: TrialResult): LockstepError {
  return new LockstepError('E_WORKER', {
    where: `first trial (${trial.optimizer}, lr ${trial.lr})`,
    expected: 'a job that trains',
    got: message ?? 'a crash',
    fix: 'see whether `lockstep train` runs the job',
  });
}

function assemble(run: RunPlan, jobs: readonly JobReport[]): Report {
  const { versions, machine, kernels } = runHeader(run);
  return {
    kind: 'lockstep-comparison',
    version: 1,
    lockstep: versions.lockstep,
    createdAt: new Date().toISOString(),
    machine: {
      cpu: machine.cpu,
      cores: machine.cores,
      platform: machine.platform,
      node: versions.node,
      gemm: kernels.gemm,
    },
    jobs: [...jobs],
    ...(jobs.length > 1 && { profiles: jobProfiles(jobs) }),
  };
}
