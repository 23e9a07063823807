import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, extname, join } from 'node:path';
import { closest, LockstepError } from '../errors.ts';
import { toLine } from '../record/jsonl.ts';
import type { MeasureEvent } from '../scaling/measure.ts';
import type { ScaledJob } from '../scaling/scale.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';
import type { NodeJob } from './scale-node.ts';
import type { ScaleCommandOptions } from './scale-options.ts';
import { renderScale } from './scale-table.ts';

/** The file beside this one: `.ts` in a checkout, `.js` once built. */
const NODE_ENTRY = new URL(import.meta.url.endsWith('.ts') ? './scale-node.ts' : './scale-node.js', import.meta.url)
  .href;
const ROUNDS = 6;
const SECONDS = 0.8;

/** `lockstep scale [job]`: progress on standard error, tables on standard output, scaling.json and scaling.html in a folder. */
export async function scaleCommand(path: string | undefined, options: ScaleCommandOptions, io: Io): Promise<void> {
  const jobs = path === undefined ? await referenceJobs(options) : [await jobOf(path, options)];
  // After the job: a commonjs job requires this package, and Node cannot require modules that are being imported.
  const { scale } = await import('../scaling/scale.ts');
  const { parseWhatIf, DEFAULT_WHAT_IF } = await import('../scaling/what-if.ts');
  const { renderScaling } = await import('../scaling/html.ts');
  const { summaryOf } = await import('../scaling/report.ts');
  const { traceOf } = await import('../record/trace.ts');
  const folder = options.out ?? `scale-${path === undefined ? 'reference' : basename(path, extname(path))}`;
  mkdirSync(folder, { recursive: true }); // before minutes are spent
  let trace: string | undefined;
  const display = options.quiet ? undefined : progressOf(io);
  const report = await scale(
    jobs,
    {
      workers: options.workers ?? defaultWorkers(),
      lenient: options.workers === undefined,
      nodes: options.nodes ?? [1],
      mode: options.mode ?? 'both',
      rounds: options.rounds ?? ROUNDS,
      seconds: options.seconds ?? SECONDS,
      steps: options.steps,
      whatIf: options.whatIf ?? parseWhatIf(DEFAULT_WHAT_IF),
      noise: options.noise,
      nodeEntry: NODE_ENTRY,
      link: options.link,
      signal: io.stop,
      onProgress: display,
    },
    (timelines) => {
      const seen = [...timelines].filter(([, steps]) => steps.length > 0);
      const largest = seen.reduce<(typeof seen)[number] | undefined>(
        (most, entry) =>
          most === undefined || entry[0].workers * entry[0].nodes >= most[0].workers * most[0].nodes ? entry : most,
        undefined,
      );
      if (largest) trace = traceOf(largest[1]);
    },
  );
  writeFileSync(join(folder, 'scaling.json'), `${JSON.stringify(report, finite, 1)}\n`);
  writeFileSync(join(folder, 'scaling.html'), renderScaling(report));
  if (options.trace !== undefined && trace !== undefined) writeFileSync(options.trace, trace);
  if (options.json) io.out(toLine(summaryOf(report)).trimEnd());
  else {
    for (const line of renderScale(report)) io.out(line);
    io.out(`${folder}/scaling.html has the charts, ${folder}/scaling.json all numbers.`);
  }
}

async function jobOf(path: string, options: ScaleCommandOptions): Promise<ScaledJob> {
  const { job, module } = await loadJob(path);
  const { steps: _, ...jobOptions } = options;
  const nodeJob: NodeJob = { path, options: plainOptions(jobOptions) };
  return { name: basename(path, extname(path)), job: overrideJob(job, jobOptions), module, nodeJob };
}

/** The workloads that the project measures itself by. */
async function referenceJobs({ workloads, shards, set }: ScaleCommandOptions): Promise<ScaledJob[]> {
  const { WORKLOADS } = await import('../scaling/workloads.ts');
  const names = workloads ?? WORKLOADS.map(({ name }) => name);
  const options = plainOptions({ set, ...(shards === undefined ? {} : { shards }) });
  return Promise.all(names.map((name) => referenceJob(name, options)));
}

/** The job options alone, as a node process is told them. */
function plainOptions({ shards, batchSize, epochs, seed, set }: JobOptions): JobOptions {
  return { shards, batchSize, epochs, seed, set } as JobOptions;
}

/** One of them, by name. */
export async function referenceJob(name: string, options: JobOptions): Promise<ScaledJob> {
  const { WORKLOADS } = await import('../scaling/workloads.ts');
  const { workloadJob } = await import('../scaling/models.ts');
  const { makeRows } = await import('../scaling/rows.ts');
  const names = WORKLOADS.map((w) => w.name);
  const workload = WORKLOADS.find((w) => w.name === name);
  if (workload === undefined) {
    const guess = closest(name, names);
    throw new LockstepError('E_OPTION', {
      where: '--workloads',
      expected: `some of ${names.join(', ')}`,
      got: name,
      fix: guess === undefined ? 'name one of them' : `did you mean ${guess}?`,
    });
  }
  const { batch, weakBatch = batch, scalingBatches } = workload;
  const job = workloadJob(workload, makeRows(workload, 1), { batch, steps: 100 });
  return {
    name,
    job: overrideJob(job, options),
    strongBatch: scalingBatches[0] ?? null,
    weakBatch,
    nodeJob: { workload: name, options } satisfies NodeJob,
  };
}

/** 1, 2, 4 ... and all cores. */
function defaultWorkers(): number[] {
  const cores = availableParallelism();
  const sizes: number[] = [];
  for (let n = 1; n < cores; n *= 2) sizes.push(n);
  return [...sizes, cores];
}

/** JSON has no infinities: words, as everywhere else. */
function finite(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

function progressOf({ progress }: Io): (job: string, event: MeasureEvent) => void {
  return (job, event) => {
    if (event.kind === 'round') progress.write(`${job}: round ${event.round} of ${event.rounds}\n`);
    else {
      const { workers, nodes, batch, shards } = event.point;
      const where = nodes === 1 ? '' : `${nodes} nodes, `;
      progress.write(
        `${job}: ${event.done} of ${event.all}: ${where}${workers} ${workers === 1 ? 'worker' : 'workers'}, batch ${batch}, S ${shards ?? 'default'}: ${event.stepMs.toPrecision(3)} ms a step\n`,
      );
    }
  };
}
