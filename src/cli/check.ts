import { LockstepError } from '../errors.ts';
import { toLine } from '../record/jsonl.ts';
import type { CheckResult } from '../train/check/check.ts';
import { formatDuration, plural } from './format.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';

export interface CheckCommandOptions extends JobOptions {
  readonly workers?: number | 'auto';
  readonly json?: boolean;
}

/** What a check is called in the list. */
const TITLES: Readonly<Record<string, string>> = {
  data: 'reads the data',
  compile: 'compiles',
  train: 'trains a batch',
  validate: 'validates a batch',
  save: 'saves',
  load: 'loads',
  predict: 'predicts',
  learn: 'learns 32 rows by heart',
  workers: 'same bytes on 2 workers',
};
const WIDTH = Math.max(...Object.values(TITLES).map((title) => title.length));
const MARKS: Record<CheckResult['status'], string> = { ok: '✓', warning: '!', failed: '✗', skipped: '-' };

/** `lockstep check <job>`: a list of what works. Throws E_CHECK, after the list, if something does not. */
export async function checkCommand(path: string, options: CheckCommandOptions, io: Io): Promise<void> {
  const { checkJob } = await import('../train/check/check.ts');
  const start = performance.now();
  const loaded = await loadJob(path);
  const job = overrideJob(loaded.job, options);
  const print = (lines: readonly string[]) => {
    if (!options.json) for (const line of lines) io.out(line);
  };
  print([`${MARKS.ok} ${'loads the job'.padEnd(WIDTH)} ${seconds((performance.now() - start) / 1000)}`]);
  const results = await checkJob(job, {
    workers: options.workers,
    module: loaded.module,
    signal: io.stop,
    onResult: (result) => print(renderCheck(result)),
  });
  if (options.json) io.out(toLine({ job: path, checks: results }).trimEnd());
  const failed = results.filter((r) => r.status === 'failed');
  if (failed.length === 0) {
    print([`everything works, in ${formatDuration((performance.now() - start) / 1000)}`]);
    return;
  }
  throw new LockstepError('E_CHECK', {
    where: path,
    expected: 'every check to pass',
    got: `${plural(failed.length, 'failure')} (${failed.map((r) => TITLES[r.name] ?? r.name).join(', ')})`,
    fix: options.json ? 'the JSON says why' : 'the lines above say why, and what to do',
  });
}

/** Pure. */
export function renderCheck({ name, status, seconds: s, detail, advice }: CheckResult): string[] {
  const head = `${MARKS[status]} ${(TITLES[name] ?? name).padEnd(WIDTH)} ${status === 'skipped' ? ''.padStart(8) : seconds(s)}  ${detail}`;
  return [head, ...advice.map((line) => `    ${line}`)];
}

function seconds(value: number): string {
  return formatDuration(value).padStart(8);
}
