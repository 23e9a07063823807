import { denseBytes } from '../src/graph/layout.ts';
import type { Session } from '../src/parallel/session.ts';
import type { NodeSum } from '../src/parallel/step-plan.ts';
import { type Codec, encodedBytes } from '../src/parallel/wire-format.ts';
import { PIECE_BYTES } from './transfer.ts';

/** A sum of shards, and where it lies. */
export type TreeSum = Pick<NodeSum, 'first' | 'count' | 'address'>;

/** What a piece is a piece of: the sum of a node of the gradient tree. */
export interface SumHeader {
  readonly type: 'sums';
  readonly first: number;
  readonly count: number;
  readonly offset: number;
}

/** The beginning of a sum, which is still to be sent. */
interface Left {
  readonly sum: Pick<TreeSum, 'first' | 'count'>;
  readonly address: number;
  bytes: number;
}

/** Less is not sent early: a message costs as much as this many bytes. */
export const WORTH_IT = 64 * 1024;

/**
 * The sums of a part on their way to the coordinator, piece by piece from the end: the gradients of the last layers are final while the
 * backward pass goes on through the first.
 */
export class Upload {
  readonly #buffer: ArrayBufferLike;
  /** What is left of each sum: its beginning. */
  readonly #left: readonly Left[];
  readonly #send: (region: Uint8Array, header: SumHeader) => Promise<void>;
  readonly #sent: Promise<void>[] = [];
  /** A lossy format encodes a sum when it is complete. */
  readonly #early: boolean;

  constructor(
    session: Session,
    sums: readonly TreeSum[],
    codec: Codec | undefined,
    send: (region: Uint8Array, header: SumHeader) => Promise<void>,
  ) {
    const { memory, layout, blocks } = session;
    this.#buffer = memory.buffer;
    this.#send = send;
    this.#early = codec === undefined && sums.length === 1;
    const bytes = codec ? encodedBytes(blocks, codec) : denseBytes(session);
    // Encoded, all sums lie in the first: src/parallel/wire.ts.
    this.#left = sums.slice(0, codec ? 1 : undefined).map(({ first, count, address }) => ({
      sum: { first, count },
      address: codec ? layout.wire.sums[0] : address,
      bytes,
    }));
  }

  /** Sends what lies behind an element of the one sum, which is final from there on, as far as it is worth messages. */
  sendFrom(element: number): void {
    if (!this.#early) return;
    const [left] = this.#left;
    while (left.bytes - 4 * element >= WORTH_IT) this.#sendPiece(left, 4 * element);
  }

  /** Sends what is left: all is final. */
  sendRest(): void {
    for (const left of this.#left) while (left.bytes > 0) this.#sendPiece(left, 0);
  }

  /** Settles when nothing is read from the arena any more. */
  get sent(): Promise<unknown> {
    return Promise.allSettled(this.#sent);
  }

  /** The last piece of what is left and final. */
  #sendPiece(left: Left, from: number): void {
    const offset = Math.max(from, left.bytes - PIECE_BYTES);
    const bytes = new Uint8Array(this.#buffer, left.address + offset, left.bytes - offset);
    left.bytes = offset;
    this.#sent.push(this.#send(bytes, { type: 'sums', ...left.sum, offset }));
  }
}
