import type { SeatState } from '../src/checkpoint/node-states.ts';
import type { NodeStates } from '../src/train/node-states.ts';
import type { ClusterEvent } from './events.ts';
import { FrameError } from './frames.ts';
import type { Member } from './member.ts';
import type { Message, Of, ToCoordinator } from './messages.ts';
import { PIECE_BYTES } from './transfer.ts';

/** What nodes kept, as of a step. */
export interface SavedStates {
  readonly step: number;
  readonly states: readonly SeatState[];
}

export interface KeptStatesSetup {
  /** Of each. */
  readonly bytes: number;
  readonly fence: number;
  /** Of the checkpoint from which the run goes on, and how many were lost before it. */
  readonly saved?: SavedStates & { readonly lost: number };
  /** Who takes part now. */
  members(): Iterable<Member>;
  /** Milliseconds, by the clock of deadlines. */
  now(): number;
  onEvent(event: ClusterEvent): void;
}

/** States on their way here. */
interface Collection {
  readonly step: number;
  readonly startedAt: number;
  readonly coming: Map<Member, { readonly bytes: Uint8Array; readonly after: number; received: number }>;
  readonly states: SeatState[];
  readonly complete: () => void;
}

/**
 * What nodes keep from round to round (src/parallel/kept-state.ts), as a coordinator has it: fetched between two steps for a checkpoint,
 * and given to whoever sits in the same seat when the run goes on from there. What is not to be had is lost: it begins from nothing, and
 * is counted.
 */
export class KeptStates implements NodeStates {
  lost: number;
  readonly #setup: KeptStatesSetup;
  #saved: SavedStates | undefined;
  #collection: Collection | undefined;

  constructor(setup: KeptStatesSetup) {
    this.#setup = setup;
    this.#saved = setup.saved;
    this.lost = setup.saved?.lost ?? 0;
  }

  /** Of so many nodes it is gone, and why. */
  lose(nodes: number, reason: string): void {
    if (nodes === 0) return;
    this.lost += nodes;
    this.#setup.onEvent({ kind: 'forgotten', nodes, total: this.lost, reason });
  }

  async collect(step: number): Promise<readonly SeatState[]> {
    const { bytes, fence, members, now } = this.#setup;
    const states: SeatState[] = [];
    const coming: Collection['coming'] = new Map();
    let complete: () => void = () => undefined;
    const over = new Promise<void>((resolve) => {
      complete = resolve;
    });
    let ahead = 0;
    for (const member of members()) {
      const { after, restore } = member;
      if (restore)
        states.push(restore); // it has not been given it yet
      else if (after > step)
        ahead += 1; // it has begun a step that will not be
      else if (after > 0) {
        coming.set(member, { bytes: new Uint8Array(new SharedArrayBuffer(bytes)), after, received: 0 });
        void member.connection.send({ type: 'save', fence });
      }
    }
    this.lose(ahead, `it is of a step after ${step}`);
    this.#collection = { step, startedAt: now(), coming, states, complete };
    if (coming.size > 0) await over;
    this.#collection = undefined;
    states.sort((a, b) => a.seat - b.seat);
    this.#saved = { step, states };
    return states;
  }

  /** A piece came. @throws FrameError for one that was not asked for, or is not the next. */
  take(member: Member, { after, offset, regions: [piece] }: Message<Of<ToCoordinator, 'kept'>>): void {
    const { coming, states } = this.#collection ?? {};
    const one = coming?.get(member);
    if (!one || !states) throw new FrameError(0, 'nothing that a node keeps: it was not asked for', `${piece.length} bytes`);
    const { bytes, received } = one;
    if (after !== one.after) throw new FrameError(0, `what was kept after step ${one.after}`, `after ${after}`);
    if (offset !== received || received + piece.length > bytes.length) {
      throw new FrameError(0, `a piece from byte ${received} of ${bytes.length}`, `${piece.length} from ${offset}`);
    }
    bytes.set(piece, offset);
    one.received += piece.length;
    if (one.received < bytes.length) return;
    states.push({ seat: member.seat, after, bytes });
    this.forget(member);
  } // biome-ignore format: a story

  /** Nothing more is expected of a member. */
  forget(member: Member): void {
    const collection = this.#collection;
    if (collection?.coming.delete(member) && collection.coming.size === 0) collection.complete();
  }

  /** Whoever lets us wait, and since when. */
  get awaited(): { readonly members: readonly Member[]; readonly since: number } {
    const { coming, startedAt = 0 } = this.#collection ?? {};
    return { members: [...(coming?.keys() ?? [])], since: startedAt };
  }

  /** What a seat kept after a step, if it is known. */
  of(seat: number, step: number): SeatState | undefined {
    return this.#saved?.step === step ? this.#saved.states.find((state) => state.seat === seat) : undefined;
  }

  /** Whether states as of a step are known. */
  has(step: number): boolean {
    return this.#saved?.step === step;
  }

  /** Seats whose state after a step is known and that nobody has taken. */
  untaken(step: number): number {
    const taken = new Set([...this.#setup.members()].map(({ seat }) => seat));
    return this.has(step) ? (this.#saved?.states.filter(({ seat }) => !taken.has(seat)).length ?? 0) : 0;
  }

  /** Sends a member what its seat kept; its next shards follow. */
  give({ connection }: Member, { after, bytes }: SeatState): void {
    for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
      const piece = bytes.subarray(offset, offset + PIECE_BYTES);
      void connection.send({ type: 'kept', fence: this.#setup.fence, after, offset }, [piece]);
    }
  }
}
