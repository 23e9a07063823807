import { join } from 'node:path';
import { judgeAll, verdictOf } from '../compare/claims/page.ts';
import { CLAIMS_PAGE, runClaims } from '../compare/claims/suite.ts';
import { toLine } from '../record/jsonl.ts';
import type { CompareCommandOptions } from './compare-options.ts';
import { formatDuration, formatTable } from './format.ts';
import type { Io } from './io.ts';

/** `lockstep compare --suite claims`: what the textbook says about optimizers, tested. */
export async function claimsCommand(options: CompareCommandOptions, io: Io): Promise<void> {
  const runDir = options.runDir ?? 'compare-claims';
  const started = performance.now();
  const results = await runClaims({
    runDir,
    resume: options.resume,
    signal: io.stop,
    onExperiment: ({ id, number, of }) => {
      if (!options.quiet) io.progress.write(`experiment ${number} of ${of}: ${id}\n`);
    },
  });
  const judged = judgeAll(results);
  if (options.json) {
    const claims = judged.map((one) => ({
      id: one.claim.id,
      verdict: verdictOf(one),
      because: one.judgement?.because,
    }));
    io.out(toLine({ claims, seconds: (performance.now() - started) / 1000 }).trimEnd());
    return;
  }
  const rows = judged.map((one) => [String(one.claim.chapter), one.claim.text, verdictOf(one)]);
  for (const line of formatTable(['', 'claim', 'verdict'], rows)) io.out(line);
  io.out('');
  io.out(
    `${join(runDir, CLAIMS_PAGE)} has the reasons and tables (${formatDuration((performance.now() - started) / 1000)}).`,
  );
  if (judged.some((one) => verdictOf(one) === 'not run'))
    io.out('Not everything was run: the same command with --resume goes on.');
}
