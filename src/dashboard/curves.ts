/** A stretch of curves for the wire: parallel arrays, one place a group of steps. Numbers that are not finite are null. */
export interface CurveData {
  /** Last step of each group, and how many steps it holds. */
  readonly step: readonly number[];
  readonly count: readonly number[];
  readonly mean: Readonly<Record<string, readonly (number | null)[]>>;
  /** Only where a group holds several steps. */
  readonly min?: Readonly<Record<string, readonly (number | null)[]>>;
  readonly max?: Readonly<Record<string, readonly (number | null)[]>>;
}

/** Digits that travel: more than a screen can show. */
const DIGITS = 7;

class Column {
  sum = new Float64Array(64);
  /** Values that are finite: others count for nothing. */
  count = new Float64Array(64);
  min = new Float64Array(64);
  max = new Float64Array(64);

  grow(length: number): void {
    for (const key of ['sum', 'count', 'min', 'max'] as const) {
      const larger = new Float64Array(length);
      larger.set(this[key]);
      this[key] = larger;
    }
  }

  begin(at: number): void {
    this.sum[at] = 0;
    this.count[at] = 0;
    this.min[at] = Number.POSITIVE_INFINITY;
    this.max[at] = Number.NEGATIVE_INFINITY;
  }

  add(at: number, value: number): void {
    if (value - value !== 0) return; // not finite
    this.sum[at] += value;
    this.count[at] += 1;
    if (value < this.min[at]) this.min[at] = value;
    if (value > this.max[at]) this.max[at] = value;
  }

  merge(into: number, from: number): void {
    this.sum[into] = this.sum[from];
    this.count[into] = this.count[from];
    this.min[into] = this.min[from];
    this.max[into] = this.max[from];
  }

  mergeIn(into: number, from: number): void {
    this.sum[into] += this.sum[from];
    this.count[into] += this.count[from];
    this.min[into] = Math.min(this.min[into], this.min[from]);
    this.max[into] = Math.max(this.max[into], this.max[from]);
  }
}

/**
 * Curves over the steps of a run in bounded memory: least, greatest and mean value of groups of equally many steps. When there are too
 * many groups, neighbours are merged, so a run of any length fits and no peak is lost.
 */
export class Curves {
  readonly names: readonly string[];
  /** Of `names`: those whose least and greatest values are sent. */
  readonly #banded: ReadonlySet<string>;
  readonly #capacity: number;
  readonly #columns: readonly Column[];
  #step = new Float64Array(64);
  #rows = new Float64Array(64);
  /** Groups, the last perhaps incomplete. */
  #length = 0;
  #stride = 1;

  /** @param capacity an even number of groups. */
  constructor(names: readonly string[], banded: readonly string[], capacity: number) {
    this.names = [...names];
    this.#banded = new Set(banded);
    this.#capacity = capacity;
    this.#columns = names.map(() => new Column());
  }

  get length(): number {
    return this.#length;
  }

  get lastStep(): number {
    return this.#length === 0 ? 0 : this.#step[this.#length - 1];
  }

  /** A step and its values in the order of `names`; steps come in ascending order. */
  push(step: number, values: ArrayLike<number>): void {
    let at = this.#length - 1;
    if (at < 0 || this.#rows[at] >= this.#stride) at = this.#begin();
    this.#step[at] = step;
    this.#rows[at] += 1;
    const columns = this.#columns;
    for (let i = 0; i < columns.length; i++) columns[i].add(at, values[i]);
  }

  /** Forgets what comes after a step (as exactly as the groups allow): a resumed run replaces it. */
  truncate(step: number): void {
    while (this.#length > 0 && this.#step[this.#length - 1] > step) this.#length -= 1;
  }

  clear(): void {
    this.#length = 0;
    this.#stride = 1;
  }

  /** The curves between two steps in at most `points` groups. */
  query(points: number, from = 0, to = Number.POSITIVE_INFINITY): CurveData {
    const first = this.#find(from);
    const end = this.#end(to);
    const size = Math.max(1, Math.ceil((end - first) / Math.max(1, points)));
    const step: number[] = [];
    const count: number[] = [];
    let single = true;
    for (let at = first; at < end; at += size) {
      const last = Math.min(end, at + size);
      step.push(this.#step[last - 1]);
      let rows = 0;
      for (let i = at; i < last; i++) rows += this.#rows[i];
      if (rows > 1) single = false;
      count.push(rows);
    }
    const mean: Record<string, (number | null)[]> = {};
    const min: Record<string, (number | null)[]> = {};
    const max: Record<string, (number | null)[]> = {};
    for (const [i, name] of this.names.entries()) {
      const column = this.#columns[i];
      const group = { mean: [] as (number | null)[], min: [] as (number | null)[], max: [] as (number | null)[] };
      for (let at = first; at < end; at += size) this.#gather(column, at, Math.min(end, at + size), group);
      mean[name] = group.mean;
      if (single || !this.#banded.has(name)) continue;
      min[name] = group.min;
      max[name] = group.max;
    }
    return single ? { step, count, mean } : { step, count, mean, min, max };
  }

  #gather(
    column: Column,
    first: number,
    end: number,
    group: { mean: (number | null)[]; min: (number | null)[]; max: (number | null)[] },
  ): void {
    let [sum, count, min, max] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let i = first; i < end; i++) {
      sum += column.sum[i];
      count += column.count[i];
      if (column.min[i] < min) min = column.min[i];
      if (column.max[i] > max) max = column.max[i];
    }
    group.mean.push(count === 0 ? null : rounded(sum / count));
    group.min.push(count === 0 ? null : rounded(min));
    group.max.push(count === 0 ? null : rounded(max));
  }

  #begin(): number {
    if (this.#length === this.#capacity) this.#halve();
    if (this.#length > 0 && this.#rows[this.#length - 1] < this.#stride) return this.#length - 1;
    const at = this.#length++;
    if (at === this.#step.length) {
      const length = Math.min(this.#capacity, 2 * at);
      for (const column of this.#columns) column.grow(length);
      this.#step = grown(this.#step, length);
      this.#rows = grown(this.#rows, length);
    }
    this.#rows[at] = 0;
    for (const column of this.#columns) column.begin(at);
    return at;
  }

  /** Merges neighbours: half as many groups, each of twice as many steps. */
  #halve(): void {
    const half = Math.ceil(this.#length / 2);
    for (let i = 0; i < half; i++) {
      const [a, b] = [2 * i, 2 * i + 1];
      const both = b < this.#length;
      this.#step[i] = this.#step[both ? b : a];
      this.#rows[i] = this.#rows[a] + (both ? this.#rows[b] : 0);
      for (const column of this.#columns) {
        column.merge(i, a);
        if (both) column.mergeIn(i, b);
      }
    }
    this.#length = half;
    this.#stride *= 2;
  }

  /** The first group that ends at `step` or later. */
  #find(step: number): number {
    let [low, high] = [0, this.#length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#step[middle] < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** One behind the group that holds `step`. */
  #end(step: number): number {
    return Math.min(this.#length, this.#find(step) + 1);
  }
}

function grown(values: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(length);
  larger.set(values);
  return larger;
}

function rounded(value: number): number {
  return Number(value.toPrecision(DIGITS));
}
