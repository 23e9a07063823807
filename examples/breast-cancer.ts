/**
 * Is a tumour benign? 569 patients, thirty measures of cell nuclei each (radius, texture, smoothness ...), a second of training. So few
 * rows ask for a simple model: one layer, which is logistic regression, and weight decay, which keeps it from relying on single measures.
 * `npm run -s lockstep -- train examples/breast-cancer.ts`
 */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { adamw, crossEntropy, defineJob, dense, sequential } from 'lockstep';
import { rows } from 'lockstep/data';

const file = new URL('./data/breast-cancer.csv.gz', import.meta.url);

/** Thirty measures a line, then 0 malignant or 1 benign; the first line says how many. */
async function* patients({ signal }: { readonly signal: AbortSignal }) {
  const [, ...lines] = gunzipSync(await readFile(file, { signal }))
    .toString('latin1')
    .trim()
    .split('\n');
  for (const line of lines) {
    const numbers = line.split(',').map(Number);
    yield { x: numbers.slice(0, 30), y: numbers[30] };
  }
}

export default defineJob({
  data: {
    // Standardised by the training rows alone.
    train: rows({ x: { dtype: 'f32', shape: [30] }, y: { dtype: 'i32', size: 2 } }, patients, {
      normalize: { x: 'standard' },
    }),
    test: 0.1,
  },
  model: sequential(dense(2)),
  loss: crossEntropy(),
  optimizer: adamw({ lr: 1e-2, weightDecay: 0.3 }),
  epochs: 40,
  seed: 1,
});
