/**
 * A GPT that writes character by character, in nanoGPT's configuration for CPUs, but for a three times larger learning rate:
 *
 *     npm run -s lockstep -- train examples/char-gpt.ts --set data.train.path=/path/to/text.txt --run-dir runs/text
 *     npm run -s lockstep -- generate runs/text --prompt 'O ' --temperature 0.8
 *
 * The last tenth of the text validates: `val.loss` is the mean over all of it, in nats a character.
 * With nanoGPT's own learning rate (`--set optimizer.lr.peak=1e-3`) it ends where the same recipe does in PyTorch.
 */
import {
  adamw, crossEntropy, defineJob, dense, embedding, layerNorm, multiHeadAttention, normal, positions, residual, sequential,
  warmupCosine,
} from 'lockstep'; // biome-ignore format: a list
import { text } from 'lockstep/data';

const [length, layers, heads, width] = [64, 4, 4, 128];
const init = normal(0.02);
/** Of what is added to the residual stream, 2 x `layers` times (GPT-2). */
const outInit = normal(0.02 / Math.sqrt(2 * layers));

const block = () =>
  sequential(
    residual(layerNorm({ bias: false }), multiHeadAttention({ heads, causal: true, bias: false, init, outInit })),
    residual(
      layerNorm({ bias: false }),
      dense(4 * width, 'gelu', { bias: false, init }),
      dense(width, { bias: false, init: outInit }),
    ),
  );

export default defineJob({
  data: { train: text('input.txt', { length }), validation: 0.1 },
  model: ({ x }, info) => {
    const tokens = embedding(info.x.size, width, { init });
    const decoder = sequential(positions(length), ...Array.from({ length: layers }, block), layerNorm({ bias: false }));
    return tokens.attend(decoder(tokens(x)));
  },
  loss: crossEntropy(),
  optimizer: adamw({
    lr: warmupCosine({ peak: 3e-3, warmupSteps: 100, final: 1e-4 }),
    betas: [0.9, 0.99],
    weightDecay: 0.1,
    noDecay: ['layerNorm*/weight'],
  }),
  clip: { globalNorm: 1 },
  batchSize: 12,
  steps: 2000,
  evaluate: { everySteps: 500 },
  checkpoint: { everySteps: 500, keepBest: 'val.loss' },
  seed: 1337,
});
