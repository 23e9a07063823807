import { median } from '../compare/statistics.ts';
import { LockstepError } from '../errors.ts';
import type { Measured, NodeStep, Point, RunPoint, Slice } from './contract.ts';
import type { KernelSpeed } from './kernel-speed.ts';
import { type MachineBlock, watchOthers } from './machine.ts';
import { phasesByWorker } from './phases.ts';

/** Steps that a point runs first: they give its hash and how long a step takes. */
export const HASHED_STEPS = 20;
/** Fewest steps of a slice that count, whatever they take. */
export const LEAST_STEPS = 20;
/** Share of a slice's time, and fewest steps, that warm it up and are dropped. */
const WARM_UP = 0.2;
const LEAST_WARM_UP = 5;
/** Edge of the square matrices whose product watches the speed of a core. */
const GEMM_SIZE = 768;
/** Most steps of a slice in which phases are looked at. */
const PHASE_STEPS = 300;

export interface MeasureOptions {
  readonly rounds: number;
  /** Measured seconds of a point and round. */
  readonly seconds: number;
  /** Most steps of a slice; undefined: as many as the time has. */
  readonly steps?: number | undefined;
  readonly machine: MachineBlock;
  readonly speed: KernelSpeed;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: MeasureEvent) => void) | undefined;
}

export type MeasureEvent =
  | {
      readonly kind: 'calibrated';
      readonly point: Point;
      readonly stepMs: number;
      readonly done: number;
      readonly all: number;
    }
  | { readonly kind: 'round'; readonly round: number; readonly rounds: number };

export interface Measurement {
  readonly points: readonly Measured[];
  /** GFLOP/s of one core, each round; GB/s. */
  readonly gflops: readonly number[];
  readonly bandwidth: number;
  /** Of the quickest slice of each point in which phases were looked at. */
  readonly timelines: ReadonlyMap<Point, readonly NodeStep[]>;
}

/**
 * Times points in interleaved rounds: forward, then backward, so that none always follows the same neighbour and a machine that slows
 * down slows all. Each point first runs a few steps, from which its hash is taken.
 *
 * @throws E_OPTION where `steps` is too few to measure, E_ABORTED.
 */
export async function measure(points: readonly Point[], run: RunPoint, options: MeasureOptions): Promise<Measurement> {
  const { rounds, seconds, machine, speed, onProgress } = options;
  refuseTooShort(options.steps);
  const entries = [];
  for (const [i, point] of points.entries()) {
    refuseAbort(options.signal);
    const first = await run(point, HASHED_STEPS);
    refuseAbort(options.signal);
    const stepMs = median(first.stepsMs.slice(LEAST_WARM_UP));
    const looks = point.roles.some((role) => role !== 'sweep');
    const steps = stepsFor(stepMs, seconds, options.steps);
    entries.push({ point, first, steps, looks, timeline: [] as readonly NodeStep[], roundsMs: [] as number[] });
    onProgress?.({ kind: 'calibrated', point, stepMs, done: i + 1, all: points.length });
  }
  const gflops: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await watchOthers(machine, 100);
    gflops.push(speed.gflops(GEMM_SIZE, 0.1));
    onProgress?.({ kind: 'round', round: round + 1, rounds });
    for (const entry of round % 2 === 0 ? entries : entries.toReversed()) {
      const slice = await run(entry.point, entry.steps);
      refuseAbort(options.signal);
      entry.roundsMs.push(stepOf(slice));
      if (entry.looks) entry.timeline = quicker(entry.timeline, await lookAt(run, entry.point, entry.steps));
      refuseAbort(options.signal);
    }
  }
  const timelines = new Map(entries.map(({ point, timeline }) => [point, timeline]));
  const measured = entries.map(
    ({ point, first, roundsMs, timeline }): Measured => ({
      point,
      shards: first.shards,
      roundsMs,
      parametersSha256: first.parametersSha256,
      hashedSteps: HASHED_STEPS,
      phases: phasesByWorker(timeline),
    }),
  );
  return { points: measured, gflops, bandwidth: speed.bandwidth(0.3), timelines };
}

/** Phases are looked at apart from what is timed, for the main thread needs a core for it. Warm-up is dropped. */
async function lookAt(run: RunPoint, point: Point, steps: number): Promise<NodeStep[]> {
  const looked = Math.max(LEAST_STEPS, Math.min(PHASE_STEPS, Math.ceil(steps / 4)));
  const { timeline } = await run(point, looked, { timeline: true });
  return timeline.filter(({ step }) => step > Math.max(LEAST_WARM_UP, WARM_UP * looked));
}

/** Of the rounds the one that nobody disturbed most. */
function quicker(a: readonly NodeStep[], b: readonly NodeStep[]): readonly NodeStep[] {
  const typical = (steps: readonly NodeStep[]) => median(steps.map(({ start, done }) => done - start));
  return a.length === 0 || typical(b) < typical(a) ? b : a;
}

function stepsFor(stepMs: number, seconds: number, most: number | undefined): number {
  const wanted = Math.ceil((1000 * seconds * (1 + WARM_UP)) / Math.max(stepMs, 1e-3));
  return Math.min(most ?? Number.POSITIVE_INFINITY, Math.max(LEAST_STEPS + LEAST_WARM_UP, wanted));
}

/** The median step after the warm-up. */
function stepOf({ stepsMs }: Slice): number {
  return median(stepsMs.slice(Math.max(LEAST_WARM_UP, Math.floor((WARM_UP / (1 + WARM_UP)) * stepsMs.length))));
}

function refuseTooShort(steps: number | undefined): void {
  const least = LEAST_STEPS + LEAST_WARM_UP;
  if (steps === undefined || steps >= least) return;
  throw new LockstepError('E_OPTION', {
    where: `--steps ${steps}`,
    expected: `at least ${least} steps: ${LEAST_WARM_UP} to warm up, ${LEAST_STEPS} to be measured`,
    got: String(steps),
    fix: `give --steps ${least} or more, or leave it out`,
  });
}

function refuseAbort(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new LockstepError('E_ABORTED', {
    where: 'lockstep scale',
    expected: 'to measure to the end',
    got: 'an abort',
    fix: 'run it again; fewer --rounds or --seconds take less time',
  });
}
