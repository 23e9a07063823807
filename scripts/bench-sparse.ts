/**
 * `npm run bench:sparse`: what a step costs that looks rows of a large table up, against the size of the table. Users of a table of
 * growing size meet items of a small one (inner product, Adam, clipping by norm, batch 4,096); with sparse gradients, with dense
 * ones while these fit, and beside PyTorch with `nn.Embedding(sparse=True)` and SparseAdam where it is installed.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { adam, defineJob, embedding, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import * as ops from 'lockstep/ops';
import { PYTHON } from './bench/peers.ts';
import { median, quantile } from './bench/statistics.ts';
import { ROOT } from './root.ts';

const WORKERS = Number(process.argv[2] ?? 1);
const ROUNDS = Number(process.argv[3] ?? 3);
const [ROWS, BATCH, WIDTH, ITEMS] = [262_144, 4096, 32, 10_000];
const [STEPS, WARM_UP] = [120, 20];
const SIZES = [10_000, 100_000, 1_000_000];
/** Dense gradients of the largest table do not fit into an arena with several workers. */
const LARGEST_DENSE = 100_000;

function job(users: number, sparse: boolean) {
  const ids = (size: number, factor: number) => Int32Array.from({ length: ROWS }, (_, i) => (i * factor) % size);
  return defineJob({
    data: {
      train: arrays({
        user: { data: ids(users, 7919), shape: [ROWS], size: users },
        item: { data: ids(ITEMS, 104_729), shape: [ROWS], size: ITEMS },
        y: Float32Array.from({ length: ROWS }, (_, i) => i % 2),
      }),
    },
    model: ({ user, item }) => {
      const u = embedding(users, WIDTH, { name: 'user', sparse })(user);
      return ops.sum(ops.mul(u, embedding(ITEMS, WIDTH, { name: 'item', sparse })(item)), { axis: 1 });
    },
    loss: ({ output }, { y }) => ops.square(ops.sub(output, y)),
    optimizer: adam({ lr: 1e-3 }),
    clip: { globalNorm: 1 },
    batchSize: BATCH,
    steps: STEPS,
  });
}

/** Milliseconds of a step that nothing disturbed: the tenth part of all steps takes less. */
async function lockstep(users: number, sparse: boolean): Promise<number> {
  const { history } = await train(job(users, sparse), { workers: WORKERS });
  return quantile(
    history.slice(WARM_UP).map(({ timings }) => timings.stepMs),
    0.1,
  );
}

function pytorch(users: number): number {
  const script = fileURLToPath(new URL('scripts/bench/peers/torch_embedding.py', ROOT));
  const args = [script, users, ITEMS, WIDTH, BATCH, STEPS, WARM_UP].map(String);
  const { status, stdout } = spawnSync(PYTHON, args, { env: { ...process.env, OMP_NUM_THREADS: String(WORKERS) } });
  return status === 0 ? Number(stdout) : Number.NaN;
}

const rows = SIZES.flatMap((users) => [
  { what: 'sparse', users, run: async () => lockstep(users, true) },
  ...(users <= LARGEST_DENSE ? [{ what: 'dense', users, run: async () => lockstep(users, false) }] : []),
  { what: 'PyTorch sparse', users, run: async () => pytorch(users) },
]).map((row) => ({ ...row, times: [] as number[] }));
for (let round = 0; round < ROUNDS; round++) for (const row of rows) row.times.push(await row.run());

console.log(
  `${WORKERS} worker${WORKERS > 1 ? 's' : ''}, batch ${BATCH}, width ${WIDTH}; ms of a step (fastest tenth), and its ratio to the smallest table`,
);
for (const { what, users, times } of rows) {
  const first = rows.find((row) => row.what === what);
  const ratio = median(times) / median(first?.times ?? []);
  console.log(
    `${what.padEnd(16)} ${String(users).padStart(9)} rows  ${median(times).toFixed(3)} ms  x ${ratio.toFixed(2)}`,
  );
}
