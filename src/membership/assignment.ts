/** A contiguous run of shards. */
export interface ShardRange {
  readonly first: number;
  readonly count: number;
}

/**
 * Which shards each rank computes: contiguous runs, sizes differing by at most one. Pure, so every member computes the
 * same answer; a rank beyond the number of shards gets an empty run.
 */
export function assignShards(shards: number, worldSize: number): ShardRange[] {
  return Array.from({ length: worldSize }, (_, rank) => {
    const first = Math.floor((rank * shards) / worldSize);
    return { first, count: Math.floor(((rank + 1) * shards) / worldSize) - first };
  });
}
