import type { ShardRange } from './assignment.ts';
import { nodeSizes, sumsIn } from './tree-sums.ts';

/** What a member costs a step, in milliseconds. */
export interface MemberCosts {
  readonly workers: number;
  /** A shard on each of its workers. */
  readonly shardMs: number;
  /** A partial sum of its on the way to the coordinator: what it adds to the time in which all sums come. */
  readonly sumMs: number;
}

/** Shards, of all that a step has, that are divided, and among whom. */
export interface Question {
  readonly shards: number;
  readonly range: ShardRange;
  readonly members: readonly MemberCosts[];
  /** Shards that each has at least: who has none is not measured any more, so nobody is left out for the network alone. */
  readonly least: readonly number[];
}

/** Among more shards the search would take too long. */
const MOST_SHARDS = 512;
/** What may be better by less than this is not looked for. */
const CLOSE = 0.99;
/** Sums of the same numbers in another order. */
const ROUNDING = 1e-9;

/**
 * How long a step takes with a division, beside what every division takes: the slowest computes, and all sums come, one after the other: they share
 * the coordinator's network and its main thread.
 */
export function stepMs(
  { shards, members }: Pick<Question, 'shards' | 'members'>,
  ranges: readonly ShardRange[],
): number {
  let computing = 0;
  let sums = 0;
  ranges.forEach(({ first, count }, i) => {
    const { workers, shardMs, sumMs } = members[i];
    computing = Math.max(computing, Math.ceil(count / workers) * shardMs);
    sums += sumMs * sumsIn(shards, first, first + count);
  });
  return computing + sums;
}

/**
 * The contiguous division, in the order of the members, with which a step is shortest, to within a hundredth. A run of shards that is no node of the
 * gradient tree ends in several partial sums, each as long as all parameters, so it may be better that one computes more and all send less.
 * Undefined where there are too many shards to look for it.
 */
export function shortestDivision(question: Question): ShardRange[] | undefined {
  const { shards, range, members, least } = question;
  if (shards > MOST_SHARDS) return undefined;
  const counts = sumCounts(shards, range);
  const within = (limitMs: number) => cheapest(question, counts, capacities(members, limitMs, range.count));
  const leastMs = Math.max(
    Math.min(...members.map(({ sumMs }) => sumMs)),
    members.reduce((sum, { sumMs }, i) => sum + (least[i] > 0 ? sumMs : 0), 0),
  );

  // For each limit of the computing time there is a least time of all sums; the larger the one, the smaller the other.
  const limits = limitsOf(question);
  let best: Cheapest | undefined;
  let bestMs = Number.POSITIVE_INFINITY;
  const found = new Map<number, number>();
  const look = (i: number): number => {
    const known = found.get(i);
    if (known !== undefined) return known;
    const cheap = within(limits[i]);
    found.set(i, cheap.sumsMs);
    if (limits[i] + cheap.sumsMs < bestMs * (1 - ROUNDING)) [best, bestMs] = [cheap, limits[i] + cheap.sumsMs];
    return cheap.sumsMs;
  };
  /** Between two limits whose sums are known: lower ones first. */
  const between = (low: number, high: number): void => {
    if (high - low < 2) return;
    const [lowMs, highMs] = [look(low), look(high)];
    if (lowMs <= highMs * (1 + ROUNDING) || limits[low + 1] + highMs >= CLOSE * bestMs) return;
    const middle = (low + high) >> 1;
    look(middle);
    between(low, middle);
    between(middle, high);
  };
  let low = 0;
  look(0);
  for (let step = 1; low < limits.length - 1; step *= 2) {
    const high = Math.min(limits.length - 1, low + step);
    if (limits[low + 1] + leastMs >= CLOSE * bestMs || look(low) <= leastMs * (1 + ROUNDING)) break;
    look(high);
    between(low, high);
    low = high;
  }
  return best && rangesOf(best.counts, range.first);
}

/** The times that members take for whole rounds of shards, from the first in which all together can do everything, ascending. */
function limitsOf({ members, range: { count }, least }: Question): number[] {
  const all = members.flatMap(({ workers, shardMs }) =>
    Array.from({ length: Math.ceil(count / workers) }, (_, i) => (i + 1) * shardMs),
  );
  const sorted = all.sort((a, b) => a - b).filter((ms, i, of) => i === 0 || ms > of[i - 1] * (1 + ROUNDING));
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    const most = capacities(members, sorted[middle], count);
    const fits = most.every((n, i) => n >= least[i]) && most.reduce((sum, n) => sum + n, 0) >= count;
    if (fits) high = middle;
    else low = middle + 1;
  }
  return sorted.slice(low);
}

/** Shards that each can compute in that time. */
function capacities(members: readonly MemberCosts[], limitMs: number, count: number): number[] {
  return members.map(({ workers, shardMs }) =>
    Math.min(count, workers * Math.floor((limitMs / shardMs) * (1 + ROUNDING) + ROUNDING)),
  );
}

interface Cheapest {
  readonly sumsMs: number;
  /** Shards of each member. */
  readonly counts: readonly number[];
}

/**
 * The division whose sums take least, where no member has more shards than it can; among those the most even, and then the one in which earlier
 * members have more. By what is best for the last members from each shard on.
 */
function cheapest({ range, members, least }: Question, counts: SumCounts, most: readonly number[]): Cheapest {
  const { count } = range;
  const width = count + 1;
  // From where to where the shards of each member may begin, so that those before it and from it on can do theirs and have their least.
  const earliest = [0];
  const latest = [0];
  most.forEach((n, i) => {
    earliest.push(earliest[i] + least[i]);
    latest.push(latest[i] + n);
  });
  for (let i = most.length, [could, has] = [count, count]; i >= 0; i--) {
    earliest[i] = Math.max(earliest[i], could);
    latest[i] = Math.min(latest[i], has);
    if (i > 0) [could, has] = [could - most[i - 1], has - least[i - 1]];
  }

  let sums = new Float64Array(width).fill(Number.POSITIVE_INFINITY);
  let uneven = new Float64Array(width);
  sums[count] = 0;
  const chosen = members.map(() => new Int32Array(width));
  for (let i = members.length - 1; i >= 0; i--) {
    const { workers, shardMs, sumMs } = members[i];
    const weight = shardMs / workers;
    const [its, itsUneven] = [new Float64Array(width).fill(Number.POSITIVE_INFINITY), new Float64Array(width)];
    for (let from = earliest[i]; from <= latest[i]; from++) {
      let [leastMs, leastSquare, choice] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0];
      for (let to = Math.min(latest[i + 1], from + most[i]); to >= Math.max(from + least[i], earliest[i + 1]); to--) {
        const n = to - from;
        const ms = sums[to] + sumMs * counts[from * width + to];
        const square = uneven[to] + n * n * weight;
        const same = Math.abs(ms - leastMs) <= ROUNDING * ms;
        if (same ? square < leastSquare * (1 - ROUNDING) : ms < leastMs)
          [leastMs, leastSquare, choice] = [ms, square, n];
      }
      [its[from], itsUneven[from], chosen[i][from]] = [leastMs, leastSquare, choice];
    }
    [sums, uneven] = [its, itsUneven];
  }
  let from = 0;
  const shares = chosen.map((of) => {
    const n = of[from];
    from += n;
    return n;
  });
  return { sumsMs: sums[0], counts: shares };
}

/** Of the shards from one place in the range to another: [from, to]. */
type SumCounts = Uint8Array;

function sumCounts(shards: number, { first, count }: ShardRange): SumCounts {
  const width = count + 1;
  const counts = new Uint8Array(width * width);
  const sizes = nodeSizes(shards);
  for (let from = count - 1; from >= 0; from--) {
    const of = sizes[first + from]; // 1, ...
    let i = 0;
    for (let to = from + 1; to <= count; to++) {
      while (i + 1 < of.length && of[i + 1] <= to - from) i++;
      counts[from * width + to] = 1 + counts[(from + of[i]) * width + to]; // the largest that begins here, and what follows it
    }
  }
  return counts;
}

function rangesOf(counts: readonly number[], first: number): ShardRange[] {
  let next = first;
  return counts.map((count) => {
    const range = { first: next, count };
    next += count;
    return range;
  });
}
