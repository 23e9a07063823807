/**
 * Entry of the node processes of `lockstep scale --nodes` (src/scaling/node-fleet.ts). Loads the job once and then takes part in runs, several
 * at a time. Ctrl-C goes to the whole group: the parent decides what to end.
 */
import { runNode } from '../../cluster/index.ts';
import { LockstepError } from '../errors.ts';
import { stripped } from '../scaling/local.ts';
import { type NodeAnswer, type NodeRequest, nodeJob } from '../scaling/node-fleet.ts';
import { type LoadedJob, loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';
import { referenceJob } from './scale.ts';

/** Where a node finds its job: a file, or a reference workload. */
export type NodeJob =
  | { readonly path: string; readonly options: JobOptions }
  | { readonly workload: string; readonly options: JobOptions };

const parentGone = new AbortController();
/** A coordinator that is gone for so long does not come back: each run has one of its own. */
const RECONNECT_MS = 5000;
let loading: Promise<Omit<LoadedJob, 'module'> & { readonly module?: string }> | undefined;

process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('disconnect', () => parentGone.abort());
process.on('message', (request: NodeRequest) => {
  if (request.kind === 'open') {
    loading = load(request.job as NodeJob);
    loading.catch(() => {}); // told by the first run
  } else void answer(request);
});

async function load(from: NodeJob) {
  if ('workload' in from) return { job: (await referenceJob(from.workload, from.options)).job };
  const { job, module } = await loadJob(from.path);
  return { job: overrideJob(job, from.options), module };
}

async function answer({ id, url, workers, ...task }: Extract<NodeRequest, { kind: 'run' }>): Promise<void> {
  let outcome: NodeAnswer;
  try {
    if (!loading) throw new Error('no job');
    const { job, module } = await loading;
    await runNode(nodeJob(stripped(job), task), {
      url,
      workers,
      reconnectMs: RECONNECT_MS,
      signal: parentGone.signal,
      ...(module === undefined ? {} : { module }),
    });
    outcome = { kind: 'done', id };
  } catch (error) {
    const code = error instanceof LockstepError ? error.code : '';
    outcome = { kind: 'failed', id, code, message: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(outcome);
}
