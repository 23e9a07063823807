import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { lockRunDir } from '../checkpoint/lock.ts';
import { checkpointsFolder, listCheckpoints } from '../checkpoint/store.ts';
import { nodeFs } from '../checkpoint/store-fs.ts';
import { LockstepError } from '../errors.ts';
import { METRICS_FILE } from '../record/jsonl.ts';
import type { TrainOptions } from './options.ts';
import type { RunPlan } from './plan-run.ts';
import { findStart, type StartPoint } from './resume.ts';

/** The run folder while a run writes it, and what the run starts from. Without a run folder only the latter. */
export interface RunFolder {
  readonly start: StartPoint | undefined;
  /** What the user should know about lock and start. */
  readonly notes: readonly string[];
  /** Gives the folder up; one that this run made and wrote nothing into goes away. */
  release(): void;
}

/**
 * Takes the run folder for this process, finds what the run starts from, and makes sure that the folder holds no other run: whoever
 * reads it later (`--resume auto`, eval, predict, export) takes its newest checkpoint, whichever run that belongs to.
 *
 * @throws E_RUN_DIR for a folder that another process writes or that an earlier run has used, unless this one goes on from its
 * newest whole checkpoint; E_RESUME, E_CHECKPOINT and E_OPTION as `findStart`.
 */
export function takeRunFolder(plan: RunPlan, options: TrainOptions): RunFolder {
  const { runDir } = options;
  if (runDir === undefined) return { ...startOf(plan, options), release: () => undefined };
  const lock = lockRunDir(runDir);
  try {
    const { start, notes } = startOf(plan, options);
    refuseMixture(runDir, start, options);
    return { start, notes: [...(lock.note ? [lock.note] : []), ...notes], release: lock.release };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function startOf(plan: RunPlan, options: TrainOptions): Pick<RunFolder, 'start' | 'notes'> {
  const start = findStart(plan, options);
  return { start, notes: start?.notes ?? [] };
}

function refuseMixture(runDir: string, start: StartPoint | undefined, { resume }: TrainOptions): void {
  const stored = listCheckpoints(nodeFs, runDir);
  if (start && !start.warm && isIn(runDir, start.checkpoint.path)) {
    const damaged = new Set(start.refused.map(({ path }) => path));
    const later = stored.find(({ step, path }) => step > start.checkpoint.step && !damaged.has(path));
    if (!later) return;
    throw new LockstepError('E_RUN_DIR', {
      where: `run folder ${runDir}`,
      expected: `no checkpoint after step ${start.checkpoint.step}, from which this run goes on`,
      got: `one of step ${later.step}`,
      fix: 'go on from the newest (--resume auto), or save into another folder (--run-dir, runDir)',
    });
  }
  if (stored.length > 0) {
    throw used(runDir, `checkpoints up to step ${stored[0].step}`, start?.warm === true);
  }
  // A run that ended before its first checkpoint is taken up by 'auto' at step 0: a job that is started again and again needs that.
  if (resume !== 'auto' && (nodeFs.stat(join(runDir, METRICS_FILE))?.bytes ?? 0) > 0) {
    throw used(runDir, `its ${METRICS_FILE}`, start?.warm === true);
  }
}

function used(runDir: string, what: string, warm: boolean): LockstepError {
  return new LockstepError('E_RUN_DIR', {
    where: `run folder ${runDir}`,
    expected: warm ? 'a folder for the new run: a warm start trains anew' : 'a folder that no earlier run has used',
    got: `${what} of one`,
    fix: warm
      ? 'save into another folder (--run-dir, runDir)'
      : 'go on with that run (--resume auto), or save into another folder (--run-dir, runDir)',
  });
}

/** Whether a checkpoint is one of the run folder's own, however the two paths are written. */
function isIn(runDir: string, checkpoint: string): boolean {
  try {
    return realpathSync(dirname(checkpoint)) === realpathSync(checkpointsFolder(runDir));
  } catch {
    return false;
  }
}
