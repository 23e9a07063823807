import { LockstepError } from '../errors.ts';
import { completeRule, directionOf } from './early-stopping.ts';
import type { EarlyStopping } from './job.ts';
import type { TrainOptions } from './options.ts';
import type { RunPlan } from './plan-run.ts';

/** What a job watches, completed: by what to stop, and which direction is better for the checkpoint to keep. */
export interface RunRules {
  readonly stopping: Required<EarlyStopping> | undefined;
  readonly keepBest: { readonly monitor: string; readonly mode: 'min' | 'max' } | undefined;
}

/** Pure. @throws E_JOB for a name that no evaluation reports, E_OPTION for checkpoints without a run folder. */
export function resolveRules({ job, data, compiled }: RunPlan, { runDir }: TrainOptions): RunRules {
  if (job.checkpoint && runDir === undefined) {
    throw new LockstepError('E_OPTION', {
      where: 'job.checkpoint',
      expected: 'a run folder to save into',
      got: 'none',
      fix: 'give runDir (--run-dir)',
    });
  }
  const metrics = compiled.metrics.map((m) => [`val.${m.name}`, m.mode] as const);
  const reported = new Map(data.validation ? [['val.loss', 'min'] as const, ...metrics] : []);
  const monitor = job.checkpoint?.keepBest;
  return {
    stopping: job.earlyStopping && completeRule(job.earlyStopping, reported),
    keepBest:
      monitor === undefined ? undefined : { monitor, mode: directionOf(monitor, reported, 'job.checkpoint.keepBest') },
  };
}
