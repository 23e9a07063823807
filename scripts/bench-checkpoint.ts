/**
 * `npm run bench:checkpoint`: what checkpoints cost a run. A model of 10 M parameters with Adam (120 MB a checkpoint) on all cores:
 * how long the workers wait for a snapshot, and samples/s with a checkpoint every ten seconds against none, in alternating rounds.
 * Rounds differ by more than a save costs where others use the machine; so its CPU time, which they change little, is measured too.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam, crossEntropy, defineJob, dense, type ProgressEvent, sequential, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { saveCheckpoint } from '../src/checkpoint/save.ts';
import { findCheckpoint } from '../src/checkpoint/store.ts';
import { nodeFs } from '../src/checkpoint/store-fs.ts';

const ROUNDS = Number(process.argv[2] ?? 2);
const SECONDS = Number(process.argv[3] ?? 22);
const [ROWS, WIDTH, HIDDEN] = [8192, 784, 2700];

const x = Float32Array.from({ length: ROWS * WIDTH }, (_, i) => ((i * 7919) % 1000) / 1000 - 0.5);
const y = Int32Array.from({ length: ROWS }, (_, i) => i % 10);
const job = defineJob({
  data: { train: arrays({ x: { data: x, shape: [ROWS, WIDTH] }, y }) },
  model: sequential(dense(HIDDEN, 'relu'), dense(HIDDEN, 'relu'), dense(WIDTH, 'relu'), dense(10)),
  loss: crossEntropy(),
  optimizer: adam({ lr: 1e-4 }),
  clip: { globalNorm: 1 },
  batchSize: 512,
  epochs: 100_000,
});

const pauses: number[] = [];
const writes: number[] = [];
const cpuSeconds: number[] = [];
const EVERY_SECONDS = 10;

/** samples/s over about SECONDS. */
async function run(saving: boolean): Promise<number> {
  const runDir = mkdtempSync(join(tmpdir(), 'lockstep-bench-'));
  const stop = new AbortController();
  const onProgress = (event: ProgressEvent) => {
    if (event.kind !== 'checkpoint') return;
    pauses.push(event.pauseMs);
    writes.push(event.seconds);
  };
  const timer = setTimeout(() => stop.abort(), 1000 * SECONDS);
  try {
    const saves = saving ? { checkpoint: { everyMinutes: EVERY_SECONDS / 60 } } : {};
    const result = await train(
      { ...job, ...saves },
      { runDir: saving ? runDir : undefined, signal: stop.signal, onProgress },
    );
    if (saving) cpuSeconds.push(cpuOfSave(runDir));
    return result.samplesPerSec;
  } finally {
    clearTimeout(timer);
    rmSync(runDir, { recursive: true, force: true });
  }
}

/** What copying, hashing and writing the newest checkpoint once more takes of a core, in seconds. */
function cpuOfSave(runDir: string): number {
  const { checkpoint } = findCheckpoint(nodeFs, runDir);
  const { format: _f, version: _v, savedAt: _t, files: _files, ...facts } = checkpoint.manifest;
  const before = process.cpuUsage();
  const outcome = saveCheckpoint(nodeFs, { runDir: join(runDir, 'again'), facts, ...checkpoint });
  const { user, system } = process.cpuUsage(before);
  if (!outcome.ok) throw new Error(outcome.reason.message);
  return (user + system) / 1e6;
}

const ratios: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const without = await run(false);
  const with_ = await run(true);
  ratios.push(with_ / without);
  console.log(
    `round ${round + 1}: ${without.toFixed(0)} samples/s without, ${with_.toFixed(0)} with a checkpoint every 10 s`,
  );
}
const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1];
console.log(`${availableParallelism()} cores; ${pauses.length} checkpoints of 10 M parameters and Adam`);
console.log(
  `workers wait for a snapshot: median ${median(pauses).toFixed(1)} ms, longest ${Math.max(...pauses).toFixed(1)} ms (must: < 50)`,
);
console.log(`hash and write: median ${median(writes).toFixed(2)} s, off the workers' threads`);
const cost = (median(pauses) / 1000 + median(cpuSeconds)) / EVERY_SECONDS;
console.log(
  `a save takes ${median(cpuSeconds).toFixed(2)} s of a core; all workers wait for the one whose core it is: with the snapshot ${(100 * cost).toFixed(1)} % of their time (must: < 2 %)`,
);
console.log(`samples/s with / without: median ${median(ratios).toFixed(3)} (must: > 0.98)`);
