import type { ChildEnd } from './child.ts';

/** Seconds before a node is started again: 1, 2, 4 ... up to this. */
const LONGEST_S = 30;
/** A node that lived so long was well: the next pause is the first again. */
const WELL_MS = 60_000;
/** In a row. */
const MOST_RESTARTS = 10;

/** What ssh ends with when its connection has ended, or what it ran was killed. */
const SSH_ENDED = 255;

/** Whether a node elsewhere is gone because its ssh connection is: what it computed was right, and it may come back. */
export function connectionEnded({ code, signal }: ChildEnd): boolean {
  return code === SSH_ENDED || signal !== null;
}

/** When nodes whose connection has ended are started again. Pure; times in milliseconds. */
export class Restarts {
  readonly #tries = new Map<object, number>();
  readonly #reached = new Set<object>();

  /**
   * The pause before a host's node is started again; undefined: it is given up.
   *
   * @param reached its connection stood, so that the host is there and takes part.
   */
  pauseMs(host: object, livedMs: number, reached: boolean): number | undefined {
    if (reached) this.#reached.add(host);
    if (!this.#reached.has(host)) return undefined; // it has never been there
    const tries = livedMs >= WELL_MS ? 0 : (this.#tries.get(host) ?? 0);
    this.#tries.set(host, tries + 1);
    return tries < MOST_RESTARTS ? 1000 * Math.min(LONGEST_S, 2 ** tries) : undefined;
  }
}
