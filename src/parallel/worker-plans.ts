import type { ShardRange } from '../membership/assignment.ts';
import { gatheredSums, roundWordsOf } from './rounds.ts';
import type { Session } from './session.ts';
import { planGathered, planShare, planStep, type StepPlan } from './step-plan.ts';

/** The plans of one worker, each made when its first step comes and kept. */
export class WorkerPlans {
  /** The shards that this process trains on by itself between two rounds (local-steps.ts); undefined for all. */
  ownShards: ShardRange | undefined;
  readonly #session: Session;
  readonly #rank: number;
  readonly #all: ShardRange;
  readonly #plans = new Map<string, StepPlan>();

  constructor(session: Session, rank: number) {
    this.#session = session;
    this.#rank = rank;
    this.#all = { first: 0, count: session.shards };
  }

  /** For all shards, with the partial sums of each apart where there is room, for samples of the gradient noise: the same bytes. */
  apart(batchRows: number): StepPlan {
    const apart = { ...this.#session, accumulate: false, groupRows: {} };
    return this.#plan(`${batchRows}:apart`, () => planStep(apart, this.#rank, batchRows));
  }

  /** For the shards of a range; by default for all. */
  range(batchRows: number, range: ShardRange = this.#all): StepPlan {
    return this.#plan(`${batchRows}:${range.first}+${range.count}`, () =>
      planStep(this.#session, this.#rank, batchRows, range),
    );
  }

  /** For a step that this process makes by itself: on all shards, or on its own ones. */
  own(batchRows: number): StepPlan {
    const { ownShards } = this;
    if (ownShards === undefined) return this.range(batchRows);
    return this.#plan(`${batchRows}:own ${ownShards.first}+${ownShards.count}`, () =>
      planShare(this.#session, this.#rank, batchRows, ownShards),
    );
  }

  /** For the partial sums that the newest round has brought; `batches`: what the step takes (inner-steps.ts). */
  gathered(batches: readonly number[]): StepPlan {
    const sums = gatheredSums(this.#session, roundWordsOf(this.#session));
    const key = sums.map(({ first, count }) => `${first}+${count}`).join();
    return this.#plan(`${batches.join()}:gathered ${key}`, () => planGathered(this.#session, batches, sums));
  }

  #plan(key: string, make: () => StepPlan): StepPlan {
    let plan = this.#plans.get(key);
    if (!plan) {
      plan = make();
      this.#plans.set(key, plan);
    }
    return plan;
  }
}
