import { createHash } from 'node:crypto';
import { shardRange } from '../data/sampler.ts';
import { computeShards, reduceBlocks } from './gradient-pass.ts';
import { localSteps } from './local-steps.ts';
import type { RoundTask } from './rounds.ts';
import { rowListsOf } from './row-memory.ts';
import type { NodeSum } from './step-plan.ts';
import { mark, markStart, PHASE } from './timings.ts';
import type { WorkerState } from './worker-state.ts';

/**
 * A node's workers: shard after shard as the coordinator has them done, by the same passes as a step of a process that is alone. What
 * they leave are the node's partial sums, as far up the gradient tree as they go, and the f64 sums of each shard. With local steps it is the
 * one sum that these come to.
 */
export function serveRounds(worker: WorkerState): void {
  const { rounds, rank } = worker;
  if (rounds === undefined) throw new RangeError('serve: this process is no node');
  for (let task = rounds.take(); task !== undefined; task = rounds.take()) {
    worker.wire.takeUpdate(task);
    if (task.pace.every > 1) {
      worker.wire.encodeSums([localSteps(worker, task)], task);
    } else {
      worker.wire.encodeSums(sumShards(worker, task), task);
      mark(worker.timings, PHASE.updated);
    }
    worker.barrier.wait(); // the sums are complete
    if (rank === 0) rounds.finish();
    if (task.pace.every === 1) writeDown(worker, task.step);
  }
}

/** The gradients of the shards at the parameters as they are, added up as far as they go. */
function sumShards(worker: WorkerState, { step, range }: RoundTask): readonly NodeSum[] {
  const { timings } = worker;
  markStart(timings);
  const plan = worker.plans.range(worker.sampler.batchRows(step), range);
  worker.planToSum = plan;
  computeShards(worker, plan, step, worker.shardSums);
  worker.earlySum?.finish();
  mark(timings, PHASE.computed);
  worker.barrier.wait(); // all partial sums of the node are complete
  mark(timings, PHASE.gathered);
  reduceBlocks(worker, plan);
  mark(timings, PHASE.reduced);
  return plan.sums;
}

/** In the timeline, where nobody waits for norms; instead of the update a lossy wire format encodes. */
function writeDown({ timings, timeline }: WorkerState, step: number): void {
  mark(timings, PHASE.done);
  timings[PHASE.normed] = timings[PHASE.reduced];
  timeline.write(step, timings);
}

/**
 * SHA-256 of what shard 0 of step 1 gives at the parameters as they are: gradient, rows of sparse tables, f64 sums. Two processes that
 * agree in it compute the same job with the same kernels on the same data. By rank 0; writes partial sums, batch and activations only.
 */
export function proveShard(worker: WorkerState): string {
  const { session, regions, shardSums } = worker;
  const [begin, end] = shardRange(worker.sampler.batchRows(1), session.shards, 0);
  const rows = end - begin;
  const shards = [{ shard: 0, rows, slot: 0, accumulate: false }];
  computeShards(worker, { instructions: [{ kind: 'compute', rows, shards }], idle: [] }, 1, shardSums);
  const hash = createHash('sha256');
  const add = (address: number, bytes: number) =>
    hash.update(new Uint8Array(session.memory.buffer, address, bytes).slice());
  for (const { sparse, offset, size } of session.tensors) {
    if (!sparse) add(regions.partials[0] + 4 * offset, 4 * size);
  }
  for (const { header, width } of rowListsOf(session.rowTables, session.layout.rows, 0)) {
    const [count, ids, values] = new Int32Array(session.memory.buffer, header, 3);
    add(ids, 4 * count);
    add(values, 4 * count * width);
  }
  add(session.layout.shardSums, 8 * session.sums.length);
  return hash.digest('hex');
}
