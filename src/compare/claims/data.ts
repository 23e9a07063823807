import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { LockstepError } from '../../errors.ts';

/** Rows of numbers, and for each a class or a number to predict; examples/data/README.md says where they come from. */
export interface Labelled<Y = Int32Array | Float32Array> {
  readonly x: { readonly data: Float32Array; readonly shape: readonly [number, number] };
  readonly y: Y;
}

/** Digits of 8 x 8 points in [0, 1]. */
export function digits(): Labelled<Int32Array> {
  const rows = numbers('digits.csv.gz', ',');
  return labelled(
    rows,
    (row) => row.slice(0, 64).map((v) => v / 16),
    (row) => row[64],
  );
}

/** Thirty features, each with mean 0 and standard deviation 1 over all rows. */
export function breastCancer(): Labelled<Int32Array> {
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
export function spam(): Labelled<Int32Array> {
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

/** Points that a row of `mackeyGlass` shows. */
export const SERIES_LENGTH = 16;

/**
 * The chaotic series of Mackey & Glass 1977, dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, in steps of 1: sixteen points a row
 * and the one six steps on, from stretches that do not overlap; centred and scaled to a spread of about 1.
 */
export function mackeyGlass(rows = 1500): Labelled<Float32Array> {
  const [delay, ahead] = [17, 6];
  const stretch = SERIES_LENGTH + ahead;
  const skipped = 500; // until it has forgotten where it started
  const series = new Float64Array(skipped + rows * stretch).fill(1.2, 0, delay + 1);
  for (let t = delay; t + 1 < series.length; t++) {
    const late = series[t - delay];
    const square = late * late;
    const fourth = square * square;
    series[t + 1] = 0.9 * series[t] + (0.2 * late) / (1 + fourth * fourth * square);
  }
  const at = (row: number, t: number): number => (series[skipped + row * stretch + t] - 0.93) / 0.23;
  const data = Float32Array.from({ length: rows * SERIES_LENGTH }, (_, i) =>
    at(Math.floor(i / SERIES_LENGTH), i % SERIES_LENGTH),
  );
  return {
    x: { data, shape: [rows, SERIES_LENGTH] },
    y: Float32Array.from({ length: rows }, (_, row) => at(row, stretch - 1)),
  };
}

function labelled(
  rows: number[][],
  features: (row: number[]) => number[],
  label: (row: number[]) => number,
): Labelled<Int32Array> {
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
