import type { NoiseSample } from '../parallel/noise-sampler.ts';
import type { PhaseName, WorkerStep } from '../parallel/timeline.ts';

/** Something to be timed: so many workers on so many nodes, on a global batch cut into S shards. */
export interface Point {
  /** Workers of each node. */
  readonly workers: number;
  /** 1: this process alone, without sockets. */
  readonly nodes: number;
  /** Rows of a step, all workers together. */
  readonly batch: number;
  /** Absent: the job's default S for this batch. */
  readonly shards?: number;
  /** What it is timed for. */
  readonly roles: readonly PointRole[];
}

/** Scaling at a fixed batch, scaling with a batch that grows with the workers, one worker with another S than the default. */
export type PointRole = 'strong' | 'weak' | 'sweep';

/** One stretch of steps of a point. */
export interface Slice {
  /** Milliseconds of every step with a whole batch, warm-up included. */
  readonly stepsMs: readonly number[];
  readonly shards: number;
  /** After the last step. */
  readonly parametersSha256: string;
  /** What each worker did when; empty unless asked for. Nodes are numbered from 0, the coordinator's. */
  readonly timeline: readonly NodeStep[];
  /** Likewise. */
  readonly noise: readonly NoiseSample[];
}

/** What to look at while steps run; none of it is looked at while they are timed. */
export interface Wanted {
  readonly timeline?: boolean;
  /** Steps between two samples of the gradient noise. */
  readonly noiseEvery?: number;
}

export type NodeStep = WorkerStep & { readonly node?: number };

/** Runs a point for so many steps: in this process, or on real node processes. */
export type RunPoint = (point: Point, steps: number, want?: Wanted) => Promise<Slice>;

/** A point with what was measured of it. */
export interface Measured {
  readonly point: Point;
  readonly shards: number;
  /** Median step of each round, in order: rounds are interleaved, so that they can be compared one by one. */
  readonly roundsMs: readonly number[];
  /** Of the first steps: the same for every point of the same batch and S. */
  readonly parametersSha256: string;
  readonly hashedSteps: number;
  /** What each worker did, if that was looked at. */
  readonly phases: readonly WorkerPhases[];
}

/** Median milliseconds of each phase on one worker. */
export interface WorkerPhases {
  readonly node: number;
  readonly rank: number;
  readonly stepMs: number;
  readonly ms: Readonly<Record<PhaseName, number>>;
}

/** What kind of scaling a row shows. */
export type RowMode = 'strong' | 'equal-shards' | 'weak';

/** A line of the table: throughput, and efficiency against the row's reference. */
export interface Row {
  readonly mode: RowMode;
  readonly workers: number;
  readonly nodes: number;
  readonly batch: number;
  readonly shards: number;
  readonly samplesPerSec: number;
  /** Of the slowest and of the fastest round. */
  readonly spread: readonly [number, number];
  readonly stepMs: number;
  /** Throughput / (workers on all nodes x that of one worker). */
  readonly efficiency: number;
  /** The one worker it is compared with. */
  readonly reference: { readonly batch: number; readonly shards: number };
  readonly parametersSha256: string;
}
