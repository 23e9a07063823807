import { LockstepError } from '../errors.ts';
import { plateauRule } from '../optim/schedules.ts';
import { completeRule, directionOf } from './early-stopping.ts';
import type { EarlyStopping } from './job.ts';
import type { TrainOptions } from './options.ts';
import type { RunPlan } from './plan-run.ts';
import type { CompletePlateauRule } from './plateau.ts';

/** What a job watches, completed: by what to stop, what lowers the rate, and which direction is better for the checkpoint to keep. */
export interface RunRules {
  readonly stopping: Required<EarlyStopping> | undefined;
  readonly plateau: CompletePlateauRule | undefined;
  readonly keepBest: { readonly monitor: string; readonly mode: 'min' | 'max' } | undefined;
}

/** Pure. @throws E_JOB for a name that no evaluation reports, E_OPTION for checkpoints without a run folder. */
export function resolveRules({ job, data, compiled, optimizer, trial }: RunPlan, { runDir }: TrainOptions): RunRules {
  if (job.checkpoint && runDir === undefined && trial === undefined) {
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
  const plateau = trial ? undefined : plateauRule(optimizer.schedule); // a trial may have nothing to evaluate
  return {
    stopping: job.earlyStopping && completeRule(job.earlyStopping, reported),
    plateau: plateau && {
      ...plateau,
      mode: plateau.mode ?? directionOf(plateau.monitor, reported, 'job.optimizer.lr.monitor'),
    },
    keepBest:
      monitor === undefined ? undefined : { monitor, mode: directionOf(monitor, reported, 'job.checkpoint.keepBest') },
  };
}
