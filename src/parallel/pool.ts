import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Piscina } from 'piscina';
import { bundled } from '../data/thread.ts';
import { type ErrorCode, LockstepError } from '../errors.ts';
import type { RateChange } from '../optim/schedules.ts';
import { BARRIER_WORDS, poison } from './barrier.ts';
import { CLAIMED_RANKS, DECIDED_LIMIT, NEXT_EVALUATION_SHARD, REQUESTED_LIMIT } from './control.ts';
import { hasCustomCode } from './custom-code.ts';
import { Prefetcher } from './prefetch.ts';
import type { Session, SplitName, WorkerAnswer, WorkerFailure, WorkerReport, WorkerTask } from './session.ts';

/**
 * The workers of one session. Every task goes to all of them at once, and a barrier keeps each thread to one; so there are
 * always exactly as many threads as workers. The first failure poisons the barrier, all return, and the cause is thrown.
 */
export class WorkerPool {
  #piscina: Piscina;
  readonly #session: Session;
  readonly #control: Int32Array;
  readonly #barrier: Int32Array;
  /** Where the training rows are on disk. */
  readonly #prefetcher: Prefetcher | undefined;
  /** What a schedule that looks at the history has decided so far; all of it, because steps may be replayed. */
  rateChanges: readonly RateChange[] = [];
  #closed = false;
  /** A thread has ended: the pool that replaces it is no longer one in which all know the session. */
  #lost = false;

  private constructor(session: Session) {
    this.#session = session;
    const { buffer } = session.memory;
    this.#control = new Int32Array(buffer, session.layout.control);
    this.#barrier = new Int32Array(buffer, session.layout.barrier);
    this.#piscina = this.#start();
    this.#prefetcher = Prefetcher.start(session);
  }

  #start(): Piscina {
    const threads = startThreads(this.#session);
    this.#lost = false;
    threads.on('workerDestroy', () => {
      if (threads === this.#piscina) this.#lost = true;
    });
    return threads;
  }

  /** `committed`: the step as of which parameters and slots lie in the arena; 0 = they are still to be initialised. */
  static async open(session: Session, committed = 0): Promise<WorkerPool> {
    const pool = new WorkerPool(session);
    try {
      await pool.#all({ kind: 'open', session, committed });
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /** Runs steps `from` to `to`, or fewer after `requestStop`. */
  async train(from: number, to: number): Promise<WorkerReport[]> {
    const { rateChanges } = this;
    Atomics.store(this.#control, REQUESTED_LIMIT, to);
    Atomics.store(this.#control, DECIDED_LIMIT, to);
    return this.#all({ kind: 'train', session: this.#session.id, from, to, rateChanges });
  }

  async evaluate(split: SplitName): Promise<WorkerReport[]> {
    Atomics.store(this.#control, NEXT_EVALUATION_SHARD, 0);
    return this.#all({ kind: 'evaluate', session: this.#session.id, split });
  }

  /** Counts the values of parameters and gradients after `step`, the last that was trained; each worker in its blocks. */
  async count(step: number): Promise<WorkerReport[]> {
    return this.#all({ kind: 'count', session: this.#session.id, step });
  }

  /** Computes the shards of a step that was not committed once more, to find those whose numbers broke. */
  async inspect(step: number): Promise<WorkerReport[]> {
    return this.#all({ kind: 'inspect', session: this.#session.id, step });
  }

  /** Has the workers of a node compute what `NodeDesk` gives them, until they are to leave. */
  async serve(): Promise<void> {
    await this.#all({ kind: 'serve', session: this.#session.id });
  }

  /** Hash of the gradient of a fixed shard at the parameters as they are. */
  async prove(): Promise<string> {
    const [{ proof }] = await this.#all({ kind: 'prove', session: this.#session.id });
    if (proof === undefined) throw new RangeError('worker 0 gave no proof');
    return proof;
  }

  /** New threads after some were lost, for a run that stands after step `committed`. All old ones are ended first. */
  async restart(committed: number): Promise<void> {
    this.#abort();
    await this.#piscina.destroy();
    this.#barrier.fill(0, 0, BARRIER_WORDS);
    Atomics.store(this.#control, CLAIMED_RANKS, 0);
    this.#piscina = this.#start();
    await this.#all({ kind: 'open', session: this.#session, committed });
  }

  /** Copies the state of the run between two steps to `staging`, or back: a memory copy by all workers. */
  async copyState(direction: 'snapshot' | 'restore', staging: SharedArrayBuffer): Promise<void> {
    await this.#all({ kind: direction, session: this.#session.id, staging });
  }

  /** No step after the one in progress, or after `step` where that is later. Returns at once. */
  requestStop(step = 0): void {
    const requested = Atomics.load(this.#control, REQUESTED_LIMIT);
    if (step < requested) Atomics.store(this.#control, REQUESTED_LIMIT, step);
  }

  /** Ends all threads; nothing stays behind. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort();
    await this.#piscina.destroy();
    await this.#prefetcher?.stop();
  }

  async #all(task: WorkerTask): Promise<WorkerReport[]> {
    // It ended while it had no task. A task for its successor would wait for ever, should that one not start.
    if (this.#lost) throw toError(lostThread(new Error('it ended between two tasks')));
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

  #abort(): void {
    poison(this.#barrier);
  }
}

function startThreads(session: Session): Piscina {
  const { workers } = session;
  const entry = workerEntry(session);
  const threads = new Piscina({
    filename: entry.href,
    minThreads: workers,
    maxThreads: workers,
    idleTimeout: Number.POSITIVE_INFINITY,
    concurrentTasksPerWorker: 1,
    execArgv: entry.execArgv,
  });
  // Of a thread that breaks while it has no task. Without a listener the event would end the process.
  threads.on('error', () => undefined);
  return threads;
}

/**
 * The worker's file beside this one: `.ts` in a checkout, where threads load it through tsx; once built the bundle, or the module where
 * custom code is to find the package loaded that it imports. tsx is named by absolute URL because threads resolve `--import` from the
 * current folder.
 */
function workerEntry(session: Session): { href: string; execArgv: string[] | undefined } {
  if (!import.meta.url.endsWith('.ts')) {
    const file = hasCustomCode(session) ? new URL('./worker.js', import.meta.url) : bundled('worker', import.meta.url);
    return { href: file.href, execArgv: undefined };
  }
  const { href } = new URL('./worker.ts', import.meta.url);
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return { href, execArgv: ['--conditions=lockstep-source', '--import', tsx] };
}

function lostThread(error: unknown): WorkerFailure {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return { rank: -1, aborted: false, name, message: `the thread is gone (${message})`, stack };
}

/** Where an E_WORKER happened if a thread ended without a word; one that has thrown is named by its rank. */
export const LOST = 'worker';

function toError(failure: WorkerFailure): LockstepError {
  if (failure.code && failure.detail) return new LockstepError(failure.code as ErrorCode, failure.detail);
  const cause = new Error(failure.message);
  cause.name = failure.name;
  cause.stack = failure.stack;
  const lost = failure.rank < 0;
  return new LockstepError('E_WORKER', {
    where: lost ? LOST : `worker ${failure.rank}`,
    expected: 'all workers to finish their part',
    got: `${failure.name}: ${failure.message}`,
    fix: lost
      ? 'if it was memory, use fewer workers, a smaller batch or more shards'
      : 'mend what it says (--verbose shows where); if it is memory, use fewer workers, a smaller batch or more shards',
    cause,
  });
}
