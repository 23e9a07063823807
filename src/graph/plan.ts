/** Memory that is needed from the first to the last moment of a schedule, both included. */
export interface Lifetime {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/** Vectors and cache lines: every buffer starts at a multiple of this. */
export const ALIGNMENT = 64;

export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/**
 * Byte offsets such that no two buffers that live at one moment overlap. Greedy: the largest first, each into the tightest gap
 * between its neighbours in time (best fit), else behind them.
 */
export function planMemory(buffers: readonly Lifetime[]): { offsets: number[]; bytes: number } {
  const offsets = new Array<number>(buffers.length).fill(0);
  const order = buffers.map((_, i) => i).sort((a, b) => buffers[b].bytes - buffers[a].bytes || a - b);
  const placed: number[] = []; // by offset
  let total = 0;
  for (const i of order) {
    const { bytes, first, last } = buffers[i];
    const size = align(bytes);
    let end = 0;
    let best = -1;
    let slack = Number.POSITIVE_INFINITY;
    for (const j of placed) {
      if (buffers[j].last < first || buffers[j].first > last) continue;
      const gap = offsets[j] - end;
      if (gap >= size && gap - size < slack) {
        best = end;
        slack = gap - size;
      }
      end = Math.max(end, offsets[j] + align(buffers[j].bytes));
    }
    offsets[i] = best < 0 ? end : best;
    total = Math.max(total, offsets[i] + size);
    const at = placed.findIndex((j) => offsets[j] > offsets[i]);
    placed.splice(at < 0 ? placed.length : at, 0, i);
  }
  return { offsets, bytes: total };
}
