// What watching costs, and how long a long run takes to open:
//
//   npm run bench:dashboard                    all
//   npm run bench:dashboard -- --only load     10^6 recorded steps: from the command to curves in a page
//   npm run bench:dashboard -- --only sinks    `mlp` with metrics.jsonl, CSV, TensorBoard with histograms, a page that is open and a sink of one's own,
//                                              against none of them: ratio of samples/s, rounds in turn
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam, CsvSink, crossEntropy, defineJob, dense, sequential, TensorBoardSink, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { chromium } from 'playwright-core';
import { openDashboard } from '../src/dashboard/dashboard.ts';
import { openFolders } from '../src/dashboard/folders.ts';
import type { StepRecord } from '../src/record/contract.ts';
import { JsonlSink } from '../src/record/jsonl.ts';
import { given } from './given.ts';

const values = given({
  only: { type: 'string' },
  steps: { type: 'string', default: '1000000' },
  rounds: { type: 'string', default: '20' },
  workers: { type: 'string', default: String(availableParallelism()) },
});
const folder = mkdtempSync(join(tmpdir(), 'lockstep-bench-dashboard-'));
try {
  if (values.only !== 'sinks') await load(Number(values.steps));
  if (values.only !== 'load') await sinks(Number(values.rounds), Number(values.workers));
} finally {
  rmSync(folder, { recursive: true });
}

async function load(steps: number): Promise<void> {
  const runDir = join(folder, 'long');
  await writeLongRun(runDir, steps);
  const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);
  const browser = executablePath ? await chromium.launch({ executablePath, args: ['--no-sandbox'] }) : undefined;
  const page = await browser?.newPage();
  for (let round = 1; round <= 5; round++) {
    const start = performance.now();
    const dashboard = await openDashboard({ port: 0 });
    // As a person does it: the link is there when the folder was found, and is opened while it is read.
    let going: Promise<unknown> | undefined;
    const opened = await openFolders(dashboard.board, [runDir], () => {
      going = page?.goto(dashboard.url);
    });
    const read = performance.now();
    await going;
    await page?.locator('#where', { hasText: `step ${steps.toLocaleString('en-US')} of` }).waitFor();
    const drawn = performance.now();
    console.log(
      `load, round ${round}: ${steps} steps read in ${(read - start).toFixed(0)} ms${page ? `, curves in Chromium after ${(drawn - start).toFixed(0)} ms` : ''}`,
    );
    await opened.close();
    await dashboard.close();
  }
  await browser?.close();
}

/** As a run writes it: numbers of all lengths. */
async function writeLongRun(runDir: string, steps: number): Promise<void> {
  const sink = new JsonlSink(runDir);
  await sink.open({
    kind: 'header',
    job: { metrics: ['accuracy'], totalSteps: steps, batchSize: 256, rows: { train: 51_200 }, tensors: [] },
    versions: {},
    seed: 1,
    machine: { cpu: '', cores: 2, memoryBytes: 0, platform: '' },
    kernels: { gemm: '', simd: '', detail: '' },
    workers: 2,
    shards: 4,
    parameters: 0,
    startedAt: new Date().toISOString(),
  });
  for (let from = 1; from <= steps; from += 10_000) {
    const count = Math.min(10_000, steps - from + 1);
    await sink.write(Array.from({ length: count }, (_, i) => longRunStep(from + i)));
  }
  await sink.close();
}

function longRunStep(step: number): StepRecord {
  const noise = Math.abs(Math.sin(step * 12.9898) * 43758.5453) % 1;
  return {
    kind: 'step',
    step,
    epoch: Math.ceil(step / 200),
    loss: 2 / Math.sqrt(step) + 0.1 * noise,
    metrics: { accuracy: 1 - 0.3 * noise },
    lr: 1e-3 / (1 + step / 1e5),
    gradNorm: 0.5 + noise,
    clipScale: noise > 0.5 ? 1 / (0.5 + noise) : 1,
    samples: 256,
    timings: { stepMs: 3 + noise, gatherMs: 0.1 * noise, computeMs: 2 + noise / 2, waitMs: noise / 3, reduceMs: 0.1 + noise / 50, updateMs: 0.2 + noise / 30 }, // biome-ignore format: one line
  };
}

async function sinks(rounds: number, workers: number): Promise<void> {
  const [rows, width] = [25_600, 784];
  const x = Float32Array.from({ length: rows * width }, (_, i) => ((i * 2_654_435_761) % 1000) / 1000 - 0.5);
  const job = defineJob({
    data: {
      train: arrays({ x: { data: x, shape: [rows, width] }, y: Int32Array.from({ length: rows }, (_, i) => i % 10) }),
    },
    model: sequential(dense(512, 'relu'), dense(256, 'relu'), dense(10)),
    loss: crossEntropy(),
    optimizer: adam({ lr: 1e-4 }),
    clip: { globalNorm: 1 },
    batchSize: 128 * workers,
    epochs: 1000,
    steps: 500,
  });
  const speed = { none: [] as number[], all: [] as number[] };
  for (let round = 0; round <= rounds; round++) {
    for (const kind of round % 2 === 0 ? (['none', 'all'] as const) : (['all', 'none'] as const)) {
      const samplesPerSec = kind === 'none' ? (await train(job, { workers })).samplesPerSec : await watched(round);
      if (round > 0) speed[kind].push(samplesPerSec); // the first warms up
    }
  }

  async function watched(round: number): Promise<number> {
    const dashboard = await openDashboard({ port: 0 });
    const { sink, controls } = dashboard.watch('bench');
    const token = new URL(dashboard.url).searchParams.get('token');
    // An open page: it reads what it is sent.
    const reader = get(`http://127.0.0.1:${dashboard.port}/events?token=${token}`, (response) => response.resume());
    reader.on('error', () => undefined);
    let seen = 0;
    const own = {
      name: 'own',
      open() {},
      async write(records: readonly unknown[]) {
        seen += records.length;
      },
      close() {},
    };
    // metrics.jsonl without the checkpoints of a run folder, which have a benchmark of their own.
    const files = [
      new JsonlSink(join(folder, `r${round}`)),
      new CsvSink(join(folder, `c${round}`)),
      new TensorBoardSink(join(folder, `t${round}`)),
    ];
    const { samplesPerSec, problems } = await train(job, {
      workers,
      sinks: [sink, ...files, own],
      controls,
      histogramSteps: 500,
    });
    reader.destroy();
    await dashboard.close();
    if (problems.length > 0 || seen === 0) throw new Error(`not everything was kept: ${problems}`);
    return samplesPerSec;
  }

  const ratios = speed.all.map((value, i) => value / speed.none[i]).sort((a, b) => a - b);
  const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1];
  console.log(
    `sinks, mlp, ${workers} workers: ${Math.round(median(speed.none))} samples/s without, ${Math.round(median(speed.all))} with all`,
  );
  console.log(
    `ratio of medians ${(median(speed.all) / median(speed.none)).toFixed(4)}; of rounds: median ${median(ratios).toFixed(4)}, from ${ratios[0].toFixed(4)} to ${ratios[ratios.length - 1].toFixed(4)}`,
  );
}
