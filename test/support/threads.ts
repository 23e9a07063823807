import { Piscina } from 'piscina';
import { CONTROL_WORDS, DECIDED_LIMIT, NEXT_EVALUATION_SHARD, REQUESTED_LIMIT } from '../../src/parallel/control.ts';
import type { Session, WorkerAnswer, WorkerTask } from '../../src/parallel/session.ts';
import type { Job } from '../../src/train/job.ts';
import { createSession } from '../../src/train/open-run.ts';
import { planRun, type RunPlan } from '../../src/train/plan-run.ts';

/** A run that a test leads by hand. */
export interface ThreadRun {
  readonly plan: RunPlan;
  readonly session: Session;
  train(from: number, to: number): Promise<WorkerAnswer[]>;
  evaluate(): Promise<WorkerAnswer[]>;
  /** A copy of a region of the arena. */
  floats(address: number, length: number): Float32Array;
  doubles(address: number, length: number): Float64Array;
}

/** Threads that serve many short runs, so that a test does not pay for starting them each time. */
export class Threads {
  /** Pools of one, so that each task goes to a certain thread. */
  readonly #threads: Piscina[];

  constructor(count: number) {
    const filename = new URL('../../dist/src/parallel/worker.js', import.meta.url).href;
    this.#threads = Array.from(
      { length: count },
      () => new Piscina({ filename, minThreads: 1, maxThreads: 1, idleTimeout: Number.POSITIVE_INFINITY }),
    );
  }

  /** Opens a run of `job` on `workers` of the threads, hands it to `use`, one run at a time. */
  async run<T>(job: Job, workers: number, use: (run: ThreadRun) => Promise<T>): Promise<T> {
    const plan = await planRun(job, { workers });
    const session = { ...(await createSession(plan, undefined)), spins: 0 };
    const { buffer } = session.memory;
    const control = new Int32Array(buffer, session.layout.control, CONTROL_WORDS);
    const all = (task: WorkerTask) => this.#all(task, workers);
    await all({ kind: 'open', session, committed: 0 });
    return use({
      plan,
      session,
      train(from, to) {
        Atomics.store(control, REQUESTED_LIMIT, to);
        Atomics.store(control, DECIDED_LIMIT, to);
        return all({ kind: 'train', session: session.id, from, to, rateChanges: [] });
      },
      evaluate() {
        Atomics.store(control, NEXT_EVALUATION_SHARD, 0);
        return all({ kind: 'evaluate', session: session.id, split: 'val' });
      },
      floats: (address, length) => new Float32Array(buffer, address, length).slice(),
      doubles: (address, length) => new Float64Array(buffer, address, length).slice(),
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.destroy()));
  }

  async #all(task: WorkerTask, workers: number): Promise<WorkerAnswer[]> {
    const answers = await Promise.all(
      this.#threads.slice(0, workers).map(async (thread): Promise<WorkerAnswer> => thread.run(task)),
    );
    for (const answer of answers) {
      if ('failure' in answer) throw new Error(`${answer.failure.message}\n${answer.failure.stack ?? ''}`);
    }
    return answers;
  }
}
