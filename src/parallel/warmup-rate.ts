import { type Sampler, shardRange } from '../data/sampler.ts';
import { gatheredSums, roundWordsOf } from './rounds.ts';
import type { Session } from './session.ts';

/**
 * What the outer optimizer's rate is multiplied by in the warm-up of local steps, whose rounds are of one step: 1 where a node's optimizer goes in
 * proportion to its gradient, for then the mean over nodes is the step with the gradient of the whole batch. Others divide by the size
 * of the gradient, and that of a node, of fewer rows, is larger by its noise: with shares b_k of the batch each divides by noise that goes as
 * 1 / sqrt(b_k), so the weighted mean comes to sum(b_k sqrt(b_k)) of the step of all. One over that; the square root of their number
 * where nodes have equally many rows. Those that took part in the round count, so it is a function of what lies in the arena.
 */
export function warmupRate(session: Session, sampler: Pick<Sampler, 'batchRows'>, round: number): number {
  const { pace, proportional = true, shards } = session;
  if (proportional || pace === undefined || round > pace.warmup) return 1;
  const batchRows = sampler.batchRows(round); // of the one step of the round, which has its number
  const begin = (shard: number) => (shard < shards ? shardRange(batchRows, shards, shard)[0] : batchRows);
  let [all, parts] = [0, 0];
  for (const { first, count } of gatheredSums(session, roundWordsOf(session))) {
    const rows = begin(first + count) - begin(first);
    all += rows;
    parts += rows * Math.sqrt(rows);
  }
  return parts === 0 ? 1 : (all * Math.sqrt(all)) / parts;
}
