import { drive } from './drive.ts';
import { gradientPass, reduceGradient } from './gradient-pass.ts';
import { treeSum } from './gradient-tree.ts';
import type { StepPlan } from './step-plan.ts';
import { mark, markStart, PHASE } from './timings.ts';
import type { WorkerState } from './worker-state.ts';

/** What became of a step: parameters changed, nothing changed (no weight in the batch), or the numbers broke. */
export type StepAction = 'update' | 'skip' | 'stop';

/** Or there was none: the nodes that were to compute its gradient are gone, and the run is to end. */
export type StepOutcome = StepAction | 'off';

/**
 * THE STEP: one update of synchronous data-parallel training, as every worker runs it, alone or among many.
 *
 * Each phase reads what earlier phases wrote and writes only its own memory, so it could be repeated; the update alone is
 * in place. All workers reach the same decision from the same numbers, so nobody has to be asked.
 */
export function step(worker: WorkerState, t: number): StepOutcome {
  markStart(worker.timings);

  // Phase 1, gradients: my shards forward and backward, into my partial sums of the gradient tree; or, with many machines, a
  // round in which the partial sums of all nodes come in.
  const plan = gradientPass(worker, t, 0);
  if (plan === undefined) return 'off';
  mark(worker.timings, PHASE.gathered);

  // Phase 2, reduce: in my blocks, add all partial sums in tree order and take squared norms; so too the rows of sparse tables
  // and the moments that running statistics follow.
  reduceGradient(worker, plan);
  worker.rowGradients.reduce();
  worker.statistics.reduce(t, plan);
  worker.noise?.reduce(t, plan);
  mark(worker.timings, PHASE.reduced);
  worker.barrier.wait(); // the gradient and all norms are complete
  mark(worker.timings, PHASE.normed);

  // Phase 3, clip: one decision, the same in every worker.
  const decision = decide(worker, plan, t);

  // Phase 4, update: the optimizer on my pieces, in place on the shared parameters.
  const action = decision === 'update' ? update(worker, plan, t) : decision;
  if (action === 'skip') commitUnchanged(worker, t);
  mark(worker.timings, PHASE.updated);

  // Phase 5, record: rank 0 publishes how far the workers may go, and writes down what happened.
  const recorder = worker.recorder;
  recorder?.publishLimit(t);
  recorder?.write(t, plan, worker.numbers);
  if (recorder) worker.noise?.write(t, plan);
  worker.barrier.wait(); // the next forward may read the parameters
  mark(worker.timings, PHASE.done);
  recorder?.publish(worker.timings);
  worker.timeline.write(t, worker.timings);
  return action;
}

/** Loss and weight of the global batch, norm of its mean gradient, clip coefficient; all in fixed order, f64. */
function decide(worker: WorkerState, plan: StepPlan, t: number): StepAction {
  const { session, shardSums, totals } = worker;
  const stride = session.sums.length;
  totals.loss = treeSum(shardSums, stride, 0, 0, session.shards, plan.nonEmpty);
  totals.weight = treeSum(shardSums, stride, 1, 0, session.shards, plan.nonEmpty);
  totals.squaredNorm = worker.squaredNorm();
  return worker.clip(t);
}

/** Clips what the norm alone does not; then the optimizer, in one pass or, where it needs several gradients, as it drives. */
function update(worker: WorkerState, plan: StepPlan, t: number): StepAction {
  const { optimizer, decision, totals, bound } = worker;
  if (bound.def.drive !== undefined) {
    optimizer.begin(t, 1, totals.weight);
    markAll(worker, 2 * t - 1); // torn from here ...
    if (drive(worker, plan, t, decision.gradScale) === 'stop') return worker.break();
    commit(worker, t);
    markAll(worker, 2 * t); // ... to here
    return 'update';
  }
  const clipped = worker.tensorClip.apply(plan.gradient, decision.gradScale, totals.weight, false);
  decision.clipScale *= clipped.smallest;
  optimizer.begin(t, clipped.gradScale, totals.weight);
  optimizer.prepare(clipped.gradient);
  commit(worker, t);
  markFrozen(worker, 2 * t);
  for (let i = 0; i < optimizer.pieces.length; i++) {
    markPiece(worker, i, 2 * t - 1); // torn from here ...
    optimizer.update(i, clipped.gradient);
    markPiece(worker, i, 2 * t); // ... to here
  }
  worker.rowGradients.update(t);
  return 'update';
}

/** A step that learns nothing is committed all the same. */
function commitUnchanged(worker: WorkerState, t: number): void {
  if (worker.rank === 0) {
    worker.statistics.keep(t);
    worker.saveProgress(t);
  }
  markAll(worker, 2 * t);
}

/** What the run has to know to go on after this step. */
function commit(worker: WorkerState, t: number): void {
  worker.rememberUpdate();
  if (worker.rank !== 0) return;
  worker.statistics.publish(t);
  worker.saveProgress(t);
}

function markAll(worker: WorkerState, epoch: number): void {
  for (let i = 0; i < worker.optimizer.pieces.length; i++) markPiece(worker, i, epoch);
  markFrozen(worker, epoch);
  worker.rowGradients.mark(epoch);
}

function markPiece(worker: WorkerState, piece: number, epoch: number): void {
  for (const block of worker.optimizer.pieces[piece].blocks) Atomics.store(worker.epochs, block, epoch);
}

/** Frozen parameters go along with the steps. */
function markFrozen(worker: WorkerState, epoch: number): void {
  for (const { index } of worker.frozenBlocks) Atomics.store(worker.epochs, index, epoch);
}
