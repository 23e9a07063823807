import { median } from '../compare/statistics.ts';
import { LockstepError } from '../errors.ts';
import type { Measured, NodeStep, Point } from './contract.ts';
import type { KernelSpeed } from './kernel-speed.ts';
import { type MachineBlock, watchOthers } from './machine.ts';
import { phasesByWorker } from './phases.ts';
import type { Link, WireCosts } from './scenario.ts';
import type { Stage } from './stage.ts';

/** Steps that a point runs first: they give its hash and how long a step takes. */
export const HASHED_STEPS = 20;
/** Fewest steps of a slice that count, whatever they take. */
const LEAST_STEPS = 20;
/** Share of a slice's time, and fewest steps, that warm it up and are dropped. */
const WARM_UP = 0.2;
const LEAST_WARM_UP = 5;
/**
 * Several processes warm up for so long before the first round, but for no more than so many slices: what frames and sends messages is compiled in
 * the course of some hundred steps.
 */
const [NODES_WARM_UP_SECONDS, NODES_WARM_UP_SLICES] = [4, 5];
/** Of the probe in each round, for each direction; no longer than a slice. */
const PROBE_SECONDS = 0.15;
/** Fewest steps of a slice, warm-up included. */
export const LEAST_SLICE = LEAST_STEPS + LEAST_WARM_UP;
/** Edge of the square matrices whose product watches the speed of a core. */
const GEMM_SIZE = 768;

export interface MeasureOptions {
  readonly rounds: number;
  /** Measured seconds of a point and round. */
  readonly seconds: number;
  /** Most steps of a slice; undefined: as many as the time has. */
  readonly steps?: number | undefined;
  readonly machine: MachineBlock;
  readonly speed: KernelSpeed;
  /** What sockets cost and how fast the link is, where there is one; looked at in every round. */
  readonly probe: (seconds: number) => Promise<Probed>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: MeasureEvent) => void) | undefined;
}

/** What was found out about the sockets between two processes. */
export interface Probed {
  readonly wire: WireCosts;
  readonly link?: Link;
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
  /** Each round. */
  readonly probed: readonly Probed[];
  /** Of the slice with the median step of each point whose phases were looked at. */
  readonly timelines: ReadonlyMap<Point, readonly NodeStep[]>;
  /** It was stopped before the last round. */
  readonly stopped: boolean;
}

/**
 * Times points in interleaved rounds: forward, then backward, so that none always follows the same neighbour and a machine that slows
 * down slows all. Each point first runs a few steps, from which its hash is taken. After an abort the rounds so far count, where there is one.
 *
 * @throws E_OPTION where `steps` is too few to measure, E_ABORTED.
 */
export async function measure(
  points: readonly Point[],
  stage: Stage<Point>,
  options: MeasureOptions,
): Promise<Measurement> {
  const { seconds, speed, signal, onProgress } = options;
  refuseTooShort(options.steps);
  const entries: Entry[] = [];
  for (const [i, point] of points.entries()) {
    refuseAbort(signal);
    const { kept, stepsMs } = await stage.run(point, HASHED_STEPS);
    const stepMs = median(stepsMs.slice(Math.min(LEAST_WARM_UP, stepsMs.length - 1)));
    const steps = stepsFor(stepMs, seconds, options.steps);
    const hash = kept.hash();
    if (point.nodes > 1) {
      const warmUp = Math.min(NODES_WARM_UP_SECONDS, NODES_WARM_UP_SLICES * seconds);
      await stage.run(point, stepsFor(stepMs, warmUp, options.steps));
    }
    const looks = point.roles.some((role) => role !== 'sweep');
    entries.push({ point, steps, looks, shards: kept.shards, hash, timelines: [], roundsMs: [] });
    onProgress?.({ kind: 'calibrated', point, stepMs, done: i + 1, all: points.length });
  }
  const gflops: number[] = [];
  const probed: Probed[] = [];
  let stopped = false;
  try {
    await runRounds(entries, stage, gflops, probed, options);
  } catch (error) {
    // What was measured until then is worth as much as before.
    if (!signal?.aborted) throw error;
    if (!entries.some(({ roundsMs }) => roundsMs.length > 0)) refuseAbort(signal);
    stopped = true;
  }
  const measured = entries
    .filter(({ roundsMs }) => roundsMs.length > 0)
    .map((entry) => ({ ...entry, timeline: typical(entry.timelines) }));
  return {
    points: measured.map(
      ({ point, shards, hash, roundsMs, timeline }): Measured => ({
        point,
        shards,
        roundsMs,
        parametersSha256: hash,
        hashedSteps: HASHED_STEPS,
        phases: phasesByWorker(timeline),
      }),
    ),
    gflops,
    probed,
    bandwidth: speed.bandwidth(Math.min(0.3, seconds)),
    timelines: new Map(measured.map(({ point, timeline }) => [point, timeline])),
    stopped,
  };
}

/** A point that takes part in the rounds. */
interface Entry {
  readonly point: Point;
  readonly steps: number;
  readonly looks: boolean;
  readonly shards: number;
  readonly hash: string;
  readonly roundsMs: number[];
  readonly timelines: (readonly NodeStep[])[];
}

async function runRounds(
  entries: readonly Entry[],
  stage: Stage<Point>,
  gflops: number[],
  probed: Probed[],
  { rounds, seconds, machine, speed, probe, signal, onProgress }: MeasureOptions,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await watchOthers(machine, 100);
    refuseAbort(signal);
    gflops.push(speed.gflops(GEMM_SIZE, Math.min(0.1, seconds)));
    onProgress?.({ kind: 'round', round: round + 1, rounds });
    probed.push(await probe(Math.min(PROBE_SECONDS, seconds)));
    refuseAbort(signal);
    for (const entry of round % 2 === 0 ? entries : entries.toReversed()) {
      const { kept, stepsMs } = await stage.run(entry.point, entry.steps);
      refuseAbort(signal); // it may have ended early
      entry.roundsMs.push(stepOf(stepsMs));
      if (!entry.looks) continue;
      // What it was doing comes out of memory, when it waits again.
      const timeline = await kept.timeline();
      const warm = Math.max(LEAST_WARM_UP, WARM_UP * entry.steps);
      const first = (timeline.at(-1)?.step ?? 0) - entry.steps + warm;
      entry.timelines.push(timeline.filter(({ step }) => step > first));
    }
  }
}

/** Of the rounds the one with the median step: what is explained and predicted from is what was measured. */
function typical(timelines: readonly (readonly NodeStep[])[]): readonly NodeStep[] {
  const stepMs = (steps: readonly NodeStep[]) => median(steps.map(({ start, done }) => done - start));
  const ordered = timelines.filter((steps) => steps.length > 0).sort((a, b) => stepMs(a) - stepMs(b));
  return ordered[(ordered.length - 1) >> 1] ?? [];
}

function stepsFor(stepMs: number, seconds: number, most: number | undefined): number {
  const wanted = Math.ceil((1000 * seconds * (1 + WARM_UP)) / Math.max(stepMs, 1e-3));
  return Math.min(most ?? Number.POSITIVE_INFINITY, Math.max(LEAST_SLICE, wanted));
}

/** The median step after the warm-up. */
function stepOf(stepsMs: readonly number[]): number {
  const warm = Math.max(LEAST_WARM_UP, Math.floor((WARM_UP / (1 + WARM_UP)) * stepsMs.length));
  return median(stepsMs.slice(Math.min(warm, stepsMs.length - 1)));
}

function refuseTooShort(steps: number | undefined): void {
  const least = LEAST_SLICE;
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
