import type { WorkerStep } from '../parallel/timeline.ts';
import type { EvaluationRecord, RunHeader, Sink, StepRecord } from './contract.ts';

/**
 * All sinks of a run behind one face. Records are handed on in order; a sink that is still busy makes the fan `full`.
 * The first failure of any sink is kept and thrown by `close`, after every sink was closed.
 */
export class SinkFan {
  readonly #sinks: readonly Sink[];
  /** What sinks have asked time for. */
  readonly #waiting = new Set<Promise<unknown>>();
  #failure: { error: unknown } | undefined;

  private constructor(sinks: readonly Sink[]) {
    this.#sinks = sinks;
  }

  /** Opens all; when one fails those opened before it are closed again, and its error is thrown. */
  static async open(sinks: readonly Sink[], header: RunHeader): Promise<SinkFan> {
    const opened: Sink[] = [];
    try {
      for (const sink of sinks) {
        await sink.open(header);
        opened.push(sink);
      }
    } catch (error) {
      for (const sink of opened) {
        try {
          await sink.close();
        } catch {
          // the first error is the one to be seen
        }
      }
      throw error;
    }
    return new SinkFan(sinks);
  }

  get size(): number {
    return this.#sinks.length;
  }

  /** Whether any sink looks at what the workers do. */
  get wantsTimeline(): boolean {
    return this.#sinks.some((sink) => sink.timeline !== undefined);
  }

  /** The first failure of any sink so far. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /** A sink has asked for time: better hand on nothing more until this is false. */
  get full(): boolean {
    return this.#waiting.size > 0;
  }

  /** Resolves when no sink asks for time any more. */
  async room(): Promise<void> {
    while (this.#waiting.size > 0) await Promise.all(this.#waiting);
  }

  steps(records: readonly StepRecord[]): void {
    for (const sink of this.#sinks) this.#watch(() => sink.steps(records));
  }

  evaluation(record: EvaluationRecord): void {
    for (const sink of this.#sinks) this.#watch(() => sink.evaluation(record));
  }

  timeline(steps: readonly WorkerStep[]): void {
    for (const sink of this.#sinks) this.#watch(() => sink.timeline?.(steps));
  }

  async close(): Promise<void> {
    for (const sink of this.#sinks) {
      try {
        await sink.close();
      } catch (error) {
        this.#failure ??= { error };
      }
    }
    if (this.#failure) throw this.#failure.error;
  }

  #watch(work: () => void | Promise<void>): void {
    try {
      const waiting = work();
      if (!waiting) return;
      const settled = waiting
        .catch((error: unknown) => {
          this.#failure ??= { error };
        })
        .finally(() => this.#waiting.delete(settled));
      this.#waiting.add(settled);
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}
