/**
 * `npm run bench:prediction`: how far the predictions of `lockstep scale` are from what is measured, on 1, 2 and 3 node processes of 1 and 2
 * workers on this machine, over loopback and over links that are slowed down. One node's phases and what sockets cost between two processes
 * that compute nothing are measured; the rest is predicted from them, and measured, too.
 *
 *   npm run bench:prediction -- --workloads mlp,cnn --links loopback,1gbit/0.5ms,200mbit/2ms --save NAME
 *   npm run bench:prediction -- --formats bf16,int8,int4,topk,int8/8 --links 200mbit/5ms     int8/8: an exchange every eight steps
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { formatTable } from '../src/cli/format.ts';
import { referenceJob } from '../src/cli/scale.ts';
import { machineLine } from '../src/scaling/html.ts';
import { scale } from '../src/scaling/scale.ts';
import { parseLink, parseWhatIf } from '../src/scaling/what-if.ts';
import { given } from './given.ts';
import { ROOT } from './root.ts';

/** More than there are workers. */
const SHARDS = 8;
/** What must be. */
const LIMIT = 0.15;

const values = given({
  workloads: { type: 'string', default: 'mlp,cnn' },
  formats: { type: 'string', default: 'fp32' },
  links: { type: 'string', default: 'loopback,1gbit/0.5ms,200mbit/2ms' },
  workers: { type: 'string', default: '1,2' },
  nodes: { type: 'string', default: '1,2,3' },
  rounds: { type: 'string', default: '3' },
  save: { type: 'string' },
});
const exchangedBy = (name: string) => {
  const [format, steps = '1'] = name.split('/');
  const { formats, syncEvery } = parseWhatIf(`nodes=1,format=${format},sync=${steps}`);
  return { format: formats[0], syncEvery };
};
const numbers = (text: string) => text.split(',').map(Number);
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());

const rows: string[][] = [];
const results: object[] = [];
let machine: Awaited<ReturnType<typeof scale>>['machine'] | undefined;
const cases = values.links.split(',').flatMap((name) => values.formats.split(',').map((format) => ({ name, format })));
for (const { name, format } of cases) {
  const link = name === 'loopback' ? undefined : parseLink(name);
  const exchanged = exchangedBy(format);
  for (const workload of values.workloads.split(',')) {
    if (stop.signal.aborted) break;
    const job = await referenceJob(workload, { shards: SHARDS, set: [] });
    const report = await scale([job], {
      workers: numbers(values.workers),
      nodes: numbers(values.nodes),
      mode: 'strong',
      rounds: Number(values.rounds),
      seconds: 0.8,
      whatIf: parseWhatIf('nodes=1'),
      noise: false,
      nodeEntry: new URL('dist/src/cli/scale-node.js', ROOT).href,
      link,
      exchanged,
      signal: stop.signal,
      onProgress: (of, event) => {
        const { kind } = event;
        process.stderr.write(
          `${name}, ${format}, ${of}: ${kind === 'round' ? `round ${event.round}` : `${event.done} of ${event.all}`}\n`,
        );
      },
    });
    machine ??= report.machine;
    const [{ errors, costs, link: found }] = report.jobs;
    results.push({ workload, link: name, format, found, busyElsewhere: report.machine.busyElsewhere, warnings: report.machine.warnings, costs, errors }); // biome-ignore format: a record
    for (const { nodes, workers, measured, predicted, error } of errors) {
      const cells = [Math.round(measured), Math.round(predicted)].map((n) => n.toLocaleString('en-US'));
      const percent = `${error >= 0 ? '+' : ''}${(100 * error).toFixed(1)} %`;
      rows.push([workload, name, format, String(nodes), String(workers), ...cells, percent, Math.abs(error) <= LIMIT ? 'yes' : 'NO']); // biome-ignore format: one line
    }
  }
}
const header = ['workload', 'link', 'format', 'nodes', 'workers of each', 'measured, samples/s', 'predicted', 'error', `within ${100 * LIMIT} %`]; // biome-ignore format: one line
for (const line of formatTable(header, rows)) console.log(line);
if (machine) console.log(machineLine(machine));
if (values.save !== undefined && machine) {
  const target = new URL(`docs/results/${values.save}.json`, ROOT);
  mkdirSync(new URL('.', target), { recursive: true });
  const rounded = (_: string, value: unknown) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
  const command = `npm run bench:prediction -- ${process.argv.slice(2).join(' ')}`;
  writeFileSync(target, `${JSON.stringify({ command, stopped: stop.signal.aborted, machine, results }, rounded, 1)}\n`);
}
