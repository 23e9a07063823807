/**
 * Entry of the processes in which `lockstep compare` runs its trials (src/compare/fork-slot.ts). Loads the job once and then
 * answers one trial after another. Ctrl-C goes to the whole group: the parent decides what to end.
 */
import type { SlotAnswer, SlotRequest } from '../compare/fork-slot.ts';
import { runTrial } from '../compare/trial.ts';
import { type LoadedJob, loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';

/** Where a slot finds its job. */
export interface SlotJob {
  readonly path: string;
  readonly options: JobOptions;
}

const parentGone = new AbortController();
let loading: Promise<LoadedJob> | undefined;

process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('disconnect', () => parentGone.abort());
process.on('message', (request: SlotRequest) => {
  if (request.kind === 'open') {
    const { path, options } = request.job as SlotJob;
    loading = loadJob(path).then(({ job, module }) => ({ job: overrideJob(job, options), module }));
    loading.catch(() => {}); // told by the first trial
  } else void answer(request);
});

async function answer({ trial, limits }: Extract<SlotRequest, { kind: 'run' }>): Promise<void> {
  const result = await runTrial(
    async () => loading ?? Promise.reject(new Error('no job')),
    trial,
    limits,
    parentGone.signal,
  );
  process.send?.({ kind: 'result', result } satisfies SlotAnswer);
}
