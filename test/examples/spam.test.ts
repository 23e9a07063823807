import { train } from 'lockstep';
import { loadData } from 'lockstep/data';
import { expect, test } from 'vitest';
import job from '../../examples/spam.ts';
import type { Split } from '../../src/data/contract.ts';
import { planRun } from '../../src/train/plan-run.ts';

const FILLER = 2000;

/** Mails of a split as sets of words. */
function mails(split: Split | undefined) {
  if (split?.kind !== 'table') throw new Error('no table');
  const [words, spam] = ['words', 'spam'].map((name) => split.columns.find((c) => c.name === name)?.data ?? []);
  const longest = words.length / split.size;
  return Array.from({ length: split.size }, (_, i) => ({
    words: Array.from(words.slice(i * longest, (i + 1) * longest)).filter((word) => word !== FILLER),
    spam: spam[i],
  }));
}

/** Naive Bayes on the words that occur, with one mail of each class added: share of right answers. */
function naiveBayes(known: ReturnType<typeof mails>, asked: ReturnType<typeof mails>): number {
  const classes = [0, 1].map((spam) => {
    const own = known.filter((mail) => mail.spam === spam);
    const counts = new Array<number>(FILLER).fill(1);
    for (const { words } of own) for (const word of words) counts[word] += 1;
    const total = counts.reduce((a, b) => a + b, 0);
    return { prior: Math.log(own.length), weights: counts.map((count) => Math.log(count / total)) };
  });
  const score = (words: number[], { prior, weights }: (typeof classes)[0]) =>
    words.reduce((sum, word) => sum + weights[word], prior);
  const right = asked.filter(({ words, spam }) => score(words, classes[1]) > score(words, classes[0]) === (spam === 1));
  return right.length / asked.length;
}

test('AdaGrad on the words of each batch does as well as naive Bayes on the same mails', async () => {
  const { compiled } = await planRun(job as unknown as Parameters<typeof planRun>[0], { workers: 1 });
  expect(compiled.rowTables).toHaveLength(1);
  const data = await loadData(job.data, { seed: job.seed ?? 1, baseDir: '.' });
  const { metrics } = await train(job, { workers: 1 });
  const reference = naiveBayes(mails(data.train), mails(data.test));
  expect(reference).toBeGreaterThan(0.9);
  expect(metrics['test.accuracy']).toBeGreaterThanOrEqual(reference);
});
