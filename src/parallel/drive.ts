import { clipDecision, newClipDecision } from '../optim/clip.ts';
import type { Driver } from '../optim/contract.ts';
import { gradientPass, reduceGradient } from './gradient-pass.ts';
import { treeSum } from './gradient-tree.ts';
import type { StepPlan } from './step-plan.ts';
import { PHASE } from './timings.ts';
import type { WorkerState } from './worker-state.ts';

/**
 * Phase 4 of a step whose optimizer needs several gradients (SAM, L-BFGS): runs its `drive` with passes over the step's batch as
 * collective calls. The first gradient is that of the step itself. Sums of later passes lie apart from those that are
 * recorded. `gradient` is the flat gradient of the first pass, `gradScale` what it is still to be multiplied by.
 *
 * The pieces of this worker count as torn from the beginning to the end: parameters move on the way.
 */
export function drive(worker: WorkerState, first: StepPlan, t: number, gradScale: number): 'stop' | undefined {
  const { session, optimizer, barrier, totals, timings } = worker;
  const { def } = worker.bound;
  const { layout } = session;
  if (def.drive === undefined) throw new RangeError(`${def.kind} has no drive`);
  const group = optimizer.groups.find(({ frozen }) => !frozen) ?? optimizer.groups[0];
  const views = optimizer.views(layout.reduced);
  const scratch = { loss: 0, weight: 0, squaredNorm: 0 };
  const trial = newClipDecision();
  let plan = first;
  let passes = 0;
  let isFirst = true;

  /** The batch once more, at the parameters of now. */
  const pass = (): void => {
    barrier.wait(); // everybody's parameters are in place
    const gather = timings[PHASE.gather];
    const forward = timings[PHASE.forward];
    passes += 1;
    plan = gradientPass(worker, t, passes) ?? plan; // later passes are not called off
    timings[PHASE.gather] = gather; // a further pass is time of the update
    timings[PHASE.forward] = forward;
    const stride = session.sums.length;
    scratch.loss = treeSum(worker.trialSums, stride, 0, 0, session.shards, plan.nonEmpty);
    scratch.weight = treeSum(worker.trialSums, stride, 1, 0, session.shards, plan.nonEmpty);
  };
  const driver: Driver<object> = {
    info: group.info,
    state: group.state,
    views,
    gradient() {
      if (isFirst) {
        isFirst = false;
        const { smallest } = worker.tensorClip.apply(plan.gradient, gradScale, totals.weight, true);
        worker.decision.clipScale *= smallest;
        return totals.loss / totals.weight;
      }
      pass();
      reduceGradient(worker, plan);
      barrier.wait(); // all norms are complete
      scratch.squaredNorm = worker.squaredNorm();
      clipDecision(scratch, worker.normLimit, trial);
      if (trial.action !== 'update') return Number.NaN;
      worker.tensorClip.apply(plan.gradient, trial.gradScale, scratch.weight, true);
      return scratch.loss / scratch.weight;
    },
    evaluate() {
      pass();
      return scratch.loss / scratch.weight;
    },
    sum: (partial, out) => optimizer.sum((i, row) => partial(views[i], row), out),
    max: (of) => optimizer.max((i) => of(views[i])),
    apply() {
      for (const { info } of optimizer.groups) info.gradScale = 1;
      optimizer.prepare(layout.reduced);
      for (let i = 0; i < optimizer.pieces.length; i++) optimizer.update(i, layout.reduced);
    },
  };
  return def.drive(driver);
}
