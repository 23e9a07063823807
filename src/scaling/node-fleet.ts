import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type CoordinatorOptions, runCoordinator } from '../../cluster/index.ts';
import { loaderOf } from '../compare/fork-slot.ts';
import { isErrorCode, LockstepError } from '../errors.ts';
import type { Job } from '../train/job.ts';
import type { OpenPoint, Point } from './contract.ts';
import { KEPT_STEPS, KeptRun, type StartRun } from './kept-run.ts';
import { sizedJob, type TimedJob } from './local.ts';

/** What a node process is asked to do: the point's job, at a coordinator. */
export interface NodeTask {
  readonly url: string;
  readonly workers: number;
  readonly rows: number;
  readonly size: Omit<Point, 'roles'>;
}

export type NodeRequest =
  | { readonly kind: 'open'; readonly job: unknown }
  | ({ readonly kind: 'run'; readonly id: number } & NodeTask);
export type NodeAnswer = { readonly id: number } & (
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
);

/** Nodes that have not come after so long do not answer. */
const JOIN_MS = 120_000;

/**
 * Node processes on this machine, which take part in one run or in several that take turns. Each loads the job by itself, as on machines of
 * their own: `job` says where it is.
 *
 * @param entry file of the process, as URL, `.ts` in a checkout and `.js` once built.
 */
export class NodeFleet {
  readonly #entry: string;
  readonly #job: unknown;
  readonly #children: ChildProcess[] = [];
  #runs = 0;

  constructor(entry: string, job: unknown) {
    this.#entry = entry;
    this.#job = job;
  }

  /** Resolves when all have done their part; rejects when one fails. */
  async run(count: number, task: NodeTask): Promise<void> {
    const id = ++this.#runs;
    while (this.#children.length < count) this.#children.push(this.#start());
    await Promise.all(this.#children.slice(0, count).map((child) => ask(child, { kind: 'run', id, ...task })));
  }

  close(): void {
    for (const child of this.#children.splice(0)) child.kill('SIGKILL'); // they own nothing that could be left half written
  }

  #start(): ChildProcess {
    const child = fork(fileURLToPath(this.#entry), [], {
      execArgv: loaderOf(this.#entry),
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.setMaxListeners(0); // one for each run
    child.send({ kind: 'open', job: this.#job } satisfies NodeRequest);
    return child;
  }
}

function ask(child: ChildProcess, request: Extract<NodeRequest, { kind: 'run' }>): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      child.off('message', onMessage).off('exit', onExit).off('error', onError);
      if (error) reject(error);
      else resolve();
    };
    const onMessage = (answer: NodeAnswer): void => {
      if (answer.id === request.id) settle(answer.kind === 'done' ? undefined : failure(answer));
    };
    const ended = (message: string): void => settle(failure({ code: 'E_CONNECTION', message }));
    const onExit = (code: number | null, signal: string | null): void => ended(`it ended with ${signal ?? `code ${code}`}`); // biome-ignore format: one line
    const onError = (error: Error): void => ended(error.message);
    child.on('message', onMessage).on('exit', onExit).on('error', onError);
    if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode);
    else child.send(request);
  });
}

function failure({ code, message }: { readonly code: string; readonly message: string }): LockstepError {
  return new LockstepError(isErrorCode(code) ? code : 'E_CONNECTION', {
    where: 'node process',
    expected: 'to compute its shards to the end',
    got: message,
    fix: 'leave --nodes out to see whether the job runs at all; --verbose shows more',
  });
}

/** The job of a coordinator and of its nodes: without test rows, for they would be evaluated in the end. */
export function nodeJob(job: Job, { rows, size }: Pick<NodeTask, 'rows' | 'size'>): Job {
  const { test: _, ...data } = job.data;
  return sizedJob({ ...job, data }, rows, size, KEPT_STEPS);
}

/** Runs points on real node processes over loopback. The coordinator's threads, which reduce and update, are those of all nodes. */
export function openOnFleet(fleet: NodeFleet, timed: TimedJob): OpenPoint {
  return async (point) => {
    const { roles: _, ...size } = point;
    const rows = timed.data.train.size;
    const { signal } = timed.options;
    const start: StartRun = async (more, onOpen) => {
      const broken = new AbortController();
      let nodes: Promise<void> | undefined;
      let problem: unknown;
      const options: CoordinatorOptions = {
        ...timed.options,
        ...more,
        port: 0,
        workers: Math.min(availableParallelism(), point.workers * point.nodes),
        minNodes: point.nodes,
        deadlines: { quorumMs: JOIN_MS },
        signal: AbortSignal.any([broken.signal, ...(signal ? [signal] : [])]),
        onListening({ url }) {
          nodes = fleet.run(point.nodes, { url, workers: point.workers, rows, size });
          nodes.catch((error: unknown) => {
            problem = error;
            broken.abort();
          });
        },
      };
      try {
        const result = await runCoordinator(nodeJob(timed.job, { rows, size }), options, onOpen);
        if (!signal?.aborted) await nodes; // else they may still look for a coordinator that is gone
        return result;
      } catch (error) {
        throw signal?.aborted ? error : (problem ?? error);
      }
    };
    return new KeptRun(start, point.batch, 1 + point.nodes);
  };
}
