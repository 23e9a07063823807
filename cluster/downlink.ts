import { denseBytes } from '../src/graph/layout.ts';
import type { ShardRange } from '../src/membership/assignment.ts';
import { EVERY_STEP, innerSteps } from '../src/parallel/inner-steps.ts';
import type { AskedRound } from '../src/parallel/round-desk.ts';
import type { Session } from '../src/parallel/session.ts';
import { samplerOf } from '../src/parallel/windows.ts';
import { type Codec, codecOf } from '../src/parallel/wire-format.ts';
import { encodeFrame } from './frames.ts';
import type { Member } from './member.ts';
import { type Round, sumBytesOf } from './round.ts';
import { changedRows, piecesOf, stateBytes, type TransferPiece } from './transfer.ts';

/** A message for several members. */
interface Told {
  /** Encoded when it is first sent. */
  frame(): readonly Uint8Array[];
  /** Of parameters. */
  readonly bytes: number;
}

function toldOnce(header: object, regions: readonly Uint8Array[], bytes: number): Told {
  let frame: readonly Uint8Array[] | undefined;
  return {
    frame: () => {
      frame ??= encodeFrame(header, regions);
      return frame;
    },
    bytes,
  };
}

/** What members are sent so that they can compute: parameters, and rows of the data to those that have none. */
export class Downlink {
  readonly #session: Session;
  readonly #fence: number;
  readonly #sampler: ReturnType<typeof samplerOf>;
  readonly #codec: Codec | undefined;
  readonly #sumBytes: number;
  /** What the last member was sent of a round: most often the next is sent the same. */
  #told: { readonly asked: AskedRound; readonly whole: boolean; readonly messages: readonly Told[] } | undefined;

  constructor(session: Session, fence: number) {
    this.#session = session;
    this.#fence = fence;
    this.#sampler = samplerOf(session);
    this.#codec = codecOf(session.wire ?? 'fp32');
    this.#sumBytes = sumBytesOf(session);
  }

  /** To a node without data, what it has not had yet of the rows of its shards. */
  sendRows({ step, batches }: Round, { rows, connection }: Member, range: ShardRange): void {
    const { pace = EVERY_STEP, totalSteps } = this.#session;
    const { stepsPerEpoch } = this.#sampler;
    const { first } = innerSteps(step, pace, { stepsPerEpoch, totalSteps });
    for (let t = first; t < first + batches; t++) {
      for (const regions of rows?.missing(t, range) ?? []) {
        void connection.send({ type: 'data', fence: this.#fence }, regions);
      }
    }
  }

  /**
   * Whoever had the round before lacks what has changed since; whoever had not lacks all of it.
   *
   * @param before number of the round before.
   */
  sendParameters({ asked }: Round, member: Member, before: number | undefined): void {
    const whole = member.round !== before || (this.#codec !== undefined && !asked.update);
    member.round = asked.round;
    if (this.#told?.asked !== asked || this.#told.whole !== whole)
      this.#told = { asked, whole, messages: this.#tell(asked, whole) };
    const { messages } = this.#told;
    for (const { frame } of messages) void member.connection.sendEncoded(frame);
    member.parameterBytes = messages.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #tell(asked: AskedRound, whole: boolean): Told[] {
    const stamp = { fence: this.#fence, round: asked.round };
    const pieces = this.#parameters(asked.update, whole);
    const told = (['parameters', 'update'] as const).flatMap((type) =>
      pieces[type].map(({ offset, bytes }) => toldOnce({ type, ...stamp, offset }, [bytes], bytes.length)),
    );
    if (whole) return told;
    const changed = changedRows(this.#session);
    return [
      ...told,
      ...changed.map(({ table, ids, rows }) => toldOnce({ type: 'rows', ...stamp, table }, [ids, rows], rows.length)),
    ];
  }

  /** Views where that is safe: the update comes only after every member that was given shards has answered. */
  #parameters(update: boolean, whole: boolean): Record<'parameters' | 'update', TransferPiece[]> {
    const { memory, layout } = this.#session;
    const codec = this.#codec;
    const dense = denseBytes(this.#session);
    const all = whole ? stateBytes(this.#session) : dense;
    if (!codec) return { parameters: piecesOf(memory.buffer, layout.parameters, all), update: [] };
    // Sparse tables lie behind the dense parameters and are never rounded.
    const tables = piecesOf(memory.buffer, layout.parameters, all, dense);
    if (update && !(whole && codec.takes)) {
      return { parameters: tables, update: piecesOf(memory.buffer, layout.wire.down, this.#sumBytes) };
    }
    return { parameters: [...piecesOf(memory.buffer, layout.wire.replica, dense), ...tables], update: [] };
  }
}
