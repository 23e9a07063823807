import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { LockstepError } from '../../errors.ts';

/** Rows of numbers and a class each; examples/data/README.md says where they come from. */
export interface Labelled {
  readonly x: { readonly data: Float32Array; readonly shape: readonly [number, number] };
  readonly y: Int32Array;
}

/** Digits of 8 x 8 points in [0, 1]. */
export function digits(): Labelled {
  const rows = numbers('digits.csv.gz', ',');
  return labelled(
    rows,
    (row) => row.slice(0, 64).map((v) => v / 16),
    (row) => row[64],
  );
}

/** Thirty features, each with mean 0 and standard deviation 1 over all rows. */
export function breastCancer(): Labelled {
  const rows = numbers('breast-cancer.csv.gz', ',').slice(1);
  const features = 30;
  const mean = Array.from({ length: features }, (_, j) => rows.reduce((sum, row) => sum + row[j], 0) / rows.length);
  const spread = mean.map((m, j) =>
    Math.sqrt(rows.reduce((sum, row) => sum + (row[j] - m) * (row[j] - m), 0) / rows.length),
  );
  return labelled(
    rows,
    (row) => mean.map((m, j) => (row[j] - m) / spread[j]),
    (row) => row[features],
  );
}

const VOCABULARY = 2000;

/** Mails as sets of words: 1 where a word occurs, about 97 of 2,000. */
export function spam(): Labelled {
  return labelled(
    numbers('spam-words.txt.gz', ' '),
    ([, ...words]) => {
      const set = new Array<number>(VOCABULARY).fill(0);
      for (const word of words) set[word] = 1;
      return set;
    },
    ([label]) => label,
  );
}

function labelled(rows: number[][], features: (row: number[]) => number[], label: (row: number[]) => number): Labelled {
  const width = features(rows[0]).length;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    data.set(features(row), i * width);
  });
  return { x: { data, shape: [rows.length, width] }, y: Int32Array.from(rows, label) };
}

function numbers(name: string, separator: string): number[][] {
  const text = gunzipSync(readFileSync(find(name))).toString('latin1');
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(separator).map(Number));
}

/** Three folders up in a checkout, four in the built package. */
function find(name: string): string {
  for (const folder of ['../../../examples/data/', '../../../../examples/data/']) {
    const path = fileURLToPath(new URL(folder + name, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new LockstepError('E_DATA_MISSING', {
    where: `examples/data/${name}`,
    expected: 'a file that comes with lockstep',
    got: 'nothing',
    fix: 'install lockstep again, or make it with scripts/data/claims-data.mjs',
  });
}
