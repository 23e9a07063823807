import { arrays } from '../../src/data/index.ts';
import {
  adam,
  crossEntropy,
  dense,
  type Job,
  lstm,
  type Model,
  type OptimizerDescription,
  sequential,
} from '../../src/index.ts';
import type { Rows } from './rows.ts';
import { CLIP_NORM, LEARNING_RATE, type ModelSpec, type Workload } from './workloads.ts';

export interface JobSizes {
  /** Rows of a step. */
  readonly batch: number;
  readonly steps: number;
  readonly shards?: number | undefined;
  /** Default Adam with PyTorch's defaults. */
  readonly optimizer?: OptimizerDescription | undefined;
}

/** The job of a workload on these rows. */
export function workloadJob(
  { model, input, target }: Pick<Workload, 'model' | 'input' | 'target'>,
  { x, y }: Rows,
  { batch, steps, shards, optimizer = adam({ lr: LEARNING_RATE }) }: JobSizes,
): Job {
  const rows = y.length / target.reduce((a, b) => a * b, 1);
  return {
    data: {
      train: arrays({ x: { data: x, shape: [rows, ...input.shape] }, y: { data: y, shape: [rows, ...target] } }),
    },
    model: buildModel(model),
    loss: crossEntropy(),
    optimizer,
    clip: { globalNorm: CLIP_NORM },
    batchSize: batch,
    epochs: Math.ceil((steps * batch) / rows) + 1,
    steps,
    seed: 1,
    shards,
  };
}

/** The model of a workload as a user would write it. Its parameters' names are those that the peers read: peers/torch_peer.py. */
export function buildModel(spec: ModelSpec): Model {
  switch (spec.kind) {
    case 'dense': {
      const hidden = spec.sizes.slice(1, -1).map((units) => dense(units, 'relu'));
      return sequential(...hidden, dense(spec.sizes[spec.sizes.length - 1]));
    }
    case 'lstm':
      return sequential(lstm(spec.hidden), dense(spec.classes, { name: 'out' }));
    default:
      throw new Error(`no model of kind ${spec.kind}`);
  }
}
