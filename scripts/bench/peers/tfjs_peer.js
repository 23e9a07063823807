/**
 * TensorFlow.js on its WASM backend (one thread: its threaded build needs a browser's workers) as a contestant of
 * `npm run bench`. Fused dense layers, gather by index, clip by global norm, Adam.
 */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import { denseWeights, readFloats, readInts, serve } from './serve.js';

const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-layers'); // registers the gradients of all operations
const wasm = require('@tensorflow/tfjs-backend-wasm');

const MODELS = { dense };

await serve(async ({ model, folder, rows, lr, clip }) => {
  tf.env().set('IS_TEST', false);
  wasm.setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
  await tf.setBackend('wasm');
  await tf.ready();
  const build = MODELS[model.kind];
  if (!build) throw new Error(`TensorFlow.js: no model of kind ${model.kind}`);
  const { parameters, logits, reset } = build(model, `${folder}/weights.f32`);
  const x = tf.tensor2d(readFloats(`${folder}/x.f32`), [rows, model.sizes[0]]);
  const classes = model.sizes.at(-1);
  const labels = readInts(`${folder}/y.i32`);
  const y = tf.tensor2d(
    Float32Array.from({ length: rows * classes }, (_, i) => (labels[Math.floor(i / classes)] === i % classes ? 1 : 0)),
    [rows, classes],
  );
  let optimizer;
  return {
    version: `TensorFlow.js ${tf.version_core} wasm${(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')) ? ' simd' : ''}`,
    reset() {
      reset();
      optimizer?.dispose();
      optimizer = tf.train.adam(lr, 0.9, 0.999, 1e-8);
    },
    step(batch) {
      return tf.tidy(() => {
        const ids = tf.tensor1d(batch, 'int32');
        const rowsX = tf.gather(x, ids);
        const rowsY = tf.gather(y, ids);
        const { value, grads } = tf.variableGrads(
          () => tf.losses.softmaxCrossEntropy(rowsY, logits(rowsX)),
          parameters,
        );
        const names = Object.keys(grads);
        const norm = tf.sqrt(tf.addN(names.map((name) => tf.sum(tf.square(grads[name])))));
        const scale = tf.minimum(tf.scalar(1), tf.div(tf.scalar(clip), tf.add(norm, 1e-6)));
        for (const name of names) grads[name] = tf.mul(grads[name], scale);
        optimizer.applyGradients(grads);
        return value.dataSync()[0];
      });
    },
  };
});

function dense({ sizes }, weightsPath) {
  const start = denseWeights(weightsPath, sizes).map(({ weight, bias, ins, outs }) => ({
    weight: tf.tensor2d(weight, [ins, outs]),
    bias: tf.tensor1d(bias),
  }));
  const layers = start.map(({ weight, bias }) => ({ weight: tf.variable(weight), bias: tf.variable(bias) }));
  return {
    parameters: layers.flatMap(({ weight, bias }) => [weight, bias]),
    reset() {
      layers.forEach((layer, i) => {
        layer.weight.assign(start[i].weight.clone());
        layer.bias.assign(start[i].bias.clone());
      });
    },
    logits: (x) =>
      layers.reduce(
        (a, { weight, bias }, i) =>
          tf.fused.matMul({ a, b: weight, bias, activation: i + 1 < layers.length ? 'relu' : 'linear' }),
        x,
      ),
  };
}
