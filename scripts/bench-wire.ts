/**
 * What each setting of the wire sends, and what it does to the loss: `npm run bench:wire -- --job mnist --steps 422`, `-- --job gpt --text
 * input.txt --steps 300`. A coordinator and two nodes of one worker over loopback; each seed with each setting: a format, after a `/` how
 * many local steps, after two more the outer optimizer's learning rate and momentum, after one more the peak of the job's learning rate, and
 * after one more how many steps of warm-up (`int8/16` is `--wire int8 --sync-every 16`, `int8/16/1/0.3` has `--outer-lr 1 --outer-momentum 0.3` besides, and `int8/16/1/0.3/1e-3` also
 * `--set optimizer.lr.peak=1e-3`; `fp32/1///1e-3` has only that; `int8/16////200` has `--sync-warmup 200`). The loss is that of validation after the last step, in nats: mean and range
 * over the seeds. Bytes are those of the floats and all around them, of one node in a step of the job, both ways, without what a
 * joining node receives once.
 *
 * `--link 100mbit/20ms`: each node's connection has that bandwidth in each direction, and that delay from end to end (a proxy on
 * loopback). Then samples/s are shown against those of fp32 without a limit, measured in turn: of the second half of the steps of the run, and
 * of the whole run, a warm-up and all. They are medians over the seeds.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { FaultyProxy } from '../cluster/faults/proxy.ts';
import { runCoordinator, runNode } from '../cluster/index.ts';
import gpt from '../examples/char-gpt.ts';
import mnist from '../examples/mnist.ts';
import { applySettings } from '../src/cli/set.ts';
import { text } from '../src/data/index.ts';
import { codecOf, WIRE_FORMATS, type WireFormat } from '../src/parallel/wire-format.ts';
import type { StepRecord } from '../src/record/contract.ts';
import { parseLink } from '../src/scaling/what-if.ts';
import type { Job } from '../src/train/job.ts';
import { given } from './given.ts';

const values = given({
  job: { type: 'string', default: 'mnist' },
  text: { type: 'string', default: 'input.txt' },
  steps: { type: 'string', default: '300' },
  batch: { type: 'string' },
  seeds: { type: 'string', default: '5' },
  first: { type: 'string', default: '1' },
  formats: { type: 'string', default: WIRE_FORMATS.join() },
  link: { type: 'string' },
  json: { type: 'string' },
});

const steps = Number(values.steps);
const batch = values.batch === undefined ? {} : { batchSize: Number(values.batch) };
const jobOf = (seed: number): unknown =>
  values.job === 'mnist'
    ? {
        ...mnist,
        data: { ...mnist.data, test: undefined },
        epochs: undefined,
        ...batch,
        steps,
        seed,
        evaluate: { everySteps: steps },
      }
    : {
        ...gpt,
        data: { train: text(values.text, { length: 64 }), validation: 0.1 },
        ...batch,
        steps,
        seed,
        evaluate: { everySteps: steps },
        checkpoint: undefined,
      };

interface Run {
  readonly seed: number;
  readonly format: string;
  readonly loss: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly seconds: number;
  /** Over the second half of the run, of the rows of whole batches. */
  readonly samplesPerSec: number;
  /** Over all of it. */
  readonly wholePerSec: number;
}

const numberOf = (text: string | undefined) => (text ? Number(text) : undefined);
const UNLIMITED = 'fp32 without a limit';

async function measure(setting: string, seed: number): Promise<Run> {
  const [format, every = '1', outerLr, outerMomentum, peak = '', warmup] = (
    setting === UNLIMITED ? 'fp32' : setting
  ).split('/');
  const job = applySettings(jobOf(seed) as Job, peak === '' ? [] : [`optimizer.lr.peak=${peak}`]);
  const syncEvery = Number(every);
  const link = values.link === undefined || setting === UNLIMITED ? undefined : parseLink(values.link);
  const nodes: ReturnType<typeof runNode>[] = [];
  const proxies: FaultyProxy[] = [];
  const result = await runCoordinator(job, {
    port: 0,
    workers: 1,
    minNodes: 2,
    wire: format as WireFormat,
    syncEvery,
    ...(syncEvery > 1 && {
      outerLr: numberOf(outerLr),
      outerMomentum: numberOf(outerMomentum),
      syncWarmup: numberOf(warmup),
    }),
    onListening: async ({ url, port }) => {
      for (let i = 0; i < 2; i++) {
        const speed = link && { delayMs: link.latencyMs, bytesPerSecond: 1000 * link.bytesPerMs };
        const proxy = speed && (await FaultyProxy.start({ target: { port }, up: speed, down: speed }));
        if (proxy) proxies.push(proxy);
        nodes.push(runNode(job, { url: proxy?.url ?? url, workers: 1 }));
      }
    },
  });
  const done = await Promise.all(nodes);
  for (const proxy of proxies) await proxy.close();
  const { parameters, history } = result;
  const whole = Object.values(parameters).reduce((sum, { data }) => sum + data.byteLength, 0);
  const joining = codecOf(format as WireFormat)?.takes ? whole : 0; // bf16 and fp32 send a joining node what all get
  const rounds = [...history];
  const later = rounds.slice(rounds.length >> 1);
  return {
    seed,
    format: setting,
    loss: result.metrics['val.loss'],
    bytesUp: done.reduce((sum, d) => sum + d.bytesSent, 0) / 2 / steps,
    bytesDown: (done.reduce((sum, d) => sum + d.bytesReceived, 0) / 2 - joining) / steps,
    seconds: result.seconds,
    samplesPerSec: rateOf(later),
    wholePerSec: rateOf(rounds),
  };
}

const rateOf = (rounds: readonly StepRecord[]): number =>
  (1000 * rounds.reduce((sum, { samples }) => sum + samples, 0)) /
  rounds.reduce((sum, { timings }) => sum + timings.stepMs, 0);

/** What was measured so far: a long measurement may be stopped. */
function keep(): void {
  if (!values.json) return;
  const machine = { cpu: cpus()[0].model, cores: cpus().length, node: process.version, date: new Date().toISOString() };
  writeFileSync(
    values.json,
    `${JSON.stringify({ command: process.argv.slice(2).join(' '), machine, runs }, undefined, 1)}\n`,
  );
}

const mean = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length;

const settings = [...(values.link === undefined ? [] : [UNLIMITED]), ...values.formats.split(',')];
const runs: Run[] = [];
for (let seed = Number(values.first); seed < Number(values.first) + Number(values.seeds); seed++) {
  for (const setting of settings) {
    const run = await measure(setting, seed);
    runs.push(run);
    keep();
    console.error(
      `${setting.padEnd(7)} seed ${seed}  loss ${run.loss.toFixed(4)}  ${run.seconds.toFixed(1)} s  ${run.samplesPerSec.toFixed(1)} samples/s`,
    );
  }
}
const of = (format: string) => runs.filter((run) => run.format === format);
const exact = of(values.link === undefined ? 'fp32' : UNLIMITED);
const rangeOf = (some: readonly Run[]) => {
  const losses = some.map(({ loss }) => loss);
  return [Math.min(...losses), Math.max(...losses)] as const;
};
const median = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const speedOf = (some: readonly Run[], of: 'samplesPerSec' | 'wholePerSec') => median(some.map((run) => run[of]));
const whole = (value: number) => Math.round(value).toLocaleString('en');
const columns = [
  'wire',
  'bytes up',
  'bytes down',
  'of fp32',
  `val.loss, mean of ${values.seeds} seeds`,
  'range',
  "within fp32's",
];
if (values.link !== undefined)
  columns.push('samples/s', 'of those without a limit', 'samples/s of the whole run', 'of those');
console.log(`| ${columns.join(' | ')} |\n|${'---|'.repeat(columns.length)}`);
for (const setting of settings) {
  const own = of(setting);
  const [up, down] = [mean(own.map((r) => r.bytesUp)), mean(own.map((r) => r.bytesDown))];
  const share = exact.length > 0 ? (up + down) / mean(exact.map((r) => r.bytesUp + r.bytesDown)) : Number.NaN;
  const loss = mean(own.map((r) => r.loss));
  const [low, high] = rangeOf(own);
  const [fpLow, fpHigh] = exact.length > 0 ? rangeOf(exact) : [Number.NaN, Number.NaN];
  const within = loss >= fpLow && loss <= fpHigh ? 'yes' : loss < fpLow ? 'below' : 'no';
  const cells = [
    setting,
    whole(up),
    whole(down),
    share.toFixed(3),
    loss.toFixed(4),
    `${low.toFixed(4)} to ${high.toFixed(4)}`,
    within,
  ];
  if (values.link !== undefined) {
    for (const speed of ['samplesPerSec', 'wholePerSec'] as const) {
      cells.push(whole(speedOf(own, speed)), (speedOf(own, speed) / speedOf(exact, speed)).toFixed(2));
    }
  }
  console.log(`| ${cells.join(' | ')} |`);
}
