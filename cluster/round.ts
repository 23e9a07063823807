import { denseBytes } from '../src/graph/layout.ts';
import { ROW_LIST_STRIDE } from '../src/kernels/table.ts';
import type { ShardRange } from '../src/membership/assignment.ts';
import type { AskedRound } from '../src/parallel/round-desk.ts';
import { rowListStride } from '../src/parallel/row-memory.ts';
import type { Session } from '../src/parallel/session.ts';
import { type Codec, codecOf, encodedBytes, unsoundBlock } from '../src/parallel/wire-format.ts';
import { FrameError } from './frames.ts';
import type { Message, Of, ToCoordinator } from './messages.ts';
import { isEmptyShard, placeOf, placeShards, putInPlace } from './transfer.ts';

/** Shards of a round that a member has been given. */
export interface Part extends ShardRange {
  /** Of the membership. */
  readonly epoch: number;
  readonly sentAt: number;
  /** Bytes that came of the sum that begins at a shard. */
  readonly received: Map<number, number>;
}

/** Bytes of a partial sum as it travels. */
export function sumBytesOf(session: Session): number {
  const codec = codecOf(session.wire ?? 'fp32');
  return codec ? encodedBytes(session.blocks, codec) : denseBytes(session);
}

/**
 * The gradient pass in hand: which shards nobody computes, which are done, and what came of them, which is put into the arena. It knows
 * neither sockets nor clocks. What a message has to be is looked at before anything of it counts.
 */
export class Round {
  readonly asked: AskedRound;
  /** Rows of the batches that it takes: the largest, and how many there are. */
  readonly batchRows: number;
  readonly batches: number;
  /** Runs of shards that nobody is computing. */
  missing: ShardRange[];
  /** Since when it waits for nodes. */
  waitingSince: number | undefined;
  readonly #session: Session;
  readonly #codec: Codec | undefined;
  readonly #sumBytes: number;
  /** Complete partial sums, by tree node. */
  readonly #sums: ShardRange[] = [];
  #shardsDone = 0;

  /** `batches`: rows of each, the largest first; `sumBytes`: see `sumBytesOf`. */
  constructor(session: Session, asked: AskedRound, batches: readonly number[], sumBytes: number) {
    this.asked = asked;
    this.batchRows = batches[0];
    this.batches = batches.length;
    this.missing = [{ first: 0, count: session.shards }];
    this.#session = session;
    this.#codec = codecOf(session.wire ?? 'fp32');
    this.#sumBytes = sumBytes;
  }

  get step(): number {
    return this.asked.step;
  }

  /** All shards are done. */
  get complete(): boolean {
    return this.#shardsDone === this.#session.shards;
  }

  /** The partial sums that came, in the order of their shards. */
  get sums(): readonly ShardRange[] {
    return [...this.#sums].sort((a, b) => a.first - b.first);
  }

  /** Nobody computes these any more. */
  giveBack(parts: readonly ShardRange[]): void {
    this.missing.push(...parts.map(({ first, count }) => ({ first, count })));
  }

  /** Nothing has come, and nobody is at it. */
  startOver(): void {
    this.missing = [{ first: 0, count: this.#session.shards }];
  }

  /** Which of a member's parts a message belongs to; none for one of another time. */
  partOf(
    parts: readonly Part[],
    message: Pick<Of<ToCoordinator, 'sums'>, 'round' | 'epoch' | 'first' | 'count'>,
  ): Part | undefined {
    if (message.round !== this.asked.round) return undefined;
    return parts.find((part) => part.epoch === message.epoch && this.#liesIn(message, part));
  }

  /** Where a piece belongs. @throws FrameError for one that is not the next of its sum. */
  placeOf(
    part: Part,
    { first, offset }: Pick<Of<ToCoordinator, 'sums'>, 'first' | 'offset'>,
    length: number,
  ): Uint8Array {
    const { memory, layout } = this.#session;
    const end = this.#sumBytes - (part.received.get(first) ?? 0); // they come from the end: upload.ts
    if (offset + length !== end) throw new FrameError(0, `a piece up to byte ${end}`, `${length} from ${offset}`);
    const { [first]: at } = this.#codec ? layout.wire.sums : layout.uploads;
    return placeOf(memory.buffer, at, this.#sumBytes, { offset, length });
  }

  /**
   * The same for a piece whose header may still turn out to be damaged: where nothing of another part can be. Whoever else may have a sum that begins at a
   * shard without rows is not known.
   *
   * @throws FrameError as above.
   */
  earlyPlaceOf(
    part: Part,
    header: Pick<Of<ToCoordinator, 'sums'>, 'first' | 'offset'>,
    length: number,
  ): Uint8Array | undefined {
    const { first } = header;
    const mine = first >= part.first && first < part.first + part.count;
    if (!mine || isEmptyShard(this.#session, this.batchRows, first)) return undefined;
    return this.placeOf(part, header, length);
  }

  /** A piece has come whole. @throws FrameError for one that is not the next of its sum. */
  takePiece(part: Part, message: Message<Of<ToCoordinator, 'sums'>>): void {
    const { first, regions: [bytes] } = message; // biome-ignore format: one line
    putInPlace(this.placeOf(part, message, bytes.length), bytes);
    part.received.set(first, (part.received.get(first) ?? 0) + bytes.length);
  }

  /** A part is done. @throws FrameError if what came of it is not all that it takes. */
  finish(part: Part, { first, count, sums, regions }: Message<Of<ToCoordinator, 'done'>>): void {
    const session = this.#session;
    const { layout } = session;
    if (first !== part.first || count !== part.count) {
      throw new FrameError(0, 'the shards that were asked for', `${count} from ${first}`);
    }
    const nodes = this.#sumsOf(part, sums);
    placeShards(session, part, regions, this.asked.pass === 0 ? layout.shardSums : layout.trialSums);
    for (let shard = first; shard < first + count; shard++) {
      if (isEmptyShard(session, this.batchRows, shard)) clearLists(session, shard);
    }
    this.#sums.push(...nodes);
    this.#shardsDone += count;
  }

  /**
   * The tree nodes that a part ends in: all of each has come, and together they are its shards that have rows. Of encoded sums only the
   * first comes; it has all of the part, and is given alone.
   */
  #sumsOf(part: Part, sums: readonly number[]): ShardRange[] {
    const nodes = Array.from({ length: sums.length / 2 }, (_, i) => ({ first: sums[2 * i], count: sums[2 * i + 1] }));
    const covered = new Set<number>();
    const expected = this.#sumBytes;
    nodes.forEach((node, i) => {
      const comes = this.#codec === undefined || i === 0;
      if (!this.#liesIn(node, part)) {
        throw new FrameError(0, 'sums of its own shards', `${node.count} from ${node.first}`);
      }
      if ((part.received.get(node.first) ?? 0) !== (comes ? expected : 0)) {
        throw new FrameError(0, `${expected} bytes of a sum`, String(part.received.get(node.first) ?? 0));
      }
      if (comes) this.#expectSound(node.first);
      for (let s = node.first; s < node.first + node.count; s++) {
        if (covered.has(s)) throw new FrameError(0, 'sums that are apart', `shard ${s} twice`);
        covered.add(s);
      }
    });
    for (let s = part.first; s < part.first + part.count; s++) {
      if (!covered.has(s) && !isEmptyShard(this.#session, this.batchRows, s)) {
        throw new FrameError(0, 'sums of all its shards', `none with shard ${s}`);
      }
    }
    return this.#codec ? nodes.slice(0, 1) : nodes;
  }

  #expectSound(first: number): void {
    const { memory, layout, blocks } = this.#session;
    if (!this.#codec) return;
    const block = unsoundBlock(memory.buffer, layout.wire.sums[first], blocks, this.#codec);
    if (block !== undefined) throw new FrameError(0, `ascending places in block ${block}`, 'others');
  }

  /** Whether a tree node has rows of this part only: what it covers beside them is empty. */
  #liesIn(node: ShardRange, part: ShardRange): boolean {
    if (node.count < 1 || node.first + node.count > this.#session.shards) return false;
    for (let s = node.first; s < node.first + node.count; s++) {
      const mine = s >= part.first && s < part.first + part.count;
      if (!mine && !isEmptyShard(this.#session, this.batchRows, s)) return false;
    }
    return true;
  }
}

function clearLists({ memory, layout, rowTables }: Session, shard: number): void {
  const stride = rowListStride(rowTables);
  for (let at = 0; at < stride; at += ROW_LIST_STRIDE) {
    new Int32Array(memory.buffer, layout.rows.headers + shard * stride + at, 1)[0] = 0;
  }
}
