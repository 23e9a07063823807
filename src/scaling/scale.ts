import { freemem } from 'node:os';
import { median } from '../compare/statistics.ts';
import { LockstepError } from '../errors.ts';
import { compileKernels } from '../kernels/wasm.ts';
import { packageVersion } from '../train/header.ts';
import type { Job } from '../train/job.ts';
import { resolveJob } from '../train/resolve-job.ts';
import { batchFor } from '../train/shards.ts';
import type { Measured, Point } from './contract.ts';
import { fitAmdahl, rowsOf } from './efficiency.ts';
import { explain, type Peaks } from './explain.ts';
import { factsOf, type JobFacts } from './facts.ts';
import { KernelSpeed } from './kernel-speed.ts';
import { medianCosts, medianLink } from './link-probe.ts';
import { openLocally, openTimedJob, planPoint, sampleNoise, type TimedJob } from './local.ts';
import { describeMachine, type MachineBlock, warnIfCoresMoved, warnIfDrifting, warnIfLoaded } from './machine.ts';
import { HASHED_STEPS, LEAST_SLICE, type MeasureEvent, type Measurement, measure } from './measure.ts';
import { NodeFleet, openOnFleet } from './node-fleet.ts';
import { noiseScale, workersUntilCritical } from './noise-scale.ts';
import { checkSizes, moreShards, planPoints } from './points.ts';
import { costsOf, predict, predictionErrors } from './predict.ts';
import { recordingMs } from './recording-cost.ts';
import { type JobScaling, type NoiseReport, type ScalingReport, sweepOf } from './report.ts';
import type { Exchanged, Link } from './scenario.ts';
import { Stage } from './stage.ts';
import type { WhatIf } from './what-if.ts';

/** A job to be scaled. */
export interface ScaledJob {
  readonly name: string;
  readonly job: Job;
  readonly module?: string | undefined;
  /** Global batch of strong scaling; null: none. Default: the job's. */
  readonly strongBatch?: number | null;
  /** Rows of a worker in weak scaling. Default: the job's batch. */
  readonly weakBatch?: number;
  /** Where node processes find it. */
  readonly nodeJob?: unknown;
}

export interface ScaleOptions {
  readonly workers: readonly number[];
  /** Nobody asked for these numbers: leave out those that would have nothing to do, and say so. Default false. */
  readonly lenient?: boolean;
  /** Numbers of node processes; 1: without sockets. Default [1]. */
  readonly nodes?: readonly number[];
  readonly mode: 'strong' | 'weak' | 'both';
  readonly rounds: number;
  readonly seconds: number;
  readonly steps?: number | undefined;
  readonly whatIf: WhatIf;
  /** Estimate the gradient-noise scale. */
  readonly noise: boolean;
  /** File of the node processes, as URL. */
  readonly nodeEntry: string;
  /** So long nodes may take to join. Default two minutes. */
  readonly joinMs?: number;
  /** Of nodes that are not beside the coordinator. Absent: loopback as it is. */
  readonly link?: (Link & { readonly name: string }) | undefined;
  /** What nodes send, and how often. Default: fp32, in every step. */
  readonly exchanged?: Exchanged | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((job: string, event: MeasureEvent) => void) | undefined;
}

/** Steps between two samples of the noise while it is estimated, and where its cost is said. */
const NOISE_EVERY = 10;
const NOISE_EVERY_OF = 50;
const NOISE_SAMPLES = 60;
/** For encoding and decoding in all formats; no longer than a slice. */
const CODEC_SECONDS = 0.3;
/** Nodes that have not come after so long do not answer. */
const JOIN_MS = 120_000;

/** Measures, explains and predicts how jobs scale. Timelines of the largest points go to `onTimeline`. */
export async function scale(
  jobs: readonly ScaledJob[],
  options: ScaleOptions,
  onTimeline?: (timelines: Measurement['timelines']) => void,
): Promise<ScalingReport> {
  const workers = checkSizes('--workers', options.workers);
  const nodes = checkSizes('--nodes', options.nodes ?? [1]);
  refuseUnusedLink(options.link, nodes);
  const machine = describeMachine();
  warnIfCrowded(machine, workers, nodes);
  const reports: JobScaling[] = [];
  for (const job of jobs) {
    try {
      reports.push(await scaleJob(job, { ...options, workers, nodes }, machine, onTimeline));
    } catch (error) {
      if (!options.signal?.aborted || reports.length === 0) throw error;
    }
    if (options.signal?.aborted) break; // what was measured until then is told
  }
  warnIfLoaded(machine);
  warnIfCoresMoved(machine);
  const stopped = options.signal?.aborted === true;
  if (stopped) machine.warnings.push(stoppedText(jobs, reports, options.rounds));
  return { kind: 'scaling', lockstep: packageVersion(), machine, jobs: reports, ...(stopped && { stopped }) };
}

async function scaleJob(
  scaled: ScaledJob,
  options: ScaleOptions & { readonly nodes: readonly number[] },
  machine: MachineBlock,
  onTimeline: ((timelines: Measurement['timelines']) => void) | undefined,
): Promise<JobScaling> {
  const fleet = fleetOf(scaled, options);
  try {
    return await scaleOn(fleet, scaled, options, machine, onTimeline);
  } finally {
    fleet.close();
  }
}

async function scaleOn(
  fleet: NodeFleet,
  scaled: ScaledJob,
  options: ScaleOptions & { readonly nodes: readonly number[] },
  machine: MachineBlock,
  onTimeline: ((timelines: Measurement['timelines']) => void) | undefined,
): Promise<JobScaling> {
  const { workers, nodes, mode, signal } = options;
  const timed = await openTimedJob(scaled.job, { module: scaled.module, signal });
  const rows = timed.data.train.size;
  const { batchSize } = resolveJob(scaled.job);
  const own = batchSize === 'full' ? rows : Math.min(rows, batchSize);
  const strongBatch = mode === 'weak' || scaled.strongBatch === null ? undefined : (scaled.strongBatch ?? own);
  const weakBatch = mode === 'strong' ? undefined : (scaled.weakBatch ?? own);
  const shards = await shardsByBatch(timed, rows, strongBatch, weakBatch, workers, nodes);
  const probe = await planPoint(timed, { workers: 1, nodes: 1, batch: strongBatch ?? weakBatch ?? own }, 1);
  const { lenient = false } = options;
  const more = {
    batchFor(wanted: number) {
      const batch = batchFor(wanted, probe.compiled.rowsPerSample);
      return batch !== undefined && batch <= rows ? batch : undefined;
    },
    fixedShards: scaled.job.shards !== undefined,
  };
  const points = planPoints({
    workers,
    nodes,
    mode,
    strongBatch,
    weakBatch,
    shardsOf: (batch) => shards.get(batch) ?? 1,
    lenient,
    ...more,
  });
  const idle = strongBatch === undefined || !lenient ? [] : workers.filter((w) => w > (shards.get(strongBatch) ?? 1));
  const first = await planPoint(timed, points[0], 1);
  const speed = new KernelSpeed(first.backend, (await compileKernels({ simd: first.backend.simd })).module);
  const { rounds, seconds, steps, onProgress } = options;
  const local = openLocally(timed);
  const { link, exchanged } = options;
  const remote = openOnFleet(fleet, timed, { joinMs: options.joinMs ?? JOIN_MS, link, exchanged });
  const stage = new Stage((point: Point) => (point.nodes > 1 ? remote : local)(point), freemem() / 2);
  let measured: Measurement;
  try {
    measured = await measure(points, stage, {
      rounds,
      seconds,
      steps,
      machine,
      speed,
      async probe(seconds) {
        const bytes = 4 * first.compiled.gradientSize;
        const wire = await fleet.probe(bytes, seconds, signal);
        return link ? { wire, link: await fleet.probeLink(bytes, link, wire.messageMs, signal) } : { wire };
      },
      signal,
      onProgress: (event) => onProgress?.(scaled.name, event),
    });
  } finally {
    await stage.close();
  }
  onTimeline?.(measured.timelines);
  const { backend } = first;
  machine.kernels[backend.gemm] = backend.blas
    ? [backend.blas.library, backend.blas.version, backend.blas.core].filter(Boolean).join(' ')
    : `wasm ${backend.simd}`;
  machine.gemmGflops[backend.gemm] = median(measured.gflops);
  warnIfDrifting(machine, measured.gflops);

  const peaks: Peaks = { gflops: median(measured.gflops), bandwidth: measured.bandwidth };
  const facts = new Map<Measured, JobFacts>();
  for (const m of measured.points)
    facts.set(m, factsOf(await planPoint(timed, { ...m.point, workers: m.point.workers }, 1)));
  const factsFor = (m: Measured): JobFacts => facts.get(m) ?? factsOf(first);
  const table = rowsOf(measured.points);
  const here = measured.points.filter(({ point, phases }) => point.nodes === 1 && phases.length > 0);
  const largest = largestOf(here);
  const peers = here.filter((m) => m.point.batch === largest?.point.batch && m.shards === largest.shards);
  const wire = largest && !measured.stopped ? medianCosts(measured.probed.map((p) => p.wire)) : undefined;
  const found = medianLink(measured.probed.flatMap((p) => p.link ?? []));
  const codec = wire && speed.codecs(first.compiled.blocks, Math.min(CODEC_SECONDS, seconds));
  const costs = largest && wire && codec && costsOf(peers, measured.timelines.get(largest.point) ?? [], factsFor(largest), wire, codec); // biome-ignore format: one line
  const strong = measured.points.filter(({ point }) => point.roles.includes('strong'));
  const amdahl = fitAmdahl(
    strong
      .filter(({ point }) => point.nodes === 1)
      .map((m) => ({ workers: m.point.workers, stepMs: median(m.roundsMs) })),
  );
  const whatIf = options.whatIf;
  return {
    name: scaled.name,
    parameters: first.compiled.tensors.reduce((sum, { size }) => sum + size, 0),
    ...(strongBatch === undefined ? {} : { strongBatch }),
    ...(weakBatch === undefined ? {} : { weakBatch }),
    ...(link && found ? { link: { name: link.name, ...found } } : {}),
    facts: factsFor(largest ?? measured.points[0]),
    peaks,
    rounds: measured.gflops.length,
    rows: table,
    sweep: sweepOf(measured.points, (m) => (1000 * m.point.batch) / median(m.roundsMs)),
    hashedSteps: measured.points[0].hashedSteps,
    explanations: measured.points
      .filter(({ phases }) => phases.length > 0)
      .map((m) =>
        explain(m, factsFor(m), peaks, singleOf(m, measured.points), (wire?.messageMs ?? 0) + (found?.latencyMs ?? 0)),
      ),
    ...recordingOf(measured.points),
    ...(amdahl ? { amdahl } : {}),
    ...(costs ? { costs } : {}),
    errors: costs
      ? predictionErrors(costs, measured.points, machine.cores, found, exchanged).map(({ point, ...error }) => ({
          workers: point.workers,
          nodes: point.nodes,
          ...error,
        }))
      : [],
    whatIf,
    series: costs ? predict(costs, whatIf.workers ?? Math.max(...workers), whatIf) : [],
    ...(options.noise && largest && !measured.stopped ? await noiseOf(timed, largest) : {}),
    notes: [
      ...shortNote(scaled.job, own, rows),
      ...(idle.length > 0
        ? [
            `strong scaling on ${idle.join(', ')} workers was left out: batch ${strongBatch} makes ${shards.get(strongBatch ?? 0)} shards; ${moreShards(Math.max(...idle), more)} gives all of them something to do`,
          ]
        : []),
      ...first.notes,
    ],
  };
}

/** A job that is over before it could be measured is measured beyond its end. */
function shortNote(job: Job, batch: number, rows: number): string[] {
  const { steps, epochs } = resolveJob(job);
  const total = steps ?? (epochs ?? 1) * Math.ceil(rows / batch);
  const least = HASHED_STEPS + LEAST_SLICE;
  if (total >= least) return [];
  return [`the job has ${total} steps, at least ${least} are needed to measure it: it was measured beyond its end`];
}

/** What writing phases down costs, where it costs most. */
function recordingOf(points: readonly Measured[]): Pick<JobScaling, 'recordingShare'> {
  const shares = points
    .filter(({ phases }) => phases.length > 0)
    .map(({ point, shards, roundsMs }) => {
      const parts = Math.ceil(shards / (point.workers * point.nodes));
      return recordingMs(parts) / median(roundsMs);
    });
  return shares.length === 0 ? {} : { recordingShare: Math.max(...shares) };
}

/** S of every batch that points may have. @throws E_OPTION for a batch that the rows do not fill. */
async function shardsByBatch(
  timed: TimedJob,
  rows: number,
  strongBatch: number | undefined,
  weakBatch: number | undefined,
  workers: readonly number[],
  nodes: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const totals = new Set([1, ...nodes.flatMap((n) => workers.map((w) => n * w))]);
  const batches = new Set([
    ...(strongBatch === undefined ? [] : [strongBatch]),
    ...(weakBatch === undefined ? [] : [...totals].map((n) => n * weakBatch)),
  ]);
  const shards = new Map<number, number>();
  for (const batch of batches) {
    if (batch > rows) {
      throw new LockstepError('E_OPTION', {
        where: 'lockstep scale',
        expected: `at least ${batch} training rows: the batch of ${weakBatch === undefined ? 'a step' : `${Math.max(...totals)} workers with ${weakBatch} rows each`}`,
        got: `${rows} rows`,
        fix: `give a smaller --batch-size (at most ${Math.floor(rows / Math.max(...totals))}), --mode strong, or fewer workers`,
      });
    }
    const plan = await planPoint(timed, { workers: 1, nodes: 1, batch }, 1);
    shards.set(batch, plan.compiled.shards);
  }
  return shards;
}

function refuseUnusedLink(link: ScaleOptions['link'], nodes: readonly number[]): void {
  if (link === undefined || nodes.some((n) => n > 1)) return;
  throw new LockstepError('E_OPTION', {
    where: `--link ${link.name}`,
    expected: 'several nodes, for the first is beside the coordinator',
    got: `--nodes ${nodes.join()}`,
    fix: `give --nodes 1,2, or --what-if nodes=1..64,link=${link.name} to have it predicted`,
  });
}

function fleetOf({ nodeJob }: ScaledJob, { nodes, nodeEntry }: ScaleOptions): NodeFleet {
  if (nodeJob !== undefined || !nodes?.some((n) => n > 1)) return new NodeFleet(nodeEntry, nodeJob);
  throw new LockstepError('E_OPTION', {
    where: '--nodes',
    expected: 'a job in a file, which node processes can load',
    got: 'a job in memory',
    fix: 'give the file of a job, or leave --nodes out',
  });
}

function largestOf(points: readonly Measured[]): Measured | undefined {
  const strong = points.filter(({ point }) => point.roles.includes('strong'));
  return (strong.length > 0 ? strong : points).reduce<Measured | undefined>(
    (most, m) => (most === undefined || m.point.workers > most.point.workers ? m : most),
    undefined,
  );
}

/** What a point is compared with to say where time is lost: the same batch and S on one worker. */
function singleOf(m: Measured, points: readonly Measured[]): Measured | undefined {
  return points.find(
    ({ point, shards }) =>
      point.workers * point.nodes === 1 && point.batch === m.point.batch && shards === m.shards && point !== m.point,
  );
}

async function noiseOf(timed: TimedJob, { point, roundsMs }: Measured): Promise<{ readonly noise?: NoiseReport }> {
  const steps = Math.min(NOISE_EVERY * NOISE_SAMPLES, Math.max(10 * NOISE_EVERY, Math.ceil(5000 / median(roundsMs))));
  const { noise, stepsMs } = await sampleNoise(timed, point, steps, NOISE_EVERY);
  const found = noiseScale(noise);
  if (found === undefined) return {};
  const sampled = stepsMs.filter((_, i) => (i + 1) % NOISE_EVERY === 0);
  const plain = median(stepsMs.filter((_, i) => (i + 1) % NOISE_EVERY !== 0));
  const rowsPerWorker = point.batch / point.workers;
  return {
    noise: {
      ...found,
      steps,
      every: NOISE_EVERY,
      costShare: (median(sampled) - plain) / (NOISE_EVERY_OF * plain),
      everyOf: NOISE_EVERY_OF,
      rowsPerWorker,
      workers: workersUntilCritical(found, rowsPerWorker),
    },
  };
}

function stoppedText(jobs: readonly ScaledJob[], reports: readonly JobScaling[], rounds: number): string {
  const last = reports[reports.length - 1];
  const missing = jobs.slice(reports.length).map(({ name }) => name);
  const without = missing.length > 0 ? `; nothing of ${missing.join(', ')}` : '';
  return `stopped: ${last.name} in round ${last.rounds} of ${rounds}, rows of which no round was over are missing${without}`;
}

function warnIfCrowded(machine: MachineBlock, workers: readonly number[], nodes: readonly number[]): void {
  const most = Math.max(...workers) * Math.max(...nodes);
  if (most <= machine.cores) return;
  machine.warnings.push(`${most} workers share ${machine.cores} cores: their rows say nothing about more cores`);
}
