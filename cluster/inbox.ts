import { lastInnerStep, type Pace } from '../src/parallel/inner-steps.ts';
import { keptVectors } from '../src/parallel/kept-state.ts';
import { progressWidth, readProgress } from '../src/parallel/progress.ts';
import type { Session } from '../src/parallel/session.ts';
import type { SnapshotVector } from '../src/parallel/snapshot.ts';
import { samplerOf } from '../src/parallel/windows.ts';
import { codecOf, encodedBytes, mostEncodedBytes, unsoundBlock, type WireFormat } from '../src/parallel/wire-format.ts';
import { FrameError } from './frames.ts';
import type { Message, Of, ToNode } from './messages.ts';
import { placeRowsOfData } from './stream-data.ts';
import {
  joinedPieces,
  placeJoined,
  placeOf,
  placeRows,
  putInPlace,
  stateBytes,
  type TransferPiece,
} from './transfer.ts';

/** What is put into the arena. */
export type Content = Message<Of<ToNode, 'parameters' | 'update' | 'rows' | 'data' | 'kept'>>;

/**
 * A node's side of one connection, as far as memory goes: what the coordinator sends is put where the workers look for it, and nothing is
 * computed before all of it is there. The arena must be idle.
 */
export class Inbox {
  /** Of the run, as the coordinator has said when it let us in. */
  readonly wire: WireFormat;
  readonly pace: Pace;
  /** The step of what is kept here from round to round; 0: nothing of this connection. */
  after = 0;
  /** When the first of a round came, by `performance.now()`. */
  since = 0;
  readonly #session: Session;
  readonly #kept: readonly SnapshotVector[];
  #round = -1;
  /** Bytes of parameters that came for the round, and those of them that are encoded and not in place yet. */
  #bytes = 0;
  #update = 0;
  /** Bytes that came of what was kept by another. */
  #placed = 0;

  constructor(
    session: Session,
    { wire, syncEvery, syncWarmup }: Pick<Of<ToNode, 'welcome'>, 'wire' | 'syncEvery' | 'syncWarmup'>,
  ) {
    this.wire = wire;
    this.pace = { every: syncEvery, warmup: syncWarmup };
    this.#session = session;
    this.#kept = keptVectors(session, { residual: codecOf(wire)?.takes === true, inner: syncEvery > 1 });
  }

  /** Where a piece belongs. @throws FrameError for one that does not fit the job. */
  placeOf({ type, offset }: Of<ToNode, 'parameters' | 'update'>, length: number): Uint8Array {
    const { memory, layout, blocks } = this.#session;
    return type === 'parameters'
      ? placeOf(memory.buffer, layout.parameters, stateBytes(this.#session), { offset, length })
      : placeOf(memory.buffer, layout.wire.down, mostEncodedBytes(blocks), { offset, length });
  }

  /** @throws FrameError for what does not fit the job. */
  put(message: Content): void {
    const session = this.#session;
    if (message.type === 'data') placeRowsOfData(session, message.regions);
    if (message.type === 'kept') this.#putKept(message);
    if (message.type === 'data' || message.type === 'kept') return;
    this.#begin(message.round);
    const [bytes, more] = message.regions;
    if (message.type === 'rows') placeRows(session, message.table, bytes, more);
    else putInPlace(this.placeOf(message, bytes.length), bytes);
    if (message.type === 'update') this.#update += bytes.length;
    this.#bytes += message.type === 'rows' ? message.regions[1].length : bytes.length;
  }

  /**
   * All that belongs to shards that are to be computed has come. Gives whether parts of it are encoded, for the workers to put into place.
   *
   * @throws FrameError if it has not.
   */
  complete({ round, step, first, count, parameterBytes, after }: Of<ToNode, 'compute'>): boolean {
    this.#begin(round);
    const { shards } = this.#session;
    if (this.#bytes !== parameterBytes) {
      throw new FrameError(0, `${parameterBytes} bytes of parameters`, String(this.#bytes));
    }
    if (step < 1 || count < 1 || first + count > shards) {
      throw new FrameError(0, `some of ${shards} shards`, `${first} to ${first + count - 1} of step ${step}`);
    }
    if (after !== 0 && after !== this.after) {
      throw new FrameError(0, `to go on from step ${this.after} or from nothing`, `from step ${after}`);
    }
    const update = this.#updateCame();
    this.#update = 0;
    return update;
  }

  /** What is kept here, to be sent. */
  kept(): TransferPiece[] {
    return joinedPieces(this.#session.memory.buffer, this.#kept);
  }

  #begin(round: number): void {
    if (round === this.#round) return;
    this.#round = round;
    this.#bytes = 0;
    this.#update = 0;
    this.since = performance.now();
  }

  #updateCame(): boolean {
    const codec = codecOf(this.wire);
    if (this.#update === 0) return false;
    const { memory, layout, blocks } = this.#session;
    const expected = codec ? encodedBytes(blocks, codec) : 0;
    if (!codec || this.#update !== expected) {
      throw new FrameError(0, `${expected} bytes of an update`, String(this.#update));
    }
    const block = unsoundBlock(memory.buffer, layout.wire.down, blocks, codec);
    if (block !== undefined) throw new FrameError(0, `ascending places in block ${block}`, 'others');
    return true;
  }

  /** What was kept by whoever had this place before: it is gone on from as soon as all of it is here. */
  #putKept({ after, offset, regions: [bytes] }: Message<Of<ToNode, 'kept'>>): void {
    if (offset !== this.#placed) throw new FrameError(0, `a piece from byte ${this.#placed}`, `one from ${offset}`);
    this.after = 0;
    placeJoined(this.#session.memory.buffer, this.#kept, { offset, bytes });
    this.#placed += bytes.length;
    if (this.#placed < this.#kept.reduce((sum, vector) => sum + vector.bytes, 0)) return;
    this.#placed = 0;
    if (!this.#hasProgress(after)) throw new FrameError(0, `an optimizer after step ${after}`, 'another');
    this.after = after;
  }

  /** Whether the workers will find how far the optimizer of their local steps has come. */
  #hasProgress(after: number): boolean {
    const { memory, layout, progressNames, totalSteps } = this.#session;
    if (after < 1) return false;
    if (this.pace.every === 1) return true;
    const { stepsPerEpoch } = samplerOf(this.#session);
    const last = lastInnerStep(after, this.pace, { stepsPerEpoch, totalSteps });
    const places = new Float64Array(memory.buffer, layout.progress, 2 * progressWidth(progressNames));
    return readProgress(places, last, progressNames) !== undefined;
  }
}
