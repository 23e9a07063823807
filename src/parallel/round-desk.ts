import type { ShardRange } from '../membership/assignment.ts';
import { AbortedError } from './barrier.ts';
import { NOT_YET, resetEarlySum } from './early-sum.ts';
import { EVERY_STEP } from './inner-steps.ts';
import {
  ANSWER,
  ANSWERED,
  ASKED,
  ASKED_PASS,
  ASKED_STEP,
  ASKED_UPDATE,
  CALLED_OFF,
  earlySumWordsOf,
  FINAL_FROM,
  FINISHED,
  GATHERED,
  GATHERED_SUMS,
  GIVEN,
  GIVEN_AFTER,
  GIVEN_COUNT,
  GIVEN_EVERY,
  GIVEN_FIRST,
  GIVEN_FORMAT,
  GIVEN_STEP,
  GIVEN_UPDATE,
  GIVEN_WARMUP,
  LEAVE,
  PULSE,
  type RoundTask,
  roundWordsOf,
} from './rounds.ts';
import type { Session } from './session.ts';

/** A gradient pass that the coordinator's workers wait for. */
export interface AskedRound {
  /** Counts the rounds of this process. A newer one replaces those before it: the step is done again. */
  readonly round: number;
  readonly step: number;
  /** 0: that of the step itself; later ones are those of optimizers that need several. */
  readonly pass: number;
  /** Nodes that had the round before have this one's parameters by what is encoded. */
  readonly update: boolean;
}

/** The main thread's side of rounds on a coordinator: hears what its workers want, and answers when nodes have delivered. */
export class CoordinatorDesk {
  readonly #words: Int32Array;
  #closed = false;

  constructor(session: Session) {
    this.#words = roundWordsOf(session);
  }

  /** The round after number `seen`, as soon as there is one; undefined after `close`. */
  async next(seen: number): Promise<AskedRound | undefined> {
    const words = this.#words;
    for (;;) {
      if (this.#closed) return undefined;
      const round = Atomics.load(words, ASKED);
      if (round !== seen) {
        return {
          round,
          step: Atomics.load(words, ASKED_STEP),
          pass: Atomics.load(words, ASKED_PASS),
          update: Atomics.load(words, ASKED_UPDATE) === 1,
        };
      }
      const change = Atomics.waitAsync(words, ASKED, seen);
      if (change.async) await change.value;
    }
  }

  /** All partial sums of the round lie in their slots: the workers go on. */
  complete(round: number, sums: readonly ShardRange[]): void {
    const words = this.#words;
    words[GATHERED_SUMS] = sums.length;
    sums.forEach(({ first, count }, i) => {
      words[GATHERED_SUMS + 1 + 2 * i] = first;
      words[GATHERED_SUMS + 2 + 2 * i] = count;
    });
    this.#answer(round, GATHERED);
  }

  /** Nobody will compute the round: the workers leave the step, which has changed nothing. */
  callOff(round: number): void {
    this.#answer(round, CALLED_OFF);
  }

  #answer(round: number, answer: number): void {
    Atomics.store(this.#words, ANSWER, answer);
    Atomics.store(this.#words, ANSWERED, round);
    Atomics.notify(this.#words, ANSWERED);
  }

  /** Ends a `next` that waits. */
  close(): void {
    this.#closed = true;
    Atomics.notify(this.#words, ASKED);
  }
}

/** The main thread's side on a node: gives its workers shards to compute. */
export class NodeDesk {
  readonly #words: Int32Array;
  readonly #earlySum: Int32Array;
  #given: number;
  #abandoned = false;

  constructor(session: Session) {
    this.#words = roundWordsOf(session);
    this.#earlySum = earlySumWordsOf(session);
    this.#given = Atomics.load(this.#words, GIVEN);
  }

  /**
   * Resolves when all workers have computed these shards of a step and added them up. One at a time. `onFinal` hears from which element
   * on the gradient is final meanwhile, ever lower, where that can be known.
   *
   * @throws AbortedError after `abandon`.
   */
  async compute(task: RoundTask, onFinal: (from: number) => void): Promise<void> {
    const words = this.#words;
    const given = this.#give(task);
    for (let heard = NOT_YET; ; ) {
      if (this.#abandoned) throw new AbortedError();
      const pulse = Atomics.load(words, PULSE);
      if (Atomics.load(words, FINISHED) === given) return;
      const from = Atomics.load(words, FINAL_FROM);
      if (from < heard) {
        heard = from;
        onFinal(from);
      }
      const change = Atomics.waitAsync(words, PULSE, pulse);
      if (change.async) await change.value;
    }
  }

  /** The workers are gone: nothing will be finished any more. */
  abandon(): void {
    this.#abandoned = true;
    Atomics.notify(this.#words, PULSE);
  }

  /** The workers end their task. Nothing after `abandon`: their successors would find it as their first. */
  leave(): void {
    if (this.#abandoned) return;
    this.#give({ step: LEAVE, range: { first: 0, count: 0 }, format: 0, update: false, after: 0, pace: EVERY_STEP });
  }

  #give({ step, range, format, update, after, pace }: RoundTask): number {
    const words = this.#words;
    this.#given += 1;
    Atomics.store(words, GIVEN_STEP, step);
    Atomics.store(words, GIVEN_FIRST, range.first);
    Atomics.store(words, GIVEN_COUNT, range.count);
    Atomics.store(words, GIVEN_FORMAT, format);
    Atomics.store(words, GIVEN_UPDATE, update ? 1 : 0);
    Atomics.store(words, GIVEN_AFTER, after);
    Atomics.store(words, GIVEN_EVERY, pace.every);
    Atomics.store(words, GIVEN_WARMUP, pace.warmup);
    Atomics.store(words, FINAL_FROM, NOT_YET);
    resetEarlySum(this.#earlySum);
    Atomics.store(words, GIVEN, this.#given);
    Atomics.notify(words, GIVEN);
    return this.#given;
  }
}
