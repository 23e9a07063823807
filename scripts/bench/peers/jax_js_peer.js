/**
 * jax-js on its WASM backend (one thread in Node) as a contestant of `npm run bench`. The whole step is one jitted function:
 * loss and gradient, clip by global norm, Adam. Rows are gathered in plain JavaScript, which is faster there than np.take.
 */
globalThis.navigator ??= {};
const { readFileSync } = await import('node:fs');
const { jit, valueAndGrad, numpy: np, nn, init, defaultDevice, tree } = await import('@jax-js/jax');
const { denseWeights, readFloats, readInts, serve } = await import('./serve.js');

const { version } = JSON.parse(readFileSync(new URL('node_modules/@jax-js/jax/package.json', import.meta.url), 'utf8'));
const [BETA1, BETA2, EPS] = [0.9, 0.999, 1e-8];
const MODELS = { dense };

await serve(async ({ model, folder, lr, clip, batch }) => {
  await init('wasm');
  defaultDevice('wasm');
  const build = MODELS[model.kind];
  if (!build) throw new Error(`jax-js: no model of kind ${model.kind}`);
  const { start, loss } = build(model, `${folder}/weights.f32`);
  const x = readFloats(`${folder}/x.f32`);
  const y = readInts(`${folder}/y.i32`);
  const [features, classes] = [model.sizes[0], model.sizes.at(-1)];
  const update = jit(function update(state, batchX, batchY, correction1, correction2) {
    const { p, m, v } = state;
    const [value, grads] = valueAndGrad(loss)(tree.ref(p), batchX, batchY);
    const squares = tree.leaves(tree.ref(grads)).map((g) => np.sum(np.square(g)));
    const norm = np.sqrt(squares.reduce((a, b) => a.add(b)));
    const scale = np.minimum(np.array(1), np.array(clip).div(norm.add(1e-6)));
    const g = tree.map((a) => a.mul(scale.ref), grads);
    scale.dispose();
    const nextM = tree.map((a, b) => a.mul(BETA1).add(b.mul(1 - BETA1)), m, tree.ref(g));
    const nextV = tree.map((a, b) => a.mul(BETA2).add(np.square(b).mul(1 - BETA2)), v, g);
    const nextP = tree.map(
      (a, b, c) =>
        a.sub(
          b
            .div(correction1.ref)
            .div(np.sqrt(c.div(correction2.ref)).add(EPS))
            .mul(lr),
        ),
      p,
      tree.ref(nextM),
      tree.ref(nextV),
    );
    correction1.dispose();
    correction2.dispose();
    return [{ p: nextP, m: nextM, v: nextV }, value];
  });
  const rowsX = new Float32Array(batch * features);
  const rowsY = new Float32Array(batch * classes);
  let state;
  let count;
  return {
    version: `jax-js ${version} wasm`,
    reset() {
      tree.dispose(state);
      const zeros = () => tree.map((a) => np.zeros(a.shape), start());
      state = { p: start(), m: zeros(), v: zeros() };
      count = 0;
    },
    step(ids) {
      count++;
      rowsY.fill(0);
      for (let i = 0; i < batch; i++) {
        rowsX.set(x.subarray(ids[i] * features, (ids[i] + 1) * features), i * features);
        rowsY[i * classes + y[ids[i]]] = 1;
      }
      const [next, value] = update(
        state,
        np.array(rowsX).reshape([batch, features]),
        np.array(rowsY).reshape([batch, classes]),
        np.array(1 - BETA1 ** count),
        np.array(1 - BETA2 ** count),
      );
      state = next;
      return value.dataSync()[0];
    },
  };
});

function dense({ sizes }, weightsPath) {
  const layers = denseWeights(weightsPath, sizes);
  return {
    start: () =>
      layers.map(({ weight, bias, ins, outs }) => ({
        weight: np.array(weight).reshape([ins, outs]),
        bias: np.array(bias),
      })),
    loss(p, x, y) {
      const logits = p.reduce((a, { weight, bias }, i) => {
        const z = np.matmul(a, weight).add(bias);
        return i + 1 < p.length ? nn.relu(z) : z;
      }, x);
      return np.mean(np.sum(nn.logSoftmax(logits).mul(y), 1)).mul(-1);
    },
  };
}
