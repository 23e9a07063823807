import { treeSum } from './gradient-tree.ts';
import { innerSteps } from './inner-steps.ts';
import type { Session } from './session.ts';
import type { StepPlan } from './step-plan.ts';
import type { WorkerState } from './worker-state.ts';

/** Running mean and variance of one layer: where they lie, and the moments that they follow. */
export interface RunningStatistic {
  readonly channels: number;
  /** Element offsets in the flat vector of parameters. */
  readonly mean: number;
  readonly variance: number;
  /** Weight of the newest batch. */
  readonly momentum: number;
  /** Of each call of the layer, doubles from the beginning of a shard's moments to its f64 [sums, sums of squares, count]. */
  readonly moments: readonly number[];
}

/** Elements of the flat vector that are buffers: they lie behind all parameters. */
export function bufferRange({ buffers }: Pick<Session, 'buffers'>): { start: number; length: number } {
  const start = buffers.reduce((least, { offset }) => Math.min(least, offset), Number.POSITIVE_INFINITY);
  const end = buffers.reduce((most, { offset, size }) => Math.max(most, offset + size), 0);
  return buffers.length === 0 ? { start: 0, length: 0 } : { start, length: end - start };
}

/** The statistics after steps of one parity. */
function runningAfter({ memory, layout, buffers }: Session, step: number): Float32Array {
  const { length } = bufferRange({ buffers });
  return new Float32Array(memory.buffer, layout.running + 4 * length * (step % 2), length);
}

function published(session: Session, vector = session.layout.parameters): Float32Array {
  const { start, length } = bufferRange(session);
  return new Float32Array(session.memory.buffer, vector + 4 * start, length);
}

/** The statistics that lie with the parameters are those after `step`: training goes on from them. No worker may be in a step. */
export function takeUpStatistics(session: Session, step: number): void {
  runningAfter(session, step).set(published(session));
}

/**
 * With local steps the moments are those of the last step of a round; so that the statistics forget as fast as with those of each, they weigh more.
 */
function weightOf(momentum: number, steps: number): number {
  if (steps === 1) return momentum;
  let kept = 1;
  for (let i = 0; i < steps; i++) kept *= 1 - momentum;
  return 1 - kept;
}

/**
 * Running statistics of normalisation layers. Steps of even and odd number write places of their own and read the other's, so a
 * step may be done again and counts once. Evaluations, snapshots and checkpoints see the copy beside the parameters, which is
 * written when a step is committed.
 */
export class RunningStatistics {
  readonly #statistics: readonly RunningStatistic[];
  readonly #mine: readonly RunningStatistic[];
  readonly #moments: Float64Array;
  readonly #stride: number;
  readonly #shards: number;
  readonly #start: number;
  readonly #running: readonly [even: Float32Array, odd: Float32Array];
  readonly #published: Float32Array;
  readonly #evaluated: Float32Array | undefined;

  readonly #stepsOf: (t: number) => number;

  constructor({ session, rank, sampler }: Pick<WorkerState, 'session' | 'rank' | 'sampler'>) {
    const { statistics, workers, shards, layout, memory, momentBytes } = session;
    const { pace, totalSteps } = session;
    const course = { stepsPerEpoch: sampler.stepsPerEpoch, totalSteps };
    this.#stepsOf = (t) => (pace === undefined ? 1 : innerSteps(t, pace, course).count);
    this.#statistics = statistics;
    this.#mine = statistics.filter((_, i) => i % workers === rank);
    this.#stride = momentBytes / 8;
    this.#shards = shards;
    this.#moments = new Float64Array(memory.buffer, layout.moments, shards * this.#stride);
    this.#start = bufferRange(session).start;
    this.#running = [runningAfter(session, 0), runningAfter(session, 1)];
    this.#published = published(session);
    this.#evaluated = layout.evaluated === layout.parameters ? undefined : published(session, layout.evaluated);
  }

  /** Phase 2: those of my layers after step t, from those before it and the moments of all shards. May be repeated. */
  reduce(t: number, { nonEmpty }: StepPlan): void {
    const before = this.#running[(t - 1) % 2];
    const after = this.#running[t % 2];
    const steps = this.#stepsOf(t);
    for (const { channels, mean, variance, momentum, moments } of this.#mine) {
      const weight = weightOf(momentum, steps);
      const count = this.#sum(moments, 2 * channels, nonEmpty);
      for (let c = 0; c < channels; c++) {
        const centre = this.#sum(moments, c, nonEmpty) / count;
        const squares = this.#sum(moments, channels + c, nonEmpty);
        // Unbiased, as PyTorch keeps it; one element alone says nothing about the spread.
        const spread = Math.max(squares - count * centre * centre, 0) / Math.max(count - 1, 1);
        const m = mean - this.#start + c;
        const v = variance - this.#start + c;
        after[m] = before[m] + weight * (centre - before[m]);
        after[v] = before[v] + weight * (spread - before[v]);
      }
    }
  }

  /** A step that learned nothing leaves them as they were. By one worker, when all have reduced. */
  keep(t: number): void {
    this.#running[t % 2].set(this.#running[(t - 1) % 2]);
  }

  /** Those after `step` become what everybody else sees. By one worker. */
  publish(step: number): void {
    if (this.#statistics.length > 0) this.#published.set(this.#running[step % 2]);
  }

  /** Beside the parameters to evaluate with, where these are others than those that are trained. By one worker. */
  publishEvaluated(): void {
    this.#evaluated?.set(this.#published);
  }

  #sum(calls: readonly number[], index: number, nonEmpty: Uint8Array): number {
    let sum = 0;
    for (let i = 0; i < calls.length; i++) {
      sum += treeSum(this.#moments, this.#stride, calls[i] + index, 0, this.#shards, nonEmpty);
    }
    return sum;
  }
}
