import type { ShardRange } from '../membership/assignment.ts';
import { AbortedError, isPoisoned } from './barrier.ts';
import { earlySumWords } from './early-sum.ts';
import type { Pace } from './inner-steps.ts';
import type { Session } from './session.ts';

/**
 * Rounds: how a step reaches over several machines. A round is one gradient pass over the batch of a step; nodes compute its shards and
 * the coordinator's workers go on with their sums as if they had computed them. These are the words in the arena by which the
 * workers of either side and the main thread, which has the sockets, agree. Each side of a conversation has a cache line of its own.
 */
const LINE = 16;
/** Coordinator: number of the round that its workers want, the step, and which pass over its batch. Rank 0 writes. */
export const ASKED = 0 * LINE;
export const ASKED_STEP = ASKED + 1;
export const ASKED_PASS = ASKED + 2;
/** 1: nodes that had the round before have this one's parameters by what is encoded (wire.ts). */
export const ASKED_UPDATE = ASKED + 3;
/** The step whose parameters the replica holds, with one added (wire.ts); 0: of none that another could follow. */
const REPLICATED = ASKED + 4;
/** Number of the newest round that is complete or called off, and which of the two. The main thread writes. */
export const ANSWERED = 1 * LINE;
export const ANSWER = ANSWERED + 1;
export const [GATHERED, CALLED_OFF] = [1, 2];
/** Node: counts what the main thread has given its workers: a range of shards of a step, or, with no step, to leave. */
export const GIVEN = 2 * LINE;
export const GIVEN_STEP = GIVEN + 1;
export const GIVEN_FIRST = GIVEN + 2;
export const GIVEN_COUNT = GIVEN + 3;
/** Index of the wire format; whether encoded parameters have come; the step that the node's kept state is of. */
export const GIVEN_FORMAT = GIVEN + 4;
export const GIVEN_UPDATE = GIVEN + 5;
export const GIVEN_AFTER = GIVEN + 6;
/** The pace (inner-steps.ts): steps that the node makes by itself in a round, 1 where it computes gradients; and how many rounds of one before. */
export const GIVEN_EVERY = GIVEN + 7;
export const GIVEN_WARMUP = GIVEN + 8;
export const LEAVE = 0;
/** Node: counts what the workers have to say, which is one of the two below. */
export const PULSE = 3 * LINE;
/** The newest task that is done. Rank 0 writes. */
export const FINISHED = PULSE + 1;
/** Element from which on the node's one sum is made while the task in hand goes on; NOT_YET: nothing is. */
export const FINAL_FROM = PULSE + 2;
/** What a gathered round consists of: how many partial sums, then first shard and number of shards of each. */
export const GATHERED_SUMS = 4 * LINE;

/** Behind them, on a node: the words of its early sum (early-sum.ts). */
const earlySumAt = (shards: number): number => LINE * Math.ceil((GATHERED_SUMS + 1 + 2 * shards) / LINE);

export function roundWords({ shards, workers }: Pick<Session, 'shards' | 'workers'>): number {
  return earlySumAt(shards) + earlySumWords(workers);
}

type Words = Pick<Session, 'memory' | 'layout' | 'shards' | 'workers'>;

export function roundWordsOf(session: Words): Int32Array {
  return new Int32Array(session.memory.buffer, session.layout.rounds, roundWords(session));
}

export function earlySumWordsOf(session: Words): Int32Array {
  return roundWordsOf(session).subarray(earlySumAt(session.shards));
}

/** See REPLICATED. */
export function replicatedStep(words: Int32Array): number | undefined {
  const value = Atomics.load(words, REPLICATED);
  return value === 0 ? undefined : value - 1;
}

/** The replica holds the parameters of a step now; undefined: it is being changed, or holds nothing. */
export function noteReplica(words: Int32Array, step: number | undefined): void {
  Atomics.store(words, REPLICATED, step === undefined ? 0 : step + 1);
}

/** What a node's workers are given to do. */
export interface RoundTask {
  readonly step: number;
  readonly range: ShardRange;
  /** Index in WIRE_FORMATS of how the sums go up, and how parameters came. */
  readonly format: number;
  /** Encoded parameters have come, and are to be put into place. */
  readonly update: boolean;
  /**
   * The step of the last task: what its sums left unsaid is added to these, and its local steps are gone on from. 0: both begin from
   * nothing (kept-state.ts).
   */
  readonly after: number;
  /** EVERY_STEP: the gradient sums of the shards at these parameters. Else local steps on them (local-steps.ts); `step` counts rounds. */
  readonly pace: Pace;
}

/** A partial sum that came from a node: it lies in the slot of its first shard. */
export type GatheredSum = ShardRange & { readonly address: number };

/** The partial sums of the newest round. */
export function gatheredSums({ layout }: Pick<Session, 'layout'>, words: Int32Array): GatheredSum[] {
  return Array.from({ length: words[GATHERED_SUMS] }, (_, i) => {
    const [first, count] = words.subarray(GATHERED_SUMS + 1 + 2 * i, GATHERED_SUMS + 3 + 2 * i);
    return { first, count, address: layout.uploads[first] };
  });
}

/** Milliseconds of sleep after which a worker looks whether the run was aborted. */
const PATIENCE_MS = 50;

/** A worker's side of the words. All workers of a process call the same methods in the same order. */
export class Rounds {
  readonly #words: Int32Array;
  readonly #barrier: Int32Array;
  readonly #rank: number;
  /** Rounds asked for so far, or given. */
  #count: number;

  /** `barrier`: words that are poisoned when the run is aborted. */
  constructor(session: Session, rank: number, barrier: Int32Array) {
    this.#words = roundWordsOf(session);
    this.#barrier = barrier;
    this.#rank = rank;
    this.#count = Atomics.load(this.#words, session.part === 'node' ? GIVEN : ASKED);
  }

  /** Coordinator: returns when nodes have computed all shards of the step; false when they will not. The parameters are in place. */
  ask(step: number, pass: number, update: boolean): boolean {
    const words = this.#words;
    this.#count += 1;
    if (this.#rank === 0) {
      Atomics.store(words, ASKED_STEP, step);
      Atomics.store(words, ASKED_PASS, pass);
      Atomics.store(words, ASKED_UPDATE, update ? 1 : 0);
      Atomics.store(words, ASKED, this.#count);
      Atomics.notify(words, ASKED);
    }
    this.#wait(ANSWERED, (answered) => answered === this.#count);
    return Atomics.load(words, ANSWER) === GATHERED;
  }

  /** Node: the next range of shards to compute; undefined when the workers may leave. */
  take(): RoundTask | undefined {
    const words = this.#words;
    const done = this.#count;
    this.#wait(GIVEN, (given) => given !== done);
    this.#count = Atomics.load(words, GIVEN);
    const step = Atomics.load(words, GIVEN_STEP);
    if (step === LEAVE) return undefined;
    return {
      step,
      range: { first: Atomics.load(words, GIVEN_FIRST), count: Atomics.load(words, GIVEN_COUNT) },
      format: Atomics.load(words, GIVEN_FORMAT),
      update: Atomics.load(words, GIVEN_UPDATE) === 1,
      after: Atomics.load(words, GIVEN_AFTER),
      pace: { every: Atomics.load(words, GIVEN_EVERY), warmup: Atomics.load(words, GIVEN_WARMUP) },
    };
  }

  /** Node: the sum is made from an element on, and may be sent while the rest is computed. By one worker at a time. */
  final(from: number): void {
    this.#say(FINAL_FROM, from);
  }

  /** Node: what was taken is done by all workers. By rank 0. */
  finish(): void {
    this.#say(FINISHED, this.#count);
  }

  #say(word: number, value: number): void {
    Atomics.store(this.#words, word, value);
    Atomics.add(this.#words, PULSE, 1);
    Atomics.notify(this.#words, PULSE);
  }

  #wait(word: number, until: (value: number) => boolean): void {
    for (let now = Atomics.load(this.#words, word); !until(now); now = Atomics.load(this.#words, word)) {
      if (isPoisoned(this.#barrier)) throw new AbortedError();
      Atomics.wait(this.#words, word, now, PATIENCE_MS);
    }
  }
}
