import { LockstepError } from '../errors.ts';
import type { Point, PointRole } from './contract.ts';

/** What to time: pure, from the options. */
export interface PointOptions {
  /** Numbers of workers on each node. */
  readonly workers: readonly number[];
  readonly nodes: readonly number[];
  readonly mode: 'strong' | 'weak' | 'both';
  /** Global batch of strong scaling; undefined: none. */
  readonly strongBatch: number | undefined;
  /** Rows of one worker in weak scaling; undefined: none. */
  readonly weakBatch: number | undefined;
  /** S of a batch: the job's own, or its default. */
  readonly shardsOf: (batch: number) => number;
  /** The smallest batch that makes so many shards by itself; undefined: none does. */
  readonly batchFor: (shards: number) => number | undefined;
  /** The numbers of workers were not asked for: those that would have nothing to do are left out of strong scaling. */
  readonly lenient?: boolean;
  /** The job fixes S: then no other is tried, and weak scaling keeps the rows of a shard. */
  readonly fixedShards: boolean;
}

/**
 * All points, each once. Strong scaling: the batch on every number of workers, and on one worker with every power of two below S
 * too, for the fastest of them is what the others are held against. Weak scaling: the batch grows with the workers.
 *
 * @throws E_OPTION where workers would have no shard.
 */
export function planPoints(options: PointOptions): Point[] {
  const { workers, nodes, mode, strongBatch, weakBatch, shardsOf, fixedShards } = options;
  const points = new Map<string, Point>();
  const add = (role: PointRole, size: Omit<Point, 'roles'>): void => {
    const key = pointKey(size);
    const roles = points.get(key)?.roles ?? [];
    points.set(key, { ...size, roles: roles.includes(role) ? roles : [...roles, role] });
  };
  const sizes = nodes.flatMap((n) => workers.map((w) => ({ workers: w, nodes: n })));
  if (mode !== 'weak' && strongBatch !== undefined) {
    const shards = shardsOf(strongBatch);
    const busy = sizes.filter((size) => !options.lenient || size.workers * size.nodes <= shards);
    for (const size of busy) refuseIdle(size, strongBatch, shards, options);
    add('strong', { workers: 1, nodes: 1, batch: strongBatch });
    for (const size of busy) add('strong', { ...size, batch: strongBatch });
    for (let s = 1; s < shards && !fixedShards; s *= 2) {
      add('sweep', { workers: 1, nodes: 1, batch: strongBatch, shards: s });
    }
  }
  if (mode !== 'strong' && weakBatch !== undefined) {
    add('weak', { workers: 1, nodes: 1, batch: weakBatch });
    for (const size of sizes) {
      const total = size.workers * size.nodes;
      const batch = weakBatch * total;
      if (fixedShards) add('weak', { ...size, batch, ...(total > 1 ? { shards: shardsOf(weakBatch) * total } : {}) });
      else if (shardsOf(batch) >= total) add('weak', { ...size, batch });
      else add('weak', { ...size, batch, shards: total }); // small batches: a shard each
    }
  }
  return [...points.values()];
}

export function pointKey({ workers, nodes, batch, shards }: Omit<Point, 'roles'>): string {
  return [workers, nodes, batch, shards ?? 'default'].join('/');
}

function refuseIdle(
  { workers, nodes }: Pick<Point, 'workers' | 'nodes'>,
  batch: number,
  shards: number,
  options: Pick<PointOptions, 'batchFor' | 'fixedShards'>,
): void {
  const total = workers * nodes;
  if (total <= shards) return;
  throw new LockstepError('E_OPTION', {
    where: nodes === 1 ? `--workers ${workers}` : `--workers ${workers} on ${nodes} nodes`,
    expected: `at most ${shards}: batch ${batch} makes ${shards} ${shards === 1 ? 'shard' : 'shards'}, and a shard is the least that a worker can do`,
    got: `${total} workers`,
    fix: `give ${moreShards(total, options)}, or fewer workers`,
  });
}

/** What gives so many workers something to do. */
export function moreShards(
  total: number,
  { batchFor, fixedShards }: Pick<PointOptions, 'batchFor' | 'fixedShards'>,
): string {
  const larger = fixedShards ? undefined : batchFor(total);
  return larger === undefined
    ? `--shards ${total}`
    : `--batch-size ${larger} (more shards by themselves) or --shards ${total}`;
}

/** @throws E_OPTION for anything but whole numbers of at least 1; gives them in ascending order, each once. */
export function checkSizes(option: string, sizes: readonly number[]): number[] {
  for (const size of sizes) {
    if (Number.isInteger(size) && size >= 1) continue;
    throw new LockstepError('E_OPTION', {
      where: option,
      expected: 'whole numbers of at least 1, separated by commas',
      got: String(size),
      fix: 'for example --workers 1,2,4',
    });
  }
  return [...new Set(sizes)].sort((a, b) => a - b);
}
