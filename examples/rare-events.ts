/**
 * Which collisions of aircraft with birds cause substantial damage? One in thirty does: class weights keep the model from always
 * answering "none". Every year brings new reports; the model goes on from the one of the year before instead of starting anew.
 *
 *     npm run -s lockstep -- train examples/rare-events.ts --run-dir runs/strikes-2000
 *     UNTIL=2001 npm run -s lockstep -- train examples/rare-events.ts --warm-start runs/strikes-2000 --run-dir runs/strikes-2001 --epochs 3
 *
 * learns from the reports before UNTIL (2000), and tests on the year UNTIL, which it has not seen.
 */
import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import { adamw, crossEntropy, defineJob, dense, f1, precision, recall, sequential } from 'lockstep';
import { rows } from 'lockstep/data';
import * as ops from 'lockstep/ops';

const until = Number(process.env.UNTIL ?? 2000);
/** Of the package vega-datasets: 10,000 reports of the FAA's wildlife strike database, 1990 to 2002. */
const file = new URL('../node_modules/vega-datasets/data/birdstrikes.csv', import.meta.url);

type Report = Readonly<Record<string, string>>;

/** What is known when a collision is reported. Values come in the order of the alphabet: new years must not change places. */
const CATEGORIES = ['Wildlife Size', 'Phase of flight', 'Time of day', 'Wildlife Species'] as const;
const reports: readonly Report[] = parse(await readFile(file), { columns: true });
const values = CATEGORIES.map((name) => [...new Set(reports.map((report) => report[name]))].sort());
const FEATURES = values.reduce((sum, all) => sum + all.length, 2);

function encode(report: Report): { x: number[]; y: number } {
  const x = CATEGORIES.flatMap((name, i) => values[i].map((value) => Number(report[name] === value)));
  const speed = report['Speed IAS in knots'];
  return {
    x: [...x, speed === '' ? 0 : Number(speed) / 100 - 1.5, Number(speed === '')],
    y: Number(report['Effect Amount of damage'] === 'Substantial'),
  };
}

const strikes = (of: (year: number) => boolean) =>
  rows({ x: { dtype: 'f32', shape: [FEATURES] }, y: { dtype: 'i32', size: 2 } }, function* () {
    for (const report of reports) if (of(Number(report['Flight Date'].slice(0, 4)))) yield encode(report);
  });

const network = sequential(dense(32, 'relu'), dense(2));

export default defineJob({
  data: { train: strikes((year) => year < until), validation: 0.15, test: strikes((year) => year === until) },
  model: ({ x }) => {
    const scores = network(x); // of "no" and "yes"
    return { scores, margin: ops.sub(ops.slice(scores, 1, 1), ops.slice(scores, 1, 0, 1)) };
  },
  // A report of damage counts as much as eight others: more of them are found, with more false alarms.
  loss: crossEntropy({ output: 'scores', classWeights: [1, 8] }),
  metrics: [precision, recall, f1].map((metric) => metric({ output: 'margin', target: 'y' })),
  optimizer: adamw({ lr: 1e-3, weightDecay: 0.05 }),
  batchSize: 64,
  epochs: 12,
  seed: 1,
});
