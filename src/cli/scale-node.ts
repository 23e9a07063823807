/**
 * Entry of the node processes of `lockstep scale --nodes` (src/scaling/node-fleet.ts). Loads the job once and then takes part in runs, several
 * at a time. Ctrl-C goes to the whole group: the parent decides what to end.
 */
import { type NodeOptions, runNode } from '../../cluster/index.ts';
import { LockstepError } from '../errors.ts';
import type { Session } from '../parallel/session.ts';
import { type RoundTimes, TIMELINE_STEPS, TimelineReader } from '../parallel/timeline.ts';
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
  } else if (request.kind === 'look') process.send?.(lookAt(request) satisfies NodeAnswer);
  else void answer(request);
});

/** The runs that it takes part in. */
const runs = new Map<number, { session?: Session; readonly rounds: RoundTimes[] }>();

async function load(from: NodeJob) {
  if ('workload' in from) return { job: (await referenceJob(from.workload, from.options)).job };
  const { job, module } = await loadJob(from.path);
  return { job: overrideJob(job, from.options), module };
}

async function answer({ id, url, workers, ...task }: Extract<NodeRequest, { kind: 'run' }>): Promise<void> {
  let outcome: NodeAnswer;
  const run: { session?: Session; readonly rounds: RoundTimes[] } = { rounds: [] };
  runs.set(id, run);
  try {
    if (!loading) throw new Error('no job');
    const { job, module } = await loading;
    const options: NodeOptions = {
      url,
      workers,
      reconnectMs: RECONNECT_MS,
      signal: parentGone.signal,
      ...(module === undefined ? {} : { module }),
      onRound(times) {
        run.rounds.push(times);
        if (run.rounds.length > 2 * TIMELINE_STEPS) run.rounds.splice(0, TIMELINE_STEPS);
      },
    };
    await runNode(nodeJob(stripped(job), task), options, ({ session }) => {
      run.session = session;
    });
    outcome = { kind: 'done', id };
  } catch (error) {
    const code = error instanceof LockstepError ? error.code : '';
    outcome = { kind: 'failed', id, code, message: error instanceof Error ? error.message : String(error) };
  }
  runs.delete(id);
  process.send?.(outcome);
}

function lookAt({ id, of, first, last }: Extract<NodeRequest, { kind: 'look' }>): NodeAnswer {
  const { session, rounds = [] } = runs.get(of) ?? {};
  if (session === undefined) return { id, kind: 'seen', seen: { steps: [], rounds: [] } };
  const reader = new TimelineReader(session.memory.buffer, session.layout.timelines);
  reader.startAfter(first - 1);
  const inside = rounds.filter(({ step }) => step >= first && step <= last);
  return { id, kind: 'seen', seen: { steps: reader.drain(last), rounds: inside } };
}
