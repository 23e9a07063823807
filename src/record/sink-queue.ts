import { LockstepError } from '../errors.ts';
import type { WorkerStep } from '../parallel/timeline.ts';
import type { RunHeader, Sink, SinkRecord } from './contract.ts';

/** Records that wait for a slow sink: some 20 MB, and minutes of a run of ordinary steps. */
export const QUEUE_CAPACITY = 32_768;
/** How long a sink may take to open before the run begins without waiting for it. */
const OPEN_PATIENCE_MS = 5000;
/** How long a sink may be silent, at the end of a run, before it is given up. */
const CLOSE_PATIENCE_MS = 10_000;

export interface QueueLimits {
  readonly capacity?: number;
  readonly openPatienceMs?: number;
  readonly closePatienceMs?: number;
}

/**
 * Stands between a run and one sink: hands records on in order, one `write` at a time, and keeps what comes meanwhile, up to a capacity. Steps
 * that do not fit are left out and counted; evaluations and events, which are few, still find room. Nothing here throws but `open`, and
 * nothing waits for the sink but `open` and `close`, each for a limited time.
 */
export class SinkQueue {
  readonly #sink: Sink;
  readonly #limits: Required<QueueLimits>;
  readonly #onProblem: (text: string) => void;
  #waiting: (readonly SinkRecord[])[] = [];
  #waitingRecords = 0;
  #busy: Promise<void> | undefined;
  #open = true;
  #written = 0;
  #leftOut = 0;
  #failures = 0;
  #failure: Error | undefined;

  /** `onProblem` gets a sentence when the sink fails for the first time, and when it begins to be too slow. */
  constructor(sink: Sink, onProblem: (text: string) => void, limits: QueueLimits = {}) {
    this.#sink = sink;
    this.#onProblem = onProblem;
    this.#limits = {
      capacity: limits.capacity ?? QUEUE_CAPACITY,
      openPatienceMs: limits.openPatienceMs ?? OPEN_PATIENCE_MS,
      closePatienceMs: limits.closePatienceMs ?? CLOSE_PATIENCE_MS,
    };
  }

  get name(): string {
    const ofClass = this.#sink.constructor?.name;
    return this.#sink.name ?? (ofClass && ofClass !== 'Object' ? ofClass : 'sink');
  }

  /**
   * Opens the sink; one that takes long goes on opening while records wait for it.
   *
   * @throws LockstepError of the sink: the user has to mend something.
   */
  async open(header: RunHeader): Promise<void> {
    let refusal: LockstepError | undefined;
    const opening = settle(() => this.#sink.open(header)).catch((error: unknown) => {
      this.#open = false;
      this.#waiting = [];
      if (error instanceof LockstepError) refusal = error;
      this.#fail(error, 'could not be opened');
    });
    this.#busy = opening.then(() => this.#next());
    await within(opening, this.#limits.openPatienceMs);
    if (refusal) throw refusal;
  }

  write(records: readonly SinkRecord[]): void {
    if (!this.#open || records.length === 0) return;
    if (!this.#busy) {
      this.#hand(records);
      return;
    }
    const kept = this.#fit(records);
    this.#waitingRecords += kept.length;
    if (kept.length > 0) this.#waiting.push(kept);
  }

  get wantsTimeline(): boolean {
    return this.#sink.timeline !== undefined;
  }

  /** Nothing of the timeline waits: a sink that is busy does not get it. */
  timeline(steps: readonly WorkerStep[]): void {
    if (!this.#open || this.#busy) return;
    this.#deliver(() => this.#sink.timeline?.(steps), 0);
  }

  /** Waits for what is still to be written, closes the sink, and says what it has not kept, if so. Never throws. */
  async close(): Promise<Error | undefined> {
    const { closePatienceMs } = this.#limits;
    for (let written = -1; this.#busy && written !== this.#written; ) {
      written = this.#written;
      await within(this.#idle(), closePatienceMs);
    }
    const silent = this.#busy !== undefined;
    this.#open = false;
    let closed = false;
    const closing = settle(() => this.#sink.close()).then(
      () => {
        closed = true;
      },
      (error: unknown) => {
        closed = true;
        this.#failure ??= asError(error);
      },
    );
    await within(closing, closePatienceMs);
    if (this.#failure) return this.#failure;
    const notWritten = this.#leftOut + this.#waitingRecords;
    if (!silent && closed && notWritten === 0) return undefined;
    return new LockstepError('E_SINK', {
      where: `sink ${this.name}`,
      expected: 'to keep up with the run',
      got: [
        ...(notWritten > 0 ? [`${notWritten} records left out`] : []),
        ...(silent || !closed ? [`no answer for ${closePatienceMs / 1000} s at the end`] : []),
      ].join(', '),
      fix: 'make it faster, or let it take only some of the steps; training was not held up',
    });
  }

  /** What there is room for. Steps fill the capacity, others may go half as far again. */
  #fit(records: readonly SinkRecord[]): readonly SinkRecord[] {
    const { capacity } = this.#limits;
    if (this.#waitingRecords + records.length <= capacity) return records;
    let waiting = this.#waitingRecords;
    const kept = records.filter(({ kind }) => {
      const fits = waiting < (kind === 'step' ? capacity : 1.5 * capacity);
      if (fits) waiting++;
      return fits;
    });
    const left = records.length - kept.length;
    if (left > 0 && this.#leftOut === 0) {
      this.#onProblem(`sink ${this.name} is slower than the run: what it cannot take is left out, training goes on`);
    }
    this.#leftOut += left;
    return kept;
  }

  #hand(records: readonly SinkRecord[]): void {
    this.#deliver(() => this.#sink.write(records), records.length);
  }

  /** One call at a time. `count` is how many records it delivers. */
  #deliver(call: () => void | Promise<void>, count: number): void {
    let answer: unknown;
    try {
      answer = call();
    } catch (error) {
      this.#fail(error, 'has failed');
      return;
    }
    if (!isThenable(answer)) {
      this.#written += count;
      return;
    }
    this.#busy = Promise.resolve(answer)
      .then(
        () => {
          this.#written += count;
        },
        (error: unknown) => this.#fail(error, 'has failed'),
      )
      .then(() => this.#next());
  }

  /** Hands on what waits, as one batch. */
  #next(): void {
    this.#busy = undefined;
    if (!this.#open || this.#waiting.length === 0) return;
    const records = this.#waiting.length === 1 ? this.#waiting[0] : this.#waiting.flat();
    this.#waiting = [];
    this.#waitingRecords = 0;
    this.#hand(records);
  }

  async #idle(): Promise<void> {
    while (this.#busy) await this.#busy;
  }

  #fail(error: unknown, what: string): void {
    this.#written++;
    this.#failures += 1;
    if (this.#failures > 1) return;
    this.#failure = asError(error);
    this.#onProblem(`sink ${this.name} ${what} (${this.#failure.message}): training goes on`);
  }
}

/** A sink in JavaScript may give anything. */
function isThenable(answer: unknown): answer is PromiseLike<unknown> {
  return typeof answer === 'object' && answer !== null && 'then' in answer && typeof answer.then === 'function';
}

async function settle(work: () => void | Promise<void>): Promise<void> {
  await work();
}

/** Resolves with the promise or after a time, whichever is first. The promise must not reject. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    promise,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(timer);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
