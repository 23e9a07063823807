/**
 * Entry of the node processes of `lockstep scale --nodes` (src/scaling/node-fleet.ts). Loads the job once and then takes part in runs, several
 * at a time. Ctrl-C goes to the whole group: the parent decides what to end.
 */
import { FaultyProxy } from '../../cluster/faults/proxy.ts';
import { type NodeOptions, runNode } from '../../cluster/index.ts';
import { LockstepError } from '../errors.ts';
import type { Session } from '../parallel/session.ts';
import { type RoundTimes, TIMELINE_STEPS, TimelineReader } from '../parallel/timeline.ts';
import { stripped } from '../scaling/local.ts';
import { type NodeAnswer, type NodeRequest, nodeJob } from '../scaling/node-fleet.ts';
import { answerProbe } from '../scaling/probe-exchange.ts';
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
type Loaded = Omit<LoadedJob, 'module'> & { readonly module?: string };
/** Loads the job, once. */
let loaded = (): Promise<Loaded> => Promise.reject(new Error('no job'));

process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('disconnect', () => parentGone.abort());
process.on('message', (request: NodeRequest) => {
  switch (request.kind) {
    case 'open': {
      let loading: Promise<Loaded> | undefined;
      loaded = () => {
        loading ??= load(request.job as NodeJob);
        return loading;
      };
      return;
    }
    case 'cpu': {
      const { user, system } = process.cpuUsage();
      return say({ id: request.id, kind: 'spent', cpuMs: (user + system) / 1000 });
    }
    case 'look':
      return say(lookAt(request));
    case 'run':
      return reply(request.id, async () => {
        await takePart(request);
        return { kind: 'done' };
      });
    case 'probe':
      return reply(request.id, async () => {
        await answerProbe(request);
        return { kind: 'done' };
      });
    case 'link':
      return reply(request.id, async () => {
        const { port, speed } = request;
        const { url } = await FaultyProxy.start({ target: { port }, up: speed, down: speed });
        return { kind: 'linked', url };
      });
  }
});

function say(answer: NodeAnswer): void {
  process.send?.(answer);
}

/** Does it and says so, or why not. */
function reply(
  id: number,
  work: () => Promise<{ readonly kind: 'linked'; readonly url: string } | { readonly kind: 'done' }>,
): void {
  work().then(
    (done) => say({ id, ...done }),
    (error: unknown) => {
      const code = error instanceof LockstepError ? error.code : '';
      say({ id, kind: 'failed', code, message: error instanceof Error ? error.message : String(error) });
    },
  );
}

/** The runs that it takes part in. */
const runs = new Map<number, { session?: Session; readonly rounds: RoundTimes[] }>();

async function load(from: NodeJob) {
  if ('workload' in from) return { job: (await referenceJob(from.workload, from.options)).job };
  const { job, module } = await loadJob(from.path);
  return { job: overrideJob(job, from.options), module };
}

async function takePart({ id, url, workers, ...task }: Extract<NodeRequest, { kind: 'run' }>): Promise<void> {
  const run: { session?: Session; readonly rounds: RoundTimes[] } = { rounds: [] };
  runs.set(id, run);
  try {
    const { job, module } = await loaded();
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
  } finally {
    runs.delete(id);
  }
}

function lookAt({ id, of, first, last }: Extract<NodeRequest, { kind: 'look' }>): NodeAnswer {
  const { session, rounds = [] } = runs.get(of) ?? {};
  if (session === undefined) return { id, kind: 'seen', seen: { steps: [], rounds: [] } };
  const reader = new TimelineReader(session.memory.buffer, session.layout.timelines);
  reader.startAfter(first - 1);
  const inside = rounds.filter(({ step }) => step >= first && step <= last);
  return { id, kind: 'seen', seen: { steps: reader.drain(last), rounds: inside } };
}
