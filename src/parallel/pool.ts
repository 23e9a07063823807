import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Piscina } from 'piscina';
import { type ErrorCode, LockstepError } from '../errors.ts';
import { poison } from './barrier.ts';
import { DECIDED_LIMIT, NEXT_EVALUATION_SHARD, REQUESTED_LIMIT, RING_READ, RING_WRITE } from './control.ts';
import type { Session, SplitName, WorkerAnswer, WorkerFailure, WorkerReport, WorkerTask } from './session.ts';

/**
 * The workers of one session. Every task goes to all of them at once, and a barrier keeps each thread to one; so there are
 * always exactly as many threads as workers. The first failure poisons the barrier, all return, and the cause is thrown.
 */
export class WorkerPool {
  readonly #piscina: Piscina;
  readonly #session: Session;
  readonly #control: Int32Array;
  readonly #barrier: Int32Array;
  #closed = false;

  private constructor(session: Session) {
    this.#session = session;
    const { buffer } = session.memory;
    this.#control = new Int32Array(buffer, session.layout.control);
    this.#barrier = new Int32Array(buffer, session.layout.barrier);
    const entry = workerEntry();
    this.#piscina = new Piscina({
      filename: entry.href,
      minThreads: session.workers,
      maxThreads: session.workers,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: 1,
      execArgv: entry.execArgv,
    });
  }

  static async open(session: Session): Promise<WorkerPool> {
    const pool = new WorkerPool(session);
    try {
      await pool.#all({ kind: 'open', session });
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /** Runs steps `from` to `to`, or fewer after `requestStop`. */
  async train(from: number, to: number): Promise<WorkerReport[]> {
    Atomics.store(this.#control, REQUESTED_LIMIT, to);
    Atomics.store(this.#control, DECIDED_LIMIT, to);
    return this.#all({ kind: 'train', session: this.#session.id, from, to });
  }

  async evaluate(split: SplitName): Promise<WorkerReport[]> {
    Atomics.store(this.#control, NEXT_EVALUATION_SHARD, 0);
    return this.#all({ kind: 'evaluate', session: this.#session.id, split });
  }

  /** No step after the one in progress. Returns at once. */
  requestStop(): void {
    Atomics.store(this.#control, REQUESTED_LIMIT, 0);
  }

  /** Ends all threads; nothing stays behind. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort();
    await this.#piscina.destroy();
  }

  async #all(task: WorkerTask): Promise<WorkerReport[]> {
    const answers = await Promise.all(
      Array.from({ length: this.#session.workers }, async (): Promise<WorkerAnswer> => {
        let answer: WorkerAnswer;
        try {
          answer = (await this.#piscina.run(task)) as WorkerAnswer;
        } catch (error) {
          answer = { failure: lostThread(error) };
        }
        if ('failure' in answer) this.#abort();
        return answer;
      }),
    );
    const failures = answers.flatMap((a) => ('failure' in a ? [a.failure] : []));
    if (failures.length > 0) throw toError(failures.find((f) => !f.aborted) ?? failures[0]);
    return answers.flatMap((a) => ('report' in a ? [a.report] : [])).sort((a, b) => a.rank - b.rank);
  }

  /** Frees everybody who waits: at the barrier, or for room in the record ring. */
  #abort(): void {
    poison(this.#barrier);
    Atomics.store(this.#control, RING_READ, Atomics.load(this.#control, RING_WRITE));
    Atomics.notify(this.#control, RING_READ);
  }
}

/**
 * The worker's file beside this one: `.ts` in a checkout, where threads load it through tsx, `.js` once built.
 * tsx is named by absolute URL because threads resolve `--import` from the current folder.
 */
function workerEntry(): { href: string; execArgv: string[] | undefined } {
  const typescript = import.meta.url.endsWith('.ts');
  const href = new URL(typescript ? './worker.ts' : './worker.js', import.meta.url).href;
  if (!typescript) return { href, execArgv: undefined };
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return { href, execArgv: ['--conditions=lockstep-source', '--import', tsx] };
}

function lostThread(error: unknown): WorkerFailure {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return { rank: -1, aborted: false, name, message: `the thread is gone (${message})`, stack };
}

function toError(failure: WorkerFailure): LockstepError {
  if (failure.code && failure.detail) return new LockstepError(failure.code as ErrorCode, failure.detail);
  const cause = new Error(failure.message);
  cause.name = failure.name;
  cause.stack = failure.stack;
  return new LockstepError('E_WORKER', {
    where: failure.rank < 0 ? 'worker' : `worker ${failure.rank}`,
    expected: 'all workers to finish their part',
    got: `${failure.name}: ${failure.message}`,
    fix: 'mend the cause; if it is memory, use fewer workers, a smaller batch or more shards',
    cause,
  });
}
