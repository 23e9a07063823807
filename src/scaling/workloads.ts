/**
 * The workloads as data. A new one is a row here; a new kind of model has its builder in models.ts, its work in flop.ts and its
 * twin in each peer that can do it (a peer that cannot answers with an error and is left out).
 */
export type ModelSpec =
  | { readonly kind: 'dense'; readonly sizes: readonly number[] }
  /** Convolutions of 3x3 with ReLU and pooling by 2 after each, a hidden dense layer, the classes. */
  | {
      readonly kind: 'cnn';
      readonly channels: readonly [number, number];
      readonly units: number;
      readonly classes: number;
    }
  /** One LSTM, its last hidden state, the classes. */
  | { readonly kind: 'lstm'; readonly hidden: number; readonly classes: number }
  /** A decoder with pre-LayerNorm, learned positions and tied weights. */
  | {
      readonly kind: 'gpt';
      readonly vocabulary: number;
      readonly layers: number;
      readonly heads: number;
      readonly width: number;
    };

export interface Workload {
  readonly name: string;
  /** What stands above its table. */
  readonly title: string;
  readonly model: ModelSpec;
  /** Rows in memory, shuffled every epoch. */
  readonly rows: number;
  /** A row of field x, without the axis of the rows. */
  readonly input: { readonly dtype: 'f32' | 'i32'; readonly shape: readonly number[] };
  /** A row of field y: [] for a class a row, [positions] for a class at each position. */
  readonly target: readonly number[];
  readonly classes: number;
  /** Rows a worker and step. */
  readonly batch: number;
  /** Rows a worker in weak scaling, where that is not `batch`. */
  readonly weakBatch?: number;
  /** Global batches of the scaling rows: the same work on 1 and on all workers. */
  readonly scalingBatches: readonly number[];
}

/** Both sides: Adam with PyTorch's defaults, clipped by global norm. */
export const LEARNING_RATE = 1e-3;
export const CLIP_NORM = 1;

const ROWS = 60_000;
export const SMALL: Workload = { ...dense('small', [30, 64, 64, 2], 64, []), weakBatch: 1024 };

export const WORKLOADS: readonly Workload[] = [
  SMALL,
  dense('mlp', [784, 512, 256, 10], 128, [512]),
  {
    name: 'cnn',
    title: 'conv 3x3 32, pool, conv 3x3 64, pool, dense 128, dense 10 on 28x28, ReLU, cross-entropy',
    model: { kind: 'cnn', channels: [32, 64], units: 128, classes: 10 },
    rows: ROWS,
    input: { dtype: 'f32', shape: [28, 28, 1] },
    target: [],
    classes: 10,
    batch: 64,
    scalingBatches: [128],
  },
  {
    name: 'lstm',
    title: 'LSTM 16 -> 64 over 32 steps, last hidden state, dense 10, cross-entropy',
    model: { kind: 'lstm', hidden: 64, classes: 10 },
    rows: ROWS,
    input: { dtype: 'f32', shape: [32, 16] },
    target: [],
    classes: 10,
    batch: 64,
    scalingBatches: [],
  },
  {
    name: 'gpt',
    title: 'decoder, vocabulary 65, 64 positions, 4 layers, 4 heads, width 128, cross-entropy at each position',
    model: { kind: 'gpt', vocabulary: 65, layers: 4, heads: 4, width: 128 },
    rows: ROWS,
    input: { dtype: 'i32', shape: [64] },
    target: [64],
    classes: 65,
    batch: 12,
    scalingBatches: [24],
  },
];

function dense(name: string, sizes: readonly number[], batch: number, scalingBatches: readonly number[]): Workload {
  return {
    name,
    title: `dense ${sizes.join('-')}, ReLU, cross-entropy`,
    model: { kind: 'dense', sizes },
    rows: ROWS,
    input: { dtype: 'f32', shape: [sizes[0]] },
    target: [],
    classes: sizes[sizes.length - 1],
    batch,
    scalingBatches,
  };
}
