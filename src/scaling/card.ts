import type { EventQueue } from './events.ts';

interface Piece {
  readonly bytes: number;
  readonly latencyMs: number;
  readonly gone: () => void;
}

/** One direction of a network card, and the way behind it. Connections share what it carries, piece by piece. */
export class Card {
  readonly #queue: EventQueue;
  readonly #bytesPerMs: number;
  /** Until when it takes in what has come. */
  #free = 0;
  /** Pieces that wait to leave, by connection; those whose turn it is first. */
  readonly #waiting = new Map<number, Piece[]>();
  #sending = false;

  constructor(queue: EventQueue, bytesPerMs: number) {
    this.#queue = queue;
    this.#bytesPerMs = bytesPerMs;
  }

  /** A piece leaves, behind those of its connection and in turn with those of others; `gone` when it has, and `latencyMs` later. */
  send(connection: number, bytes: number, latencyMs: number, gone: () => void): void {
    const piece = { bytes, latencyMs, gone };
    const waiting = this.#waiting.get(connection);
    if (waiting) waiting.push(piece);
    else this.#waiting.set(connection, [piece]);
    if (!this.#sending) this.#sendNext();
  }

  #sendNext(): void {
    let piece: Piece | undefined;
    for (const [connection, pieces] of this.#waiting) {
      piece = pieces.shift();
      if (piece === undefined) continue;
      this.#waiting.delete(connection);
      this.#waiting.set(connection, pieces); // behind all others
      break;
    }
    this.#sending = piece !== undefined;
    if (piece === undefined) return;
    const { bytes, latencyMs, gone } = piece;
    this.#queue.at(this.#queue.now + bytes / this.#bytesPerMs, () => {
      this.#queue.at(this.#queue.now + latencyMs, gone);
      this.#sendNext();
    });
  }

  /** Bytes that somebody's card has just sent have come in, unless those of others fill this one. */
  take(bytes: number, there: () => void): void {
    this.#free = Math.max(this.#queue.now, this.#free + bytes / this.#bytesPerMs);
    this.#queue.at(this.#free, there);
  }
}
