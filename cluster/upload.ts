import { denseBytes } from '../src/graph/layout.ts';
import type { Session } from '../src/parallel/session.ts';
import type { NodeSum } from '../src/parallel/step-plan.ts';
import { type Codec, encodedBytes } from '../src/parallel/wire-format.ts';
import { piecesOf, type TransferPiece } from './transfer.ts';

/** A sum of shards, and where it lies. */
export type TreeSum = Pick<NodeSum, 'first' | 'count' | 'address'>;

/** What a piece is a piece of: the sum of a node of the gradient tree. */
export interface SumHeader {
  readonly type: 'sums';
  readonly first: number;
  readonly count: number;
  readonly offset: number;
}

/**
 * The sums of a part on their way to the coordinator, piece by piece from the end: the gradients of the last layers are final while the
 * backward pass goes on through the first.
 */
export class Upload {
  readonly #queue: { readonly header: Omit<SumHeader, 'offset'>; readonly piece: TransferPiece }[] = [];
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
    this.#send = send;
    this.#early = codec === undefined && sums.length === 1;
    const bytes = codec ? encodedBytes(blocks, codec) : denseBytes(session);
    // Encoded, all sums lie in the first: src/parallel/wire.ts.
    for (const { first, count, address } of sums.slice(0, codec ? 1 : undefined)) {
      const pieces = piecesOf(memory.buffer, codec ? layout.wire.sums[0] : address, bytes).reverse();
      for (const piece of pieces) this.#queue.push({ header: { type: 'sums', first, count }, piece });
    }
  }

  /** Sends the pieces that lie behind an element of the one sum, which is final from there on. */
  sendFrom(element: number): void {
    while (this.#early && this.#queue.length > 0 && this.#queue[0].piece.offset >= 4 * element) this.#sendNext();
  }

  /** Sends what is left: all is final. */
  sendRest(): void {
    while (this.#queue.length > 0) this.#sendNext();
  }

  /** Settles when nothing is read from the arena any more. */
  get sent(): Promise<unknown> {
    return Promise.allSettled(this.#sent);
  }

  #sendNext(): void {
    const next = this.#queue.shift();
    if (!next) return;
    const { header, piece } = next;
    this.#sent.push(this.#send(piece.bytes, { ...header, offset: piece.offset }));
  }
}
