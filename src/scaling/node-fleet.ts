import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { runCoordinator } from '../../cluster/index.ts';
import { loaderOf } from '../compare/fork-slot.ts';
import { isErrorCode, LockstepError } from '../errors.ts';
import type { Job } from '../train/job.ts';
import type { Point, RunPoint } from './contract.ts';
import { Collect, sizedJob, sliceOf, type TimedJob } from './local.ts';

/** What a node process is asked to do: the point's job, at a coordinator. */
export interface NodeTask {
  readonly url: string;
  readonly workers: number;
  readonly rows: number;
  readonly size: Omit<Point, 'roles'>;
  readonly steps: number;
}

export type NodeRequest = { readonly kind: 'open'; readonly job: unknown } | ({ readonly kind: 'run' } & NodeTask);
export type NodeAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/** Nodes that have not come after so long do not answer. */
const JOIN_MS = 120_000;

/**
 * Node processes on this machine, which stay for one point after the other. Each loads the job by itself, as on machines of their own: `job`
 * says where it is.
 *
 * @param entry file of the process, as URL, `.ts` in a checkout and `.js` once built.
 */
export class NodeFleet {
  readonly #entry: string;
  readonly #job: unknown;
  readonly #children: ChildProcess[] = [];

  constructor(entry: string, job: unknown) {
    this.#entry = entry;
    this.#job = job;
  }

  /** Resolves when all have done their part; rejects when one fails. */
  async run(count: number, task: NodeTask): Promise<void> {
    while (this.#children.length < count) this.#children.push(this.#start());
    await Promise.all(this.#children.slice(0, count).map((child) => ask(child, task)));
  }

  close(): void {
    for (const child of this.#children.splice(0)) child.kill('SIGKILL'); // they own nothing that could be left half written
  }

  #start(): ChildProcess {
    const child = fork(fileURLToPath(this.#entry), [], {
      execArgv: loaderOf(this.#entry),
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.send({ kind: 'open', job: this.#job } satisfies NodeRequest);
    return child;
  }
}

function ask(child: ChildProcess, task: NodeTask): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      child.off('message', onMessage).off('exit', onExit);
      if (error) reject(error);
      else resolve();
    };
    const onMessage = (answer: NodeAnswer): void => settle(answer.kind === 'done' ? undefined : failure(answer));
    const onExit = (code: number | null, signal: string | null): void =>
      settle(failure({ kind: 'failed', code: 'E_CONNECTION', message: `it ended with ${signal ?? `code ${code}`}` }));
    child.on('message', onMessage).on('exit', onExit);
    child.send({ kind: 'run', ...task } satisfies NodeRequest);
  });
}

function failure({ code, message }: Extract<NodeAnswer, { kind: 'failed' }>): LockstepError {
  return new LockstepError(isErrorCode(code) ? code : 'E_CONNECTION', {
    where: 'node process',
    expected: 'to compute its shards to the end',
    got: message,
    fix: 'leave --nodes out to see whether the job runs at all; --verbose shows more',
  });
}

/** The job of a coordinator and of its nodes: without test rows, for they would be evaluated in every slice. */
export function nodeJob(job: Job, { rows, size, steps }: Pick<NodeTask, 'rows' | 'size' | 'steps'>): Job {
  const { test: _, ...data } = job.data;
  return sizedJob({ ...job, data }, rows, size, steps);
}

/** Runs points on real node processes over loopback. The coordinator's threads, which reduce and update, are those of all nodes. */
export function runOnFleet(fleet: NodeFleet, timed: TimedJob): RunPoint {
  return async (point, steps, { timeline = false } = {}) => {
    const { roles: _, ...size } = point;
    const rows = timed.data.train.size;
    const collect = new Collect();
    const broken = new AbortController();
    let nodes: Promise<void> | undefined;
    let problem: unknown;
    const { signal } = timed.options;
    try {
      const result = await runCoordinator(nodeJob(timed.job, { rows, size, steps }), {
        ...timed.options,
        port: 0,
        workers: Math.min(availableParallelism(), point.workers * point.nodes),
        minNodes: point.nodes,
        deadlines: { quorumMs: JOIN_MS },
        signal: AbortSignal.any([broken.signal, ...(signal ? [signal] : [])]),
        ...(timeline ? { sinks: [collect] } : {}),
        onListening({ url }) {
          nodes = fleet.run(point.nodes, { url, workers: point.workers, rows, size, steps });
          nodes.catch((error: unknown) => {
            problem = error;
            broken.abort();
          });
        },
      });
      if (!signal?.aborted) await nodes; // else they may still look for a coordinator that is gone
      return sliceOf(point, result, collect);
    } catch (error) {
      throw signal?.aborted ? error : (problem ?? error);
    }
  };
}
