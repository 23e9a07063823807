import type { Worker } from 'node:worker_threads';
import { startThread } from '../data/thread.ts';
import type { SaveOutcome, SaveRequest } from './save.ts';

/**
 * Saves checkpoints in a thread of its own, so that neither training nor the main thread waits for hash and disk. The thread
 * starts with the first save and keeps the process alive only while one is under way. Saves happen one after another.
 */
export class CheckpointWriter {
  #thread: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #closed = false;

  /** Whether a save is under way or waits. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /**
   * Saves as soon as earlier saves have ended. Never rejects: a failure is an outcome, and leaves the checkpoints before it as
   * they were. The request's vectors must not change until then.
   */
  save(request: SaveRequest): Promise<SaveOutcome> {
    if (this.#closed) return Promise.resolve(failed(request, new Error('the checkpoint writer is closed'), 0));
    this.#waiting += 1;
    const outcome = this.#last
      .then(() => this.#run(request))
      .finally(() => {
        this.#waiting -= 1;
      });
    this.#last = outcome;
    return outcome;
  }

  /** Ends the thread, after the saves that were asked for. Later ones fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
    await this.#thread?.terminate();
    this.#thread = undefined;
  }

  async #run(request: SaveRequest): Promise<SaveOutcome> {
    const started = performance.now();
    try {
      return await this.#ask(request);
    } catch (error) {
      return failed(request, error, (performance.now() - started) / 1000);
    }
  }

  #ask(request: SaveRequest): Promise<SaveOutcome> {
    const thread = this.#thread ?? this.#start();
    thread.ref();
    return new Promise<SaveOutcome>((resolve, reject) => {
      const settle = (end: () => void) => {
        thread.off('message', onMessage).off('error', onError).off('exit', onExit).unref();
        end();
      };
      const onMessage = (outcome: SaveOutcome) => settle(() => resolve(outcome));
      const lost = (error: Error) => {
        this.#thread = undefined; // the next save starts another
        settle(() => reject(error));
      };
      const onError = (error: Error) => lost(error);
      const onExit = (code: number) => lost(new Error(`the thread that saves checkpoints ended with code ${code}`));
      thread.on('message', onMessage).on('error', onError).on('exit', onExit);
      try {
        thread.postMessage(request);
      } catch (error) {
        settle(() => reject(error)); // something in the facts is no plain data
      }
    });
  }

  #start(): Worker {
    const thread = startThread('writer-thread', import.meta.url, { name: 'lockstep checkpoint writer' });
    // Between saves nobody else listens, and an error without a listener ends the process.
    thread.on('error', () => this.#forget(thread)).on('exit', () => this.#forget(thread));
    this.#thread = thread;
    return thread;
  }

  #forget(thread: Worker): void {
    if (this.#thread === thread) this.#thread = undefined;
  }
}

function failed({ facts }: SaveRequest, error: unknown, seconds: number): SaveOutcome {
  const message = error instanceof Error ? error.message : String(error);
  return { ok: false, step: facts.step, seconds, reason: { kind: 'other', message } };
}
