import { toLine } from '../record/jsonl.ts';
import type { LrFindResult } from '../train/lr-find.ts';
import { renderCurve } from './curve.ts';
import { formatNumber, plural } from './format.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';
import { optimizerText, rateText } from './source-text.ts';

export interface LrFindCommandOptions extends Omit<JobOptions, 'steps'> {
  readonly workers?: number | 'auto';
  readonly from?: number;
  readonly to?: number;
  readonly steps?: number;
  readonly json?: boolean;
}

/** `lockstep lr-find <job>`: the learning-rate range test, as a curve and the line to put into the job. */
export async function lrFindCommand(path: string, options: LrFindCommandOptions, io: Io): Promise<void> {
  const { findLearningRate } = await import('../train/lr-find.ts');
  const { from, to, steps, workers, json, ...jobOptions } = options;
  const loaded = await loadJob(path);
  const job = overrideJob(loaded.job, jobOptions);
  const tty = io.progress.isTTY === true;
  const result = await findLearningRate(job, {
    ...{ from, to, steps, workers, module: loaded.module, signal: io.stop },
    onProgress: (done, all) => {
      if (tty) io.progress.write(`\r\x1b[2Ksweep ${done}/${all}`);
    },
  });
  if (tty) io.progress.write('\r\x1b[2K');
  const line =
    result.suggestion === undefined ? null : `optimizer: ${optimizerText(job.optimizer, result.suggestion)},`;
  if (json) {
    const { suggestion = null, lowest = null, points, diverged } = result;
    io.out(toLine({ suggestion, lowest, line, diverged, points }).trimEnd());
  } else for (const text of renderResult(result, line)) io.out(text);
}

/** Pure. */
export function renderResult({ suggestion, lowest, points, diverged }: LrFindResult, line: string | null): string[] {
  const last = points[points.length - 1]?.lr ?? Number.NaN;
  const end = diverged ? `diverged at ${rateText(last)}` : `to ${rateText(last)} without diverging`;
  const head = [...renderCurve(points, suggestion), '', `${plural(points.length, 'step')}, ${end}`];
  if (suggestion === undefined || lowest === undefined || line === null) {
    return [
      ...head,
      'no suggestion: the loss does not fall at any of these rates; `lockstep check` says what is wrong with the job, --steps 400 or a',
      'larger --batch-size makes the curve clearer',
    ];
  }
  const loss = points.find((p) => p.lr === suggestion)?.smoothed ?? Number.NaN;
  return [
    ...head,
    `the loss falls fastest at ${rateText(suggestion)} (${formatNumber(loss)}) and is lowest at ${rateText(lowest)}, too large to train with`,
    '',
    `  ${line}`,
  ];
}
