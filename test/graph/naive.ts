/** An independent NumPy in plain loops over indices: the oracle of the op tests. */
export interface Nd {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

export type Index = readonly number[];

const size = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** The tensor whose element at each index is f(index). */
export function tabulate(shape: readonly number[], f: (index: Index) => number): Nd {
  const data: number[] = [];
  for (let flat = 0; flat < size(shape); flat++) {
    const index: number[] = [];
    let rest = flat;
    for (let d = shape.length - 1; d >= 0; d--) {
      index.unshift(rest % shape[d]);
      rest = Math.floor(rest / shape[d]);
    }
    data.push(f(index));
  }
  return { shape, data };
}

/** Element at an index of a tensor that x broadcasts to. */
export function at(x: Nd, index: Index): number {
  const own = index.slice(index.length - x.shape.length);
  return x.data[x.shape.reduce((flat, n, d) => flat * n + (n === 1 ? 0 : own[d]), 0)];
}

export function broadcast(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, d) => Math.max(...shapes.map((s) => s[d - rank + s.length] ?? 1)));
}

export const scalar = (value: number): Nd => ({ shape: [], data: [value] });
export const map = (x: Nd, f: (value: number) => number): Nd => ({ shape: x.shape, data: x.data.map(f) });

export function zip(a: Nd, b: Nd, f: (a: number, b: number) => number): Nd {
  return tabulate(broadcast(a.shape, b.shape), (index) => f(at(a, index), at(b, index)));
}

export function reduce(x: Nd, axes: readonly number[], keepDims: boolean, f: (values: number[]) => number): Nd {
  const kept = x.shape.map((n, d) => (axes.includes(d) ? 1 : n));
  const groups = tabulate(kept, () => 0).data.map((): number[] => []);
  let flat = 0;
  tabulate(x.shape, (index) => {
    const group = kept.reduce((sum, n, d) => sum * n + (n === 1 ? 0 : index[d]), 0);
    groups[group].push(x.data[flat++]);
    return 0;
  });
  return { shape: keepDims ? kept : x.shape.filter((_, d) => !axes.includes(d)), data: groups.map(f) };
}

export function transpose(x: Nd, permutation: readonly number[]): Nd {
  return tabulate(
    permutation.map((d) => x.shape[d]),
    (index) => {
      const source = permutation.reduce<number[]>((result, d, i) => {
        result[d] = index[i];
        return result;
      }, []);
      return at(x, source);
    },
  );
}

export function matmul(a: Nd, b: Nd): Nd {
  const [m, k] = a.shape.slice(-2);
  const n = b.shape[b.shape.length - 1];
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return tabulate([...batch, m, n], (index) => {
    const [i, j] = index.slice(-2);
    const outer = index.slice(0, -2);
    let sum = 0;
    for (let l = 0; l < k; l++) sum += at(a, [...outer, i, l]) * at(b, [...outer, l, j]);
    return sum;
  });
}

/** Rows along the last axis replaced by f(row). */
export function rows(x: Nd, f: (row: number[]) => number[]): Nd {
  const n = x.shape[x.shape.length - 1];
  const data: number[] = [];
  for (let i = 0; i < x.data.length; i += n) data.push(...f(x.data.slice(i, i + n)));
  return { shape: x.shape, data };
}

export const softmaxRow = (row: number[]): number[] => {
  const total = row.reduce((sum, v) => sum + Math.exp(v), 0);
  return row.map((v) => Math.exp(v) / total);
};

/** The error function by Simpson's rule on its integral. */
export function erf(x: number): number {
  const n = 2000;
  const h = x / n;
  let sum = 1 + Math.exp(-x * x);
  for (let i = 1; i < n; i++) sum += (i % 2 === 1 ? 4 : 2) * Math.exp(-((i * h) ** 2));
  return (2 / Math.sqrt(Math.PI)) * (h / 3) * sum;
}

/** Deterministic uniform numbers for shapes and choices (mulberry32). */
export function randomStream(seed: number): { next(): number; int(low: number, high: number): number } {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, int: (low, high) => low + Math.floor(next() * (high - low + 1)) };
}
