import { once } from 'node:events';
import { median } from '../compare/statistics.ts';
import { startThread } from '../data/thread.ts';
import { stopTurns, takeTurns, turnCells } from './line-turns.ts';

/** The median of so many batches: in the first ones the loop is not compiled, and now and then a core does something else. */
const BATCHES = 25;
const TURNS = 200;
/** Two threads that have to share one core take turns at its scheduler's pace: then there is no figure, and another attempt. */
const MOST_MS = 20;
const ATTEMPTS = 5;
/** A distance that exceeds the shortest one so many times is of another kind: the cores do not share a cache. */
const FAR = 2.5;

/** Whether cores `ns` from each other are farther than they can be when they share a cache, as they did where they were `nearest`. */
export const isFar = (ns: number, nearest: number): boolean => ns > FAR * nearest;

/**
 * Nanoseconds in which a cache line goes from one core to another and back, while both do nothing else: about 60 to 150 where they
 * share a cache, several times that where they do not. Virtual cores may change from one to the other within a run, and the
 * steps of several workers, which write what the others have read, are of two kinds then.
 *
 * @returns undefined where two threads did not run at once.
 */
export async function measureCoreDistance(): Promise<number | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const distance = await exchange();
    if (distance !== undefined) return distance;
  }
  return undefined;
}

async function exchange(): Promise<number | undefined> {
  const cells = turnCells();
  const thread = startThread('core-distance-thread', import.meta.url, { workerData: cells });
  const ended = once(thread, 'exit');
  try {
    await once(thread, 'message');
    const deadline = performance.now() + MOST_MS;
    const batches: number[] = [];
    for (let batch = 0; batch < BATCHES; batch++) {
      const began = performance.now();
      if (!takeTurns(cells, batch * TURNS, TURNS, deadline)) return undefined;
      batches.push((1e6 * (performance.now() - began)) / TURNS);
    }
    return median(batches);
  } finally {
    stopTurns(cells);
    await ended;
  }
}
