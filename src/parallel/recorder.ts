import type { ClipDecision } from '../optim/clip.ts';
import { DECIDED_LIMIT, REQUESTED_LIMIT } from './control.ts';
import { treeSum } from './gradient-tree.ts';
import type { RecordRing } from './record-ring.ts';
import { RECORD_FIELDS, RECORD_SUMS } from './record-ring.ts';
import type { StepAction } from './step.ts';
import type { StepPlan } from './step-plan.ts';
import { PHASE } from './timings.ts';

export const ACTION_CODES = { update: 0, skip: 1, stop: 2 } as const satisfies Record<StepAction, number>;

const AT = Object.fromEntries(RECORD_FIELDS.map((name, i) => [name, i])) as Record<
  (typeof RECORD_FIELDS)[number],
  number
>;

/** What a record is made of, beside the plan of its step. */
export interface StepNumbers {
  readonly decision: ClipDecision;
  /** f64 [shards, sums]. */
  readonly shardSums: Float64Array;
  readonly shards: number;
  readonly lr: number;
}

/** Rank 0's pen: publishes the decision on how far the workers may run, and one record a step. */
export class Recorder {
  readonly #ring: RecordRing;
  readonly #control: Int32Array;
  #at = 0;

  constructor(ring: RecordRing, control: Int32Array) {
    this.#ring = ring;
    this.#control = control;
  }

  /** Before the last barrier of step t: everybody will read the limit after it. */
  publishLimit(t: number): void {
    const requested = Atomics.load(this.#control, REQUESTED_LIMIT);
    if (requested < Atomics.load(this.#control, DECIDED_LIMIT)) {
      Atomics.store(this.#control, DECIDED_LIMIT, Math.max(requested, t));
    }
  }

  /** Before the last barrier of step t: the sums are still those of this step. */
  write(t: number, plan: StepPlan, numbers: StepNumbers): void {
    const { decision, shardSums, shards, lr } = numbers;
    this.#at = this.#ring.reserve();
    const values = this.#ring.values;
    const at = this.#at;
    values[at + AT.samples] = plan.batchRows;
    values[at + AT.lr] = lr;
    values[at + AT.gradNorm] = decision.gradNorm;
    values[at + AT.clipScale] = decision.clipScale;
    values[at + AT.action] = ACTION_CODES[decision.action];
    const stride = shardSums.length / shards;
    for (let i = 0; i < stride; i++) {
      values[at + RECORD_SUMS + i] = treeSum(shardSums, stride, i, 0, shards, plan.nonEmpty);
    }
    values[at + AT.step] = t; // last: whoever finds the step finds all of its record
  }

  /**
   * Whether rank 0 wrote the whole record of step t and was lost before it published it; then `publish` is all that is left to
   * do. The sums may be gone by now: the others may have begun step t + 1.
   */
  resume(t: number): boolean {
    this.#at = this.#ring.reserve();
    return this.#ring.values[this.#at + AT.step] === t;
  }

  /** After the last barrier: the step's time is complete. */
  publish(timings: Float64Array): void {
    const values = this.#ring.values;
    const at = this.#at;
    const gather = timings[PHASE.gather];
    values[at + AT.stepMs] = timings[PHASE.done] - timings[PHASE.start];
    values[at + AT.gatherMs] = gather;
    values[at + AT.computeMs] = timings[PHASE.computed] - timings[PHASE.start] - gather;
    values[at + AT.waitMs] =
      timings[PHASE.gathered] -
      timings[PHASE.computed] +
      (timings[PHASE.normed] - timings[PHASE.reduced]) +
      (timings[PHASE.done] - timings[PHASE.updated]);
    values[at + AT.reduceMs] = timings[PHASE.reduced] - timings[PHASE.gathered];
    values[at + AT.updateMs] = timings[PHASE.updated] - timings[PHASE.normed];
    this.#ring.publish();
  }
}
