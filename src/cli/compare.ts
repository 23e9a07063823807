import { availableParallelism } from 'node:os';
import { basename, extname } from 'node:path';
import type { CompareEvent } from '../compare/compare.ts';
import { LockstepError } from '../errors.ts';
import { toLine } from '../record/jsonl.ts';
import type { CompareCommandOptions } from './compare-options.ts';
import { ComparePage, stoppedBy } from './compare-page.ts';
import type { SlotJob } from './compare-slot.ts';
import { renderComparison, summaryOf } from './compare-table.ts';
import { dashboardFor } from './dashboard.ts';
import { formatClock } from './format.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { overrideJob } from './options.ts';

const SLOT_ENTRY = new URL(import.meta.url.endsWith('.ts') ? './compare-slot.ts' : './compare-slot.js', import.meta.url)
  .href;

/** `lockstep compare <jobs...>`: progress on standard error, the table and the advice on standard output. */
export async function compareCommand(paths: readonly string[], options: CompareCommandOptions, io: Io): Promise<void> {
  if (options.suite) return (await import('./claims.ts')).claimsCommand(options, io);
  if (paths.length === 0) {
    throw new LockstepError('E_OPTION', {
      where: 'lockstep compare',
      expected: 'the file of a job, or of several',
      got: 'nothing',
      fix: 'see lockstep compare --help',
    });
  }
  // After the job: a commonjs job requires this package, and Node cannot require modules that are being imported.
  const { compare, REPORT_HTML, REPORT_JSON } = await import('../compare/compare.ts');
  const { ForkSlot } = await import('../compare/fork-slot.ts');
  const { workers, shards, batchSize, epochs, steps, seed, set } = options;
  const names = distinctNames(paths);
  const jobs = [];
  for (const [index, path] of paths.entries()) {
    const { job, module } = await loadJob(path);
    const slotJob: SlotJob = { path, options: { shards, batchSize, epochs, steps, seed, set } };
    jobs.push({
      name: names[index],
      job: overrideJob(job, slotJob.options),
      module,
      openSlot: () => new ForkSlot(SLOT_ENTRY, slotJob),
    });
  }
  const runDir = options.runDir ?? `compare-${names.join('-')}`;
  const display = options.quiet ? undefined : progressLine(io);
  const page = await dashboardFor(options.dashboard, `compare ${names.join(', ')}`, io);
  const trials = page && new ComparePage(page.board, jobs.length > 1);
  const stop = page ? AbortSignal.any([io.stop, stoppedBy(page)]) : io.stop;
  const report = await compare({
    jobs,
    runDir,
    resume: options.resume,
    optimizers: options.optimizers,
    learningRates: options.learningRates,
    target: options.target,
    metric: options.metric,
    seeds: options.seeds,
    finalists: options.finalists,
    budgetSeconds: options.budget,
    slots: workers === undefined || workers === 'auto' ? availableParallelism() : workers,
    signal: stop,
    onProgress: (event) => {
      display?.event(event);
      trials?.add(event);
    },
  }).finally(async () => {
    display?.close();
    await page?.close();
  });
  if (options.json) io.out(toLine(summaryOf(report)).trimEnd());
  else {
    for (const line of renderComparison(report)) io.out(line);
    io.out('');
    io.out(`${runDir}/${REPORT_HTML} has the charts, ${runDir}/${REPORT_JSON} all numbers.`);
    const cut = report.jobs.some(({ ended }) => ended !== 'complete') || report.jobs.length < jobs.length;
    if (cut) io.out(`Not everything was run: the same command with --resume goes on.`);
  }
}

/** Base names without extension; equal ones get numbers. */
function distinctNames(paths: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return paths.map((path) => {
    const name = basename(path, extname(path));
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}-${count}`;
  });
}

/** Lines that are not redrawn come no more often. */
const QUIET_MS = 5000;

/** One line on a terminal, redrawn; elsewhere a line now and then. */
function progressLine(io: Io): { event: (event: CompareEvent) => void; close: () => void } {
  const { progress } = io;
  const interactive = progress.isTTY === true;
  let started = performance.now();
  let last = Number.NEGATIVE_INFINITY;
  let before = 0;
  return {
    event(event) {
      if (event.kind === 'note') progress.write(`note: ${event.text}\n`);
      else if (event.kind === 'plan') {
        started = performance.now();
        before = event.known;
        const { plan, trials, known, estimateSeconds } = event;
        const about = estimateSeconds === undefined ? '' : `, about ${formatClock(estimateSeconds)}`;
        const resumed = known === 0 ? '' : `, ${known} of them done`;
        progress.write(
          `${event.job}: ${plan.entries.length} optimizers, runs of ${plan.totalSteps} steps, up to ${trials} trials${resumed}${about}\n`,
        );
      } else {
        const now = performance.now();
        if (!interactive && now - last < QUIET_MS && event.done < event.trials) return;
        last = now;
        const { trial, outcome } = event.result;
        const rate = (now - started) / Math.max(1, event.done - before);
        const left = formatClock((rate * (event.trials - event.done)) / 1000);
        const line = `${event.job}: ${event.done} of up to ${event.trials} trials, ${left} left; ${trial.phase} ${trial.optimizer} lr ${trial.lr} ${outcome}`;
        const width = (progress.columns ?? 80) - 1;
        progress.write(interactive ? `\r\x1b[2K${line.slice(0, width)}` : `${line}\n`);
      }
    },
    close() {
      if (interactive) progress.write('\r\x1b[2K');
    },
  };
}
