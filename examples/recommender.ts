/**
 * A recommender: which airports should an airport fly to? Users are origins, items are destinations, and what is known of them is
 * who flew where in the United States of 2008 (flights-airport.csv of vega-datasets). A tenth of all pairs is held out for
 * validation and another for the test. `npm run -s lockstep -- train examples/recommender.ts`; with FACTORS=0 by popularity alone.
 */
import { readFile } from 'node:fs/promises';
import { adagrad, binaryCrossEntropy, defineJob, embedding, f1, normal, precision, recall, zeros } from 'lockstep';
import { rows } from 'lockstep/data';
import * as ops from 'lockstep/ops';

const FACTORS = Number(process.env.FACTORS ?? 16);
const file = new URL('../node_modules/vega-datasets/data/flights-airport.csv', import.meta.url);

/** Every pair of two airports, with 1 where there is a route. */
async function* pairs({ signal }: { readonly signal: AbortSignal }) {
  const [, ...lines] = (await readFile(file, { encoding: 'utf8', signal })).trim().split('\n');
  const routes = new Set(lines.map((line) => line.slice(0, line.lastIndexOf(','))));
  const airports = [...new Set([...routes].flatMap((route) => route.split(',')))].sort();
  for (const [from, origin] of airports.entries()) {
    for (const [to, destination] of airports.entries()) {
      if (from !== to) yield { from, to, flies: routes.has(`${origin},${destination}`) ? 1 : 0 };
    }
  }
}

export default defineJob({
  data: {
    train: rows({ from: { dtype: 'i32' }, to: { dtype: 'i32' }, flies: { dtype: 'f32' } }, pairs),
    validation: 0.1,
    test: 0.1,
  },
  model: ({ from, to }, info) => {
    const [origins, destinations] = [info.from.size, info.to.size];
    // Popularity: how many routes an airport has at all.
    const popular = ops.add(
      embedding(origins, 1, { name: 'origin', init: zeros() })(from),
      embedding(destinations, 1, { name: 'destination', init: zeros() })(to),
    );
    if (FACTORS === 0) return popular;
    // Taste: factors of both that agree. Larger catalogues get sparse gradients by themselves.
    const wants = embedding(origins, FACTORS, { name: 'wants', init: normal(0.1) })(from);
    const has = embedding(destinations, FACTORS, { name: 'has', init: normal(0.1) })(to);
    return ops.add(popular, ops.sum(ops.mul(wants, has), { axis: 1, keepDims: true }));
  },
  loss: binaryCrossEntropy({ target: 'flies' }),
  metrics: [f1({ target: 'flies' }), precision({ target: 'flies' }), recall({ target: 'flies' })],
  optimizer: adagrad({ lr: 0.1 }),
  batchSize: 512,
  epochs: 20,
  earlyStopping: { monitor: 'val.loss', patience: 3 },
  seed: 1,
});
