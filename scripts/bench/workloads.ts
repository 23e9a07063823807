/**
 * The workloads as data. A new one is a row here, a kind in `ModelSpec`, and a builder of that kind in lockstep_peer.ts
 * and in each peer that can do it (a peer that cannot answers with an error and is left out).
 */
export type ModelSpec = { readonly kind: 'dense'; readonly sizes: readonly number[] };

export interface Workload {
  readonly name: string;
  /** What stands above its table. */
  readonly title: string;
  readonly model: ModelSpec;
  /** Rows in memory, shuffled every epoch. */
  readonly rows: number;
  /** Numbers a row. */
  readonly features: number;
  readonly classes: number;
  /** Rows a worker and step. */
  readonly batch: number;
  /** Global batches of the scaling rows: the same work on 1 and on all workers. */
  readonly scalingBatches: readonly number[];
}

/** Both sides: Adam with PyTorch's defaults, clipped by global norm. */
export const LEARNING_RATE = 1e-3;
export const CLIP_NORM = 1;

export const WORKLOADS: readonly Workload[] = [
  dense('small', [30, 64, 64, 2], 64, []),
  dense('mlp', [784, 512, 256, 10], 128, [512]),
];

function dense(name: string, sizes: readonly number[], batch: number, scalingBatches: readonly number[]): Workload {
  return {
    name,
    title: `dense ${sizes.join('-')}, ReLU, cross-entropy`,
    model: { kind: 'dense', sizes },
    rows: 60_000,
    features: sizes[0],
    classes: sizes[sizes.length - 1],
    batch,
    scalingBatches,
  };
}

/** Floating-point operations of the matrix products of one step on `rows` rows: forward, gradient of weights, of inputs. */
export function gemmFlop(model: ModelSpec, rows: number): number {
  let flop = 0;
  for (let i = 0; i + 1 < model.sizes.length; i++) {
    const product = 2 * rows * model.sizes[i] * model.sizes[i + 1];
    flop += i === 0 ? 2 * product : 3 * product; // nobody needs the gradient of the data
  }
  return flop;
}

/** Rows with a learnable label: the class of the largest of `classes` random projections, one label in ten at random. */
export function makeRows(workload: Workload, seed: number): { x: Float32Array; y: Int32Array } {
  const { rows, features, classes } = workload;
  const uniform = mulberry32(seed);
  const unit = () => (2 * uniform() - 1) * Math.sqrt(3); // mean 0, variance 1
  const teacher = Float32Array.from({ length: classes * features }, unit);
  const x = Float32Array.from({ length: rows * features }, unit);
  const y = new Int32Array(rows);
  for (let r = 0; r < rows; r++) {
    let best = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) {
      let score = 0;
      for (let i = 0; i < features; i++) score += x[r * features + i] * teacher[c * features + i];
      if (score > best) {
        best = score;
        y[r] = c;
      }
    }
    if (uniform() < 0.1) y[r] = Math.floor(classes * uniform());
  }
  return { x, y };
}

/** Uniform numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}
