import { shardRange } from '../data/sampler.ts';
import { NEXT_EVALUATION_SHARD } from './control.ts';
import { evaluationShards } from './evaluation-shards.ts';
import type { SplitName } from './session.ts';
import type { WorkerState } from './worker-state.ts';

/**
 * Evaluation on one worker: takes fixed shards of the split until none is left. Who computes a shard does not matter: its
 * sums go to its own row, and the main thread adds the rows in shard order.
 */
export function evaluateSplit(worker: WorkerState, split: SplitName): void {
  const { session, control, sums, evaluationSums, ids } = worker;
  const size = session.splits[split]?.size ?? 0;
  const shards = evaluationShards(size, session.evaluationRows);
  writeEvaluated(worker);
  for (;;) {
    const shard = Atomics.add(control, NEXT_EVALUATION_SHARD, 1);
    if (shard >= shards) return;
    const [begin, end] = shardRange(size, shards, shard);
    const count = end - begin;
    for (let i = 0; i < count; i++) ids[i] = begin + i;
    const program = worker.programs.evaluation(split, count);
    program.gather(count, 0);
    program.run();
    evaluationSums.set(sums, shard * sums.length);
  }
}

/** Parameters to evaluate with, where they are not those that are trained; ready for all when this returns. */
export function writeEvaluated(worker: WorkerState): void {
  if (worker.bound.def.evalParameters === undefined) return;
  worker.optimizer.writeEvaluated(worker.frozenBlocks);
  if (worker.rank === 0) worker.statistics.publishEvaluated();
  worker.barrier.wait();
}
