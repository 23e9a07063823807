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

/**
 * The same for members of different speed (shards a second, or any other measure that is in proportion): contiguous runs of such sizes
 * that the last to be done is done as early as whole shards allow; between equals the earlier member has more. With equal speeds
 * the sizes differ by at most one.
 */
export function assignBySpeed({ first, count }: ShardRange, speeds: readonly number[]): ShardRange[] {
  const sizes = speeds.map(() => 0);
  for (let shard = 0; shard < count; shard++) {
    let best = 0;
    for (let m = 1; m < speeds.length; m++) {
      if ((sizes[m] + 1) / speeds[m] < (sizes[best] + 1) / speeds[best]) best = m;
    }
    sizes[best] += 1;
  }
  let next = first;
  return sizes.map((size) => {
    const range = { first: next, count: size };
    next += size;
    return range;
  });
}

/** How long the slowest takes for its run, in the unit of the speeds. */
export function timeOf(ranges: readonly ShardRange[], speeds: readonly number[]): number {
  return ranges.reduce((most, { count }, i) => Math.max(most, count / speeds[i]), 0);
}
