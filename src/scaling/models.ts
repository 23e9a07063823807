import { arrays } from '../data/arrays.ts';
import {
  conv2d,
  crossEntropy,
  dense,
  embedding,
  flatten,
  layerNorm,
  lecunUniform,
  lstm,
  type Model,
  maxPool2d,
  multiHeadAttention,
  normal,
  positions,
  residual,
  scope,
  sequential,
} from '../nn/index.ts';
import { adam } from '../optim/adam.ts';
import type { OptimizerDescription } from '../optim/contract.ts';
import type { Job } from '../train/job.ts';
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
    case 'cnn': {
      const blocks = spec.channels.flatMap((channels, i) => [
        conv2d(channels, 3, 'relu', { padding: 'same', name: `conv${i + 1}` }),
        maxPool2d(2),
      ]);
      // Small first logits. With larger ones the loss doubles in the first steps, and what rounding differs by grows ten thousandfold
      // within 20 of them: in float32 either side was then up to 1.3e-4 from float64, now 1e-6.
      return sequential(
        ...blocks,
        flatten(),
        dense(spec.units, 'relu', { name: 'fc1', init: lecunUniform() }),
        dense(spec.classes, { name: 'fc2', init: normal(0.01) }),
      );
    }
    case 'lstm':
      return sequential(lstm(spec.hidden), dense(spec.classes, { name: 'out' }));
    case 'gpt':
      return gpt(spec);
  }
}

function gpt({ vocabulary, layers, heads, width }: Extract<ModelSpec, { kind: 'gpt' }>): Model {
  return ({ x }) => {
    const tokens = embedding(vocabulary, width, { name: 'tokens' });
    let h = positions(x.shape[1], { name: 'positions' })(tokens(x));
    for (let i = 0; i < layers; i++) {
      h = scope(`block${i}`, () =>
        sequential(
          residual(layerNorm({ name: 'norm1' }), multiHeadAttention({ heads, causal: true, name: 'attention' })),
          residual(
            layerNorm({ name: 'norm2' }),
            dense(4 * width, 'gelu', { name: 'up' }),
            dense(width, { name: 'down' }),
          ),
        )(h),
      );
    }
    return tokens.attend(layerNorm({ name: 'norm' })(h));
  };
}
