import type { WorkerStep } from '../parallel/timeline.ts';
import type { RunHeader } from '../record/contract.ts';
import type { NodeStatus } from './contract.ts';

/** A worker is told of when it computes for so much longer than the median. */
const STRAGGLER_SHARE = 0.2;

/** The one node of a run on this machine, from its header and its latest steps. Pure. */
export function localNode(
  name: string,
  { workers, shards }: RunHeader,
  steps: readonly WorkerStep[],
  heartbeatAgeMs: number | undefined,
): NodeStatus {
  return {
    name,
    state: 'working',
    workers,
    shards,
    ...(heartbeatAgeMs !== undefined && { heartbeatAgeMs }),
    ...straggler(steps),
  };
}

/** The worker that computes longest, over the steps that are given. */
function straggler(steps: readonly WorkerStep[]): { straggler?: string } {
  const computeMs = new Map<number, number>();
  for (const { rank, start, computed } of steps) computeMs.set(rank, (computeMs.get(rank) ?? 0) + computed - start);
  if (computeMs.size < 2) return {};
  const sorted = [...computeMs].sort(([, a], [, b]) => a - b);
  const [, median] = sorted[(sorted.length - 1) >> 1];
  const [rank, most] = sorted[sorted.length - 1];
  const excess = most / median - 1;
  return excess > STRAGGLER_SHARE
    ? { straggler: `worker ${rank} computes ${Math.round(100 * excess)} % longer than the median` }
    : {};
}
