import { assignShards } from '../membership/assignment.ts';
import { initializeSlots } from './initialize.ts';
import { innerSteps, lastInnerStep } from './inner-steps.ts';
import type { RoundTask } from './rounds.ts';
import { step } from './step.ts';
import type { NodeSum } from './step-plan.ts';
import type { WorkerState } from './worker-state.ts';

/**
 * A node's part of a round of local steps (DiLoCo, Douillard et al. 2023, arXiv 2311.08105): from the parameters that all nodes hold it
 * makes THE STEP of the job once for each step of the round on the rows of its own shards, with an optimizer of its own, and leaves how far it came.
 *
 * What it leaves looks to the coordinator like the sum of a gradient over its shards, so that the coordinator's step is the ordinary
 * one: with w the weight of the node's rows (their number, where the loss has no weights),
 *
 *     sum = w (start - end),   hence   (sum over nodes of sum) / (sum over nodes of w)
 *
 * is the mean over nodes of their differences, the *pseudo-gradient* that the outer optimizer takes. The paper's mean has equal
 * weights; so has this one when nodes have equally many rows.
 *
 * Afterwards the parameters are again those that all nodes hold, as every way of sending the next ones expects.
 */
export function localSteps(worker: WorkerState, { step: round, range, pace, after }: RoundTask): NodeSum {
  const { session, kernels, barrier, shardSums, reducedBlocks, sampler } = worker;
  const { layout } = session;
  const course = { stepsPerEpoch: sampler.stepsPerEpoch, totalSteps: session.totalSteps };
  if (after === 0) beginAnew(worker);
  else worker.takeUpOptimizer(lastInnerStep(after, pace, course));
  for (const { offset, length } of reducedBlocks) {
    kernels.copy(layout.wire.replica + 4 * offset, layout.parameters + 4 * offset, length);
  }
  worker.plans.ownShards = range;
  const mine = assignShards(range.count, session.workers)[worker.rank];
  const stride = session.sums.length;
  const begin = (range.first + mine.first) * stride;
  const own = shardSums.subarray(begin, begin + mine.count * stride);
  const sums = new Float64Array(own.length);
  const { first, count } = innerSteps(round, pace, course);
  let broken = false;
  for (let t = first; t < first + count && !broken; t++) {
    const plan = worker.plans.own(sampler.batchRows(t));
    if (plan.sums.length === 0) continue; // a ragged batch has no row for this node
    const outcome = step(worker, t);
    broken = outcome === 'stop';
    if (outcome === 'skip') continue;
    for (let i = 0; i < own.length; i++) {
      if (plan.nonEmpty[range.first + mine.first + Math.floor(i / stride)] === 1) sums[i] += own[i];
    }
  }
  own.set(sums);
  if (worker.rank === 0) worker.saveProgress(first + count - 1); // whatever became of that step
  barrier.wait(); // the weights are there
  let weight = broken ? Number.NaN : 0; // a difference that is not finite makes the coordinator's step stop, or skip
  for (let shard = range.first; shard < range.first + range.count; shard++) weight += shardSums[shard * stride + 1];
  for (const { offset, length } of reducedBlocks) {
    const [start, at, sum] = [layout.wire.replica, layout.parameters, layout.reduced].map((v) => v + 4 * offset);
    kernels.sub(sum, start, at, 1, length, 0, 1, 0, 1);
    kernels.scale(sum, sum, length, weight);
    kernels.copy(at, start, length);
  }
  return { ...range, additions: [], address: layout.reduced };
}

/** The optimizer as it is at the beginning of a run: a node that comes, or comes again, knows nothing of steps before. */
function beginAnew(worker: WorkerState): void {
  initializeSlots(worker);
  worker.forget();
  worker.barrier.wait(); // all slots are as they begin
}
