import type { BlockPlan } from '../data/block-sampler.ts';
import { createBlockSampler } from '../data/block-sampler.ts';
import { createSampler, type Sampler } from '../data/sampler.ts';
import { LockstepError } from '../errors.ts';
import { AbortedError, isPoisoned } from './barrier.ts';
import type { Session } from './session.ts';

/**
 * Words by which workers and the prefetching thread agree, each on a cache line of its own: the step that the workers are in, the
 * window that each half of the memory holds (EMPTY while it is being filled), and whether the thread works.
 */
const LINE = 16;
export const WANTED_STEP = 0;
/** Of half 0; that of half 1 is a line further. */
export const HELD = 1 * LINE;
export const STATE = 3 * LINE;
export const WINDOW_WORDS = 4 * LINE;

export const EMPTY = -1;
export const [RUNNING, STOPPED, FAILED] = [0, 1, 2];

export const held = (g: number): number => HELD + (g % 2) * LINE;

/** A column of a training split on disk. */
export interface StreamedColumn {
  /** Where it begins in the file. */
  readonly fileOffset: number;
  readonly rowBytes: number;
  /** From one row to the next, on disk and in the arena: fewer than `rowBytes` where rows overlap. */
  readonly stepBytes: number;
  /** Where its windows lie in the arena. */
  readonly address: number;
}

/** A sparse column of a training split on disk: where its lists begin in the file. In the arena each half of the windows has room for so many values. */
export interface StreamedSparse {
  readonly filePointers: number;
  readonly fileIndices: number;
  readonly fileValues: number;
  readonly windowValues: number;
}

/** A training split whose windows of rows are brought into the arena while it is trained. */
export interface StreamedAddress {
  readonly fd: number;
  /** WINDOW_WORDS in the arena. */
  readonly words: number;
  readonly blocks: BlockPlan;
}

export function windowWords(session: Pick<Session, 'memory'>, { words }: StreamedAddress): Int32Array {
  return new Int32Array(session.memory.buffer, words, WINDOW_WORDS);
}

/** The sampler of the training rows: of the table, or of windows on disk. */
export function samplerOf({
  splits,
  batchSize,
  seed,
  shuffle,
}: Pick<Session, 'splits' | 'batchSize' | 'seed' | 'shuffle'>): Sampler {
  const { train } = splits;
  const options = { size: train?.size ?? 0, batchSize, seed, shuffle };
  return train?.kind === 'streamed' ? createBlockSampler({ ...options, blocks: train.blocks }) : createSampler(options);
}

/** Where the places of the rows of a shard go, beside their ids, when the rows lie in windows; and waiting for the windows of a step. */
export interface Windows {
  /** Returns when all rows of the step are in memory. Throws AbortedError, E_DATA_SOURCE if the prefetching thread has failed. */
  require(step: number): void;
}

/** Milliseconds of sleep after which a worker looks whether the run was aborted. */
const PATIENCE_MS = 50;

/** The workers' side; undefined where the training rows are no windows. `barrier`: words that are poisoned when the run is aborted. */
export function openWindows(session: Session, barrier: Int32Array): Windows | undefined {
  const { train } = session.splits;
  if (train?.kind !== 'streamed') return undefined;
  const sampler = createBlockSampler({
    size: train.size,
    batchSize: session.batchSize,
    seed: session.seed,
    shuffle: session.shuffle,
    blocks: train.blocks,
  });
  const words = windowWords(session, train);
  return {
    require(step) {
      if (Atomics.exchange(words, WANTED_STEP, step) !== step) Atomics.notify(words, WANTED_STEP);
      const last = sampler.lastWindow(step);
      for (let g = sampler.firstWindow(step); g <= last; g++) {
        for (let now = Atomics.load(words, held(g)); now !== g; now = Atomics.load(words, held(g))) {
          if (isPoisoned(barrier)) throw new AbortedError();
          if (Atomics.load(words, STATE) !== RUNNING) throw failed();
          Atomics.wait(words, held(g), now, PATIENCE_MS);
        }
      }
    },
  };
}

function failed(): LockstepError {
  return new LockstepError('E_DATA_SOURCE', {
    where: 'the thread that reads the chunks of the data',
    expected: 'to bring the rows of the next steps into memory',
    got: 'an end of the thread',
    fix: 'see whether the disk works and has room; run it again with --resume auto',
  });
}
