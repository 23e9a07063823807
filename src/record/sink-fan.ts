import type { WorkerStep } from '../parallel/timeline.ts';
import type { RunHeader, Sink, SinkRecord } from './contract.ts';
import { type QueueLimits, SinkQueue } from './sink-queue.ts';

/** All sinks of a run behind one face; each has a queue of its own, so that a slow one holds up neither the run nor the others. */
export class SinkFan {
  readonly #queues: readonly SinkQueue[];

  private constructor(queues: readonly SinkQueue[]) {
    this.#queues = queues;
  }

  /** Opens all at once. When one refuses the run all are closed again, and its error is thrown. */
  static async open(
    sinks: readonly Sink[],
    header: RunHeader,
    onProblem: (text: string) => void,
    limits?: QueueLimits,
  ): Promise<SinkFan> {
    const fan = new SinkFan(sinks.map((sink) => new SinkQueue(sink, onProblem, limits)));
    const opened = await Promise.allSettled(fan.#queues.map((queue) => queue.open(header)));
    const refused = opened.find((result) => result.status === 'rejected');
    if (refused) {
      await fan.close();
      throw refused.reason;
    }
    return fan;
  }

  get size(): number {
    return this.#queues.length;
  }

  /** Hands records on. Returns at once and never throws. */
  write(records: readonly SinkRecord[]): void {
    for (const queue of this.#queues) queue.write(records);
  }

  /** Whether any sink looks at what the workers do. */
  get wantsTimeline(): boolean {
    return this.#queues.some((queue) => queue.wantsTimeline);
  }

  timeline(steps: readonly WorkerStep[]): void {
    for (const queue of this.#queues) queue.timeline(steps);
  }

  /** Closes all; gives what each has not kept. */
  async close(): Promise<readonly Error[]> {
    const problems = await Promise.all(this.#queues.map((queue) => queue.close()));
    return problems.filter((problem) => problem !== undefined);
  }
}
