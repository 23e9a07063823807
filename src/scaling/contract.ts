import { PHASES, type PhaseName, type RoundSpan, type RoundTimes, type WorkerStep } from '../parallel/timeline.ts';

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

/**
 * A point whose threads, and node processes, stay: it is run for a while, waits, and goes on where it stood. What is timed is steps, not
 * starting, and slices of several points take turns.
 */
export interface KeptPoint {
  /** Goes on for so many steps; milliseconds of each that had a whole batch. Rejects when the run cannot go on. */
  run(steps: number): Promise<readonly number[]>;
  /** S. This and the following: while it waits. */
  readonly shards: number;
  /** SHA-256 of the parameters as they are. */
  hash(): string;
  /** What each worker did in the last steps of the last slice: read while nothing runs, so that it costs the steps nothing. */
  timeline(): Promise<readonly NodeStep[]>;
  /** Memory that it takes. */
  readonly bytes: number;
  /** Ends threads and processes. */
  close(): Promise<void>;
}

/** Starts a point: in this process, or on real node processes. */
export type OpenPoint = (point: Point) => Promise<KeptPoint>;

/** A worker's step; nodes are numbered from 1, 0 is the coordinator, or the process that is alone. */
export type NodeStep = WorkerStep & {
  readonly node?: number;
  /** Where there are several machines: what the process's main thread did for it. */
  readonly round?: RoundTimes;
  /** Of a node: milliseconds until the parameters of its next round began to come. */
  readonly periodMs?: number;
};

/** What a step consists of on a worker, what its process's main thread does for it included. */
export type StepPhase = PhaseName | Exclude<RoundSpan['name'], 'wait'>;

const LAST: PhaseName = 'waitParameters';
/** In order. */
export const STEP_PHASES: readonly StepPhase[] = [
  'receive',
  ...PHASES.filter((name) => name !== LAST),
  'serialise',
  'send',
  LAST,
];

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
  readonly ms: Readonly<Record<StepPhase, number>>;
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
