import type { Worker } from 'node:worker_threads';
import { startThread } from '../data/thread.ts';
import type { PrefetchData } from './prefetch-thread.ts';
import type { Session } from './session.ts';
import { FAILED, held, RUNNING, STATE, STOPPED, WANTED_STEP, windowWords } from './windows.ts';

/** The thread that brings windows of training rows from disk into the arena, ahead of the workers. */
export class Prefetcher {
  readonly #thread: Worker;
  readonly #words: Int32Array;

  private constructor(thread: Worker, words: Int32Array) {
    this.#thread = thread;
    this.#words = words;
    // However it ends, nobody may wait for it.
    thread.on('error', () => this.#end(FAILED)).on('exit', () => this.#end(FAILED));
  }

  /** Starts it where the training rows of a session lie on disk. */
  static start(session: Session): Prefetcher | undefined {
    const { train } = session.splits;
    if (train?.kind !== 'streamed') return undefined;
    const { size, fd, words, blocks, columns, sparse = [] } = train;
    const { memory, batchSize, seed, shuffle } = session;
    const workerData: PrefetchData = {
      memory,
      address: { fd, words, blocks },
      columns,
      sparse,
      sampler: { size, batchSize, seed, shuffle },
    };
    const thread = startThread('prefetch-thread', import.meta.url, { workerData, stdout: true, stderr: true });
    return new Prefetcher(thread, windowWords(session, train));
  }

  async stop(): Promise<void> {
    this.#end(STOPPED);
    await this.#thread.terminate();
  }

  #end(state: number): void {
    Atomics.compareExchange(this.#words, STATE, RUNNING, state);
    for (const word of [WANTED_STEP, held(0), held(1)]) Atomics.notify(this.#words, word);
  }
}
