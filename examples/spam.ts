/**
 * A spam filter on sparse text features: every word has a weight, a mail is spam if the weights of its words add up to more than 0
 * (logistic regression on a bag of words). Of 2,000 words a mail has some 100, so a table of weights is looked up instead of
 * multiplying by zeros, and AdaGrad, which keeps large steps for rare words, touches only the words of a batch.
 * `npm run -s lockstep -- train examples/spam.ts`
 */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { accuracy, adagrad, binaryCrossEntropy, defineJob, embedding, zeros } from 'lockstep';
import { rows } from 'lockstep/data';
import * as ops from 'lockstep/ops';

/** Words of the vocabulary, words of the longest mail; shorter mails are filled up with a word of their own. */
const [WORDS, LONGEST] = [2000, 700];
const FILLER = WORDS;
const file = new URL('./data/spam-words.txt.gz', import.meta.url);

/** 1,200 mails of the SpamAssassin corpus, half of them spam, as the words that occur in them. */
async function* mails({ signal }: { readonly signal: AbortSignal }) {
  const lines = gunzipSync(await readFile(file, { signal }))
    .toString('latin1')
    .trim()
    .split('\n');
  for (const line of lines) {
    const [spam, ...words] = line.split(' ').map(Number);
    yield { words: [...words, ...new Array<number>(LONGEST - words.length).fill(FILLER)], spam };
  }
}

export default defineJob({
  data: {
    train: rows({ words: { dtype: 'i32', shape: [LONGEST], size: WORDS + 1 }, spam: { dtype: 'f32' } }, mails),
    validation: 0.1,
    test: 0.25,
  },
  model: ({ words }) => {
    const weights = embedding(WORDS + 1, 1, { name: 'weights', init: zeros(), sparse: true })(words); // [mails, longest, 1]
    const isWord = ops.notEqual(ops.cast(words), FILLER);
    return ops.sum(ops.mul(ops.reshape(weights, [-1, LONGEST]), isWord), { axis: 1, keepDims: true });
  },
  loss: binaryCrossEntropy({ target: 'spam' }),
  metrics: [accuracy({ target: 'spam' })],
  optimizer: adagrad({ lr: 0.1 }),
  batchSize: 64,
  epochs: 20,
  seed: 1,
});
