/**
 * What each wire format sends, and what it does to the loss: `npm run bench:wire -- --job mnist --steps 422`, `-- --job gpt --text
 * input.txt --steps 300`. A coordinator and two nodes of one worker over loopback; each seed with each format. The loss is that of
 * validation after the last step, in nats: mean and range over the seeds. Bytes are those of the floats and all around them, of one node
 * in a step, both ways, without what a joining node receives once.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { runCoordinator, runNode } from '../cluster/index.ts';
import gpt from '../examples/char-gpt.ts';
import mnist from '../examples/mnist.ts';
import { text } from '../src/data/index.ts';
import { WIRE_FORMATS, type WireFormat } from '../src/parallel/wire-format.ts';
import type { Job } from '../src/train/job.ts';

const { values } = parseArgs({
  options: {
    job: { type: 'string', default: 'mnist' },
    text: { type: 'string', default: 'input.txt' },
    steps: { type: 'string', default: '300' },
    seeds: { type: 'string', default: '5' },
    first: { type: 'string', default: '1' },
    formats: { type: 'string', default: WIRE_FORMATS.join() },
    json: { type: 'string' },
  },
});

const steps = Number(values.steps);
const jobOf = (seed: number): unknown =>
  values.job === 'mnist'
    ? {
        ...mnist,
        data: { ...mnist.data, test: undefined },
        epochs: undefined,
        steps,
        seed,
        evaluate: { everySteps: steps },
      }
    : {
        ...gpt,
        data: { train: text(values.text, { length: 64 }), validation: 0.1 },
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
}

async function measure(format: WireFormat, seed: number): Promise<Run> {
  const job = jobOf(seed) as Job;
  const nodes: ReturnType<typeof runNode>[] = [];
  const result = await runCoordinator(job, {
    port: 0,
    workers: 1,
    minNodes: 2,
    wire: format,
    onListening: ({ url }) => {
      for (let i = 0; i < 2; i++) nodes.push(runNode(job, { url, workers: 1 }));
    },
  });
  const done = await Promise.all(nodes);
  const { parameters } = result;
  const whole = Object.values(parameters).reduce((sum, { data }) => sum + data.byteLength, 0);
  const joining = format === 'int8' || format === 'topk' ? whole : 0; // bf16 and fp32 send a joining node what all get
  return {
    seed,
    format,
    loss: result.metrics['val.loss'],
    bytesUp: done.reduce((sum, d) => sum + d.bytesSent, 0) / 2 / result.step,
    bytesDown: (done.reduce((sum, d) => sum + d.bytesReceived, 0) / 2 - joining) / result.step,
    seconds: result.seconds,
  };
}

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

const runs: Run[] = [];
for (let seed = Number(values.first); seed < Number(values.first) + Number(values.seeds); seed++) {
  for (const format of values.formats.split(',') as WireFormat[]) {
    const run = await measure(format, seed);
    runs.push(run);
    keep();
    console.error(`${format.padEnd(5)} seed ${seed}  loss ${run.loss.toFixed(4)}  ${run.seconds.toFixed(1)} s`);
  }
}
const of = (format: string) => runs.filter((run) => run.format === format);
const exact = of('fp32');
const range = (format: string) => {
  const losses = of(format).map(({ loss }) => loss);
  return [Math.min(...losses), Math.max(...losses)] as const;
};
console.log(
  `| wire | bytes up | bytes down | of fp32 | val.loss, mean of ${values.seeds} seeds | range | within fp32's |`,
);
console.log('|---|---|---|---|---|---|---|');
for (const format of [...new Set(runs.map((run) => run.format))]) {
  const [up, down] = [mean(of(format).map((r) => r.bytesUp)), mean(of(format).map((r) => r.bytesDown))];
  const share = exact.length > 0 ? (up + down) / mean(exact.map((r) => r.bytesUp + r.bytesDown)) : Number.NaN;
  const loss = mean(of(format).map((r) => r.loss));
  const [low, high] = range(format);
  const [fpLow, fpHigh] = exact.length > 0 ? range('fp32') : [Number.NaN, Number.NaN];
  const within = loss >= fpLow && loss <= fpHigh ? 'yes' : loss < fpLow ? 'below' : 'no';
  console.log(
    `| ${format} | ${Math.round(up).toLocaleString('en')} | ${Math.round(down).toLocaleString('en')} | ${share.toFixed(3)} | ${loss.toFixed(4)} | ${low.toFixed(4)} to ${high.toFixed(4)} | ${within} |`,
  );
}
