import type { Addition } from './gradient-tree.ts';
import { treeSum } from './gradient-tree.ts';
import type { ComputeInstruction, StepPlan } from './step-plan.ts';
import { mark, PHASE } from './timings.ts';
import type { WorkerState } from './worker-state.ts';

/** What became of a step: parameters changed, nothing changed (no weight in the batch), or the numbers broke. */
export type StepAction = 'update' | 'skip' | 'stop';

/**
 * THE STEP: one update of synchronous data-parallel training, as every worker runs it, alone or among many.
 *
 * Each phase reads what earlier phases wrote and writes only its own memory, so it could be repeated; the update alone is
 * in place. All workers reach the same decision from the same numbers, so nobody has to be asked.
 */
export function step(worker: WorkerState, t: number): StepAction {
  const plan = worker.planFor(worker.sampler.batchRows(t));
  mark(worker.timings, PHASE.start);

  // Phase 1, gradients: my shards forward and backward, into my partial sums of the gradient tree.
  for (const instruction of plan.instructions) {
    if (instruction.kind === 'compute') computeShards(worker, t, instruction);
    else mergePartials(worker, instruction.into, instruction.from);
  }
  mark(worker.timings, PHASE.computed);
  worker.barrier.wait(); // all partial sums of the node are complete
  mark(worker.timings, PHASE.gathered);

  // Phase 2, reduce: in my blocks, add all partial sums in tree order and take squared norms.
  reduceBlocks(worker, plan);
  mark(worker.timings, PHASE.reduced);
  worker.barrier.wait(); // the gradient and all norms are complete
  mark(worker.timings, PHASE.normed);

  // Phase 3, clip: one decision, the same in every worker.
  const action = decide(worker, plan, t);

  // Phase 4, update: the optimizer in my blocks, in place on the shared parameters.
  if (action === 'update') updateBlocks(worker, plan, t);
  else if (action === 'skip') commitUnchanged(worker, t);
  mark(worker.timings, PHASE.updated);

  // Phase 5, record: rank 0 publishes how far the workers may go, and writes down what happened.
  const recorder = worker.recorder;
  recorder?.publishLimit(t, action);
  recorder?.write(t, plan, worker.numbers);
  worker.barrier.wait(); // the next forward may read the parameters
  mark(worker.timings, PHASE.done);
  recorder?.publish(worker.timings);
  return action;
}

/**
 * Gather, forward, loss, backward: the gradients of one shard (or of neighbours that go together) into or onto partial sums,
 * their sums into the shared table.
 */
function computeShards(worker: WorkerState, t: number, instruction: ComputeInstruction): void {
  const compute = worker.compute(instruction);
  const before = performance.now();
  for (const { shard, ids, key } of compute.shards) {
    key[2] = t;
    key[3] = shard;
    worker.sampler.ids(t, shard, worker.session.shards, ids);
  }
  compute.gather(instruction.rows, worker.sampler.epochOf(t));
  worker.timings[PHASE.gather] += performance.now() - before;
  compute.run();
  const { shardSums } = worker;
  for (const { shard, sums } of compute.shards) {
    for (let i = 0, at = shard * sums.length; i < sums.length; i++, at++) shardSums[at] = sums[i];
  }
}

/** partial sum `into` += partial sum `from`: two siblings of the tree become their parent. */
function mergePartials(worker: WorkerState, into: number, from: number): void {
  const { partials } = worker.regions;
  worker.kernels.addPartials(partials[into], partials[into], partials[from], worker.flatSize);
}

function reduceBlocks(worker: WorkerState, plan: StepPlan): void {
  const { kernels, norms, myBlocks } = worker;
  for (const block of myBlocks) {
    const at = 4 * block.offset;
    if (plan.additions.length === 0) {
      norms[block.index] = kernels.squaredNorm(plan.gradient + at, block.length);
      continue;
    }
    for (const addition of plan.additions) addOperands(worker, plan, addition, at, block.length);
    norms[block.index] = kernels.squaredNorm(plan.gradient + at, block.length);
  }
}

function addOperands(worker: WorkerState, plan: StepPlan, addition: Addition, at: number, length: number): void {
  const { operands, out } = addition;
  const target = out === 'root' ? plan.gradient + at : worker.regions.temporaries[-1 - out];
  const a = operandAddress(worker, plan, operands[0], at);
  const b = operandAddress(worker, plan, operands[1], at);
  if (operands.length === 2) worker.kernels.addPartials(target, a, b, length);
  else {
    const c = operandAddress(worker, plan, operands[2], at);
    worker.kernels.addPartials4(target, a, b, c, operandAddress(worker, plan, operands[3], at), length);
  }
}

function operandAddress(worker: WorkerState, plan: StepPlan, operand: number, at: number): number {
  return operand >= 0 ? plan.sources[operand] + at : worker.regions.temporaries[-1 - operand];
}

/** Loss and weight of the global batch, norm of its mean gradient, clip coefficient; all in fixed order, f64. */
function decide(worker: WorkerState, plan: StepPlan, t: number): StepAction {
  const { session, shardSums, norms, totals } = worker;
  const stride = session.sums.length;
  totals.loss = treeSum(shardSums, stride, 0, 0, session.shards, plan.nonEmpty);
  totals.weight = treeSum(shardSums, stride, 1, 0, session.shards, plan.nonEmpty);
  let squaredNorm = 0;
  for (let i = 0; i < norms.length; i++) squaredNorm += norms[i];
  totals.squaredNorm = squaredNorm;
  return worker.clip(t);
}

function updateBlocks(worker: WorkerState, plan: StepPlan, t: number): void {
  const { kernels, session, epochs, decision } = worker;
  const limit = session.clip.value;
  let gradient = plan.gradient;
  if (limit !== undefined) {
    gradient = session.layout.reduced;
    for (const { offset, length } of worker.myBlocks) {
      const at = 4 * offset;
      kernels.clampScaled(gradient + at, plan.gradient + at, length, decision.gradScale, limit);
    }
    decision.gradScale = 1;
  }
  worker.optimizer.prepare(t, decision.gradScale);
  if (worker.rank === 0) worker.optimizer.saveProgress(worker.progress, t);
  for (const block of worker.myBlocks) {
    Atomics.store(epochs, block.index, 2 * t - 1); // torn from here ...
    worker.optimizer.update(block, gradient);
    Atomics.store(epochs, block.index, 2 * t); // ... to here
  }
}

/** A step that learns nothing is committed all the same. */
function commitUnchanged(worker: WorkerState, t: number): void {
  if (worker.rank === 0) worker.optimizer.saveProgress(worker.progress, t);
  for (const block of worker.myBlocks) Atomics.store(worker.epochs, block.index, 2 * t);
}
