/** Largest power of two below n (n >= 2): where a node of the gradient tree splits (src/parallel/gradient-tree.ts). */
export function splitPoint(n: number): number {
  let p = 1;
  while (p * 2 < n) p *= 2;
  return p;
}

/** In how many partial sums the shards from `first` to before `end` end: the largest nodes of the gradient tree of all shards that lie in them. */
export function sumsIn(shards: number, first: number, end: number): number {
  return first < end ? countIn(0, shards, first, end) : 0;
}

function countIn(from: number, count: number, first: number, end: number): number {
  const to = from + count;
  if (end <= from || to <= first) return 0;
  if (first <= from && to <= end) return 1;
  const left = splitPoint(count);
  return countIn(from, left, first, end) + countIn(from + left, count - left, first, end);
}

/** Of each shard the nodes of the gradient tree that begin with it: how many shards they have, ascending. */
export function nodeSizes(shards: number): number[][] {
  const sizes: number[][] = Array.from({ length: shards }, () => []);
  const visit = (first: number, count: number): void => {
    if (count > 1) {
      const left = splitPoint(count);
      visit(first, left);
      visit(first + left, count - left);
    }
    sizes[first].push(count);
  };
  if (shards > 0) visit(0, shards);
  return sizes;
}
