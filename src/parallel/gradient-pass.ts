import { NOT_YET } from './early-sum.ts';
import { batchesOf } from './inner-steps.ts';
import type { ComputeInstruction, NodeSum, StepPlan } from './step-plan.ts';
import { mark, PHASE } from './timings.ts';
import type { WorkerState } from './worker-state.ts';

/**
 * One gradient pass over the batch of step t, as all workers of the process make it: the shards forward and backward, or, where other
 * nodes compute them, a round in which their partial sums come in. `pass` 0 is that of the step itself, later ones are those of
 * optimizers that need several. Gives the plan of what lies there now; undefined when the round was called off.
 */
export function gradientPass(worker: WorkerState, t: number, pass: number): StepPlan | undefined {
  if (worker.session.part === 'coordinator') {
    if (pass === 0) mark(worker.timings, PHASE.computed);
    const update = worker.wire.prepare(t, pass);
    if (!worker.rounds?.ask(t, pass, update)) return undefined;
    worker.wire.decodeSums();
    return worker.plans.gathered(batchesOf(worker.session, worker.sampler, t));
  }
  const plan = worker.planOf(t, pass);
  computeShards(worker, plan, t, pass === 0 ? worker.shardSums : worker.trialSums);
  if (pass === 0) mark(worker.timings, PHASE.computed);
  worker.barrier.wait(); // all partial sums of the node are complete
  return plan;
}

/**
 * My shards forward and backward, into my partial sums of the gradient tree; their losses into `shardSums` [shards, sums]. Reads
 * parameters, writes its own memory: may be repeated.
 */
export function computeShards(
  worker: WorkerState,
  plan: Pick<StepPlan, 'instructions' | 'idle'>,
  t: number,
  shardSums: Float64Array,
): void {
  worker.rowGradients.clear(plan.idle);
  worker.windows?.require(t);
  for (const instruction of plan.instructions) {
    if (instruction.kind === 'compute') computeInstruction(worker, t, instruction, shardSums);
    else mergePartials(worker, instruction.into, instruction.from);
  }
}

/**
 * Gather, forward, loss, backward: the gradients of one shard (or of neighbours that go together) into or onto partial sums,
 * their sums into the shared table.
 */
function computeInstruction(
  worker: WorkerState,
  t: number,
  instruction: ComputeInstruction,
  shardSums: Float64Array,
): void {
  const { timings } = worker;
  const compute = worker.programs.compute(instruction);
  const before = performance.now();
  for (const { shard, ids, places, key } of compute.shards) {
    key[2] = t;
    key[3] = shard;
    worker.sampler.ids(t, shard, worker.session.shards, ids, places);
  }
  compute.gather(instruction.rows, worker.sampler.epochOf(t));
  const gathered = performance.now();
  timings[PHASE.gather] += gathered - before;
  timings[PHASE.backward] = gathered; // the program marks it when it comes there
  compute.run();
  timings[PHASE.forward] += timings[PHASE.backward] - gathered;
  for (const { shard, sums } of compute.shards) {
    for (let i = 0, at = shard * sums.length; i < sums.length; i++, at++) shardSums[at] = sums[i];
  }
}

/** partial sum `into` += partial sum `from`: two siblings of the tree become their parent. */
function mergePartials(worker: WorkerState, into: number, from: number): void {
  const { partials } = worker.regions;
  worker.kernels.addPartials(partials[into], partials[into], partials[from], worker.gradientSize);
}

/**
 * In my blocks: adds all partial sums of the node in tree order, as far as they go and have not been added early. Frozen parameters count
 * for nothing.
 */
export function reduceBlocks(worker: WorkerState, plan: StepPlan): void {
  const made = worker.earlySum?.madeFrom ?? NOT_YET;
  for (const { offset, length } of worker.reducedBlocks) {
    if (offset >= made) continue;
    for (const sum of plan.sums) addBlock(worker, plan, sum, 4 * offset, length);
  }
}

/** In all blocks between two elements, for the one sum of a plan. */
export function reduceEarly(worker: WorkerState, plan: StepPlan, from: number, to: number): void {
  const [sum] = plan.sums;
  for (const { offset, length } of worker.trainedBlocks) {
    if (offset >= from && offset < to) addBlock(worker, plan, sum, 4 * offset, length);
  }
}

/** In my blocks the whole gradient, and squared norms of the gradient of the batch, which is complete. */
export function reduceGradient(worker: WorkerState, plan: StepPlan): void {
  const { kernels, norms, reducedBlocks } = worker;
  const [sum] = plan.sums;
  for (const { offset, length, index } of reducedBlocks) {
    addBlock(worker, plan, sum, 4 * offset, length);
    norms[index] = kernels.squaredNorm(plan.gradient + 4 * offset, length);
  }
}

function addBlock(worker: WorkerState, plan: StepPlan, sum: NodeSum, at: number, length: number): void {
  for (const { operands, out } of sum.additions) {
    const target = out === 'root' ? sum.address + at : worker.regions.temporaries[-1 - out];
    const a = operandAddress(worker, plan, operands[0], at);
    const b = operandAddress(worker, plan, operands[1], at);
    if (operands.length === 2) worker.kernels.addPartials(target, a, b, length);
    else {
      const c = operandAddress(worker, plan, operands[2], at);
      worker.kernels.addPartials4(target, a, b, c, operandAddress(worker, plan, operands[3], at), length);
    }
  }
}

function operandAddress(worker: WorkerState, plan: StepPlan, operand: number, at: number): number {
  return operand >= 0 ? plan.sources[operand] + at : worker.regions.temporaries[-1 - operand];
}
