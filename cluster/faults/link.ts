/** How slow one direction of a network is. */
export interface LinkSpeed {
  /** From one end to the other, in milliseconds. Default 0. */
  readonly delayMs?: number;
  /** Default: no limit. */
  readonly bytesPerSecond?: number;
}

/** Bytes are sent in pieces of at most this size, so that a limit of bandwidth spreads them over time. */
export const PIECE_BYTES = 16 * 1024;
/** What the network holds at least, before its sender has to wait. */
const LEAST_WINDOW = 256 * 1024;

/** When bytes come out of one direction of a network. Everything that goes through shares its bandwidth. Pure: time is passed in. */
export class Link {
  readonly #speed: LinkSpeed;
  /** Until when it is busy with what was sent before. */
  #busyUntil = 0;

  constructor(speed: LinkSpeed = {}) {
    this.#speed = speed;
  }

  /** The time, in milliseconds, at which bytes that are sent now have arrived. */
  arrival(now: number, bytes: number): number {
    const { delayMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY } = this.#speed;
    this.#busyUntil = Math.max(now, this.#busyUntil) + (1000 * bytes) / bytesPerSecond;
    return this.#busyUntil + delayMs;
  }

  /** Bytes under way beyond which a sender waits: twice what the delay holds. */
  get window(): number {
    const { delayMs = 0, bytesPerSecond = 0 } = this.#speed;
    return Math.max(LEAST_WINDOW, (2 * bytesPerSecond * delayMs) / 1000);
  }
}
