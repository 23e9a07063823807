import { LockstepError } from '../src/errors.ts';
import type { ReadingMemory } from '../src/kernels/checksum.ts';
import type { ShardRange } from '../src/membership/assignment.ts';
import { divide, divideAmong, join, leave, type Membership, measured, NOBODY } from '../src/membership/members.ts';
import { batchesOf, EVERY_STEP, type Pace } from '../src/parallel/inner-steps.ts';
import { type AskedRound, CoordinatorDesk } from '../src/parallel/round-desk.ts';
import type { Session } from '../src/parallel/session.ts';
import { samplerOf } from '../src/parallel/windows.ts';
import { codecOf } from '../src/parallel/wire-format.ts';
import { AwakeClock } from './awake-clock.ts';
import type { CoordinatorSetup } from './coordinator-setup.ts';
import { Downlink } from './downlink.ts';
import type { NodeRow } from './events.ts';
import { Farewell } from './farewell.ts';
import type { Place } from './frame-reader.ts';
import { FrameError } from './frames.ts';
import { KeptStates } from './kept-states.ts';
import type { Arrival } from './listener.ts';
import { type Member, rowOf } from './member.ts';
import type { Message, Of, ToCoordinator } from './messages.ts';
import { Patience } from './patience.ts';
import { type Newcomer, PROOF_SHARD, Reception } from './reception.ts';
import { type Part, Round, sumBytesOf } from './round.ts';
import { RoundWatch } from './round-clock.ts';
import { SharedLink } from './shared-link.ts';
import { RowSender } from './stream-data.ts';
import { readingMemoryOf, stateBytes } from './transfer.ts';
import { LinkAdvice } from './wire-advice.ts';

const BEAT_MS = 100;
/** Beats between two reports of all nodes. */
const REPORT_BEATS = 10;

/**
 * The main thread of a coordinator: hears from its workers which gradient pass they want, has the members compute the shards, and tells
 * the workers when all is there. It never computes. Who takes part and who has which shards are values of src/membership; what has come
 * of a round is in round.ts; how peers are let in, in reception.ts. What is here decides who does what, and until when.
 */
export class Coordinator {
  readonly #setup: CoordinatorSetup;
  readonly #session: Session;
  readonly #desk: CoordinatorDesk;
  readonly #reception: Reception;
  readonly #downlink: Downlink;
  readonly #patience: Patience;
  /** Deadlines of others: what we did not hear because we did not run is not theirs. */
  readonly #clock: AwakeClock;
  readonly #farewell: Farewell;
  readonly #advice: LinkAdvice | undefined;
  /** Into which its sockets read. */
  readonly memory: ReadingMemory;
  /** What nodes keep from round to round, if anything. */
  readonly kept: KeptStates | undefined;
  readonly #sampler: ReturnType<typeof samplerOf>;
  readonly #pace: Pace;
  /** Nodes make steps by themselves; else they compute gradients. */
  readonly #local: boolean;
  /** The step after which this coordinator goes on: that of a checkpoint, or 0. */
  readonly #start: number;
  readonly #sumBytes: number;
  /** What sums take on their way, where there are more or fewer of them by who has which shards. */
  readonly #uplink: SharedLink | undefined;
  readonly #members = new Map<number, Member>();
  #membership: Membership = NOBODY;
  #nextId = 1;
  #round: Round | undefined;
  /** Where somebody wants to know what this thread does when. */
  readonly #watch: RoundWatch | undefined;
  #previous: AskedRound | undefined;
  #stopping = false;
  #beats = 0;
  /** A step has been given out. */
  #begun = false;
  /** Round of which was said who is late. */
  #saidLate = -1;
  #closed = false;
  /** Messages of another time that were not applied. */
  dropped = 0;
  /** With local steps: rounds of a node that were left out, and nodes that came when the run was going on. */
  roundsLeftOut = 0;
  begunAnew = 0;

  constructor(setup: CoordinatorSetup) {
    const { session, fence, deadlines, saved, onEvent } = setup;
    const { memory, layout, keptBytes } = session;
    this.#setup = setup;
    this.memory = readingMemoryOf(session);
    this.#watch = setup.onRound && new RoundWatch(setup.onRound);
    this.#session = session;
    this.#desk = new CoordinatorDesk(session);
    this.#downlink = new Downlink(session, fence);
    this.#patience = new Patience(deadlines.stepMs);
    this.#sampler = samplerOf(session);
    this.#pace = session.pace ?? EVERY_STEP;
    this.#local = session.pace !== undefined;
    this.#start = new Int32Array(memory.buffer, layout.epochs, 1)[0] / 2;
    this.#sumBytes = sumBytesOf(session);
    this.#uplink = this.#pace.every === 1 && !codecOf(session.wire ?? 'fp32') ? new SharedLink() : undefined;
    this.#reception = new Reception({
      ...setup,
      memory: this.memory,
      admit: (newcomer) => {
        const member = this.#admit(newcomer);
        return {
          placeOf: (header, length) => this.#placeOf(member, header, length),
          hear: (message) => this.#hear(member, message),
          left: (lost, reason) => this.#lose(member, lost, reason),
        };
      },
      onRefused: (name, address, reason) => onEvent({ kind: 'refused', name, address, reason }),
      onLate: (name) => this.#farewell.found(name),
    });
    this.#clock = new AwakeClock(BEAT_MS, () => this.#beat());
    const now = () => this.#clock.now();
    this.#farewell = new Farewell(deadlines.farewellMs, now);
    this.#advice = setup.advise ? new LinkAdvice(session, this.#pace.every) : undefined;
    if (keptBytes) {
      const members = () => this.#members.values();
      this.kept = new KeptStates({ bytes: keptBytes, fence, members, now, onEvent, ...(saved && { saved }) });
    }
    void this.#listen();
  }

  /** Longest message that a peer may send. */
  static maxPayload(session: Session): number {
    return Math.max(4 << 20, 2 * stateBytes(session));
  }

  get nodes(): NodeRow[] {
    return [...this.#members.values()].map((member) => this.#row(member));
  }

  /** Step that is being computed, for the log of a stop. */
  get step(): number {
    return this.#round?.step ?? this.#previous?.step ?? 0;
  }

  /** A peer has opened a connection. */
  receive(arrival: Arrival): void {
    this.#reception.receive(arrival);
  }

  /** The run is to end: a step that nobody can compute is called off, one in hand is finished. */
  stop(): void {
    this.#stopping = true;
    this.#dispatch();
  }

  /** Tells everybody that the run is over, and why; resolves when nothing is left. */
  async close(reason: string, failed: boolean): Promise<void> {
    this.#closed = true;
    this.#desk.close();
    this.#reception.close({ reason, failed });
    const told = [...this.#members.values()].map(({ connection }) => connection.send({ type: 'stop', reason, failed }));
    await Promise.allSettled([...told, this.#farewell.over()]);
    this.#clock.stop();
    this.#reception.disconnect(reason);
  }

  // ---- who takes part

  #admit({ hello, address, connection, mac }: Newcomer): Member {
    const { fence, run, deadlines, onEvent } = this.#setup;
    const session = this.#session;
    const id = this.#nextId++;
    const { name, workers } = hello;
    const rows = hello.wants === 'rows' ? new RowSender(session) : undefined;
    rows?.skip(1, PROOF_SHARD); // it has them
    const seats = new Set([...this.#members.values()].map(({ seat }) => seat));
    let seat = 0;
    while (seats.has(seat)) seat += 1;
    const member: Member = {
      id, name, workers, address, connection, seat, rows, round: -1, parameterBytes: 0, after: 0, restore: undefined, parts: [],
      shardsDone: 0, computeMs: 0, roundMs: 0,
    }; // biome-ignore format: a record
    this.#members.set(id, member);
    this.#farewell.found(name);
    this.#membership = join(this.#membership, { id, workers }, [...seats].filter((other) => other < seat).length);
    void connection.send({
      type: 'welcome',
      mac,
      fence,
      node: id,
      run,
      wire: session.wire ?? 'fp32',
      syncEvery: this.#pace.every,
      syncWarmup: this.#pace.warmup,
      heartbeatMs: deadlines.heartbeatMs,
      silenceMs: deadlines.silenceMs,
    });
    const known = !this.#begun && this.kept?.of(seat, this.#start) !== undefined;
    const anew = this.#local && (this.#start > 0 || this.#previous !== undefined) && !known;
    if (anew) this.begunAnew += 1;
    onEvent({ kind: 'joined', node: this.#row(member), ...(anew && { anew: this.begunAnew }) });
    this.#dispatch();
    return member;
  }

  #lose(member: Member, lost: boolean, reason: string): void {
    if (!this.#members.delete(member.id)) return;
    this.#membership = leave(this.#membership, member.id);
    this.#uplink?.forget(member.id, performance.now());
    if (lost) this.#farewell.miss(member.name);
    const round = this.#round;
    const steps = this.#local && round && member.parts.length > 0 ? round.batches : 0;
    if (steps > 0) this.roundsLeftOut += 1;
    else round?.giveBack(member.parts);
    const leftOut = steps > 0 && { leftOut: { steps, rounds: this.roundsLeftOut } };
    if (!this.#closed) this.#setup.onEvent({ kind: 'left', node: this.#row(member), lost, reason, ...leftOut });
    this.#forget(member);
    if (round && leftOut) this.#settle(round);
    this.#dispatch();
  }

  /** What it kept is lost with it. */
  #forget(member: Member): void {
    if (this.#closed) return;
    if (member.after > 0 || member.restore) this.kept?.lose(1, `${member.name} is gone`);
    this.kept?.forget(member);
  }

  #row(member: Member): NodeRow {
    const index = this.#membership.members.findIndex(({ id }) => id === member.id);
    return rowOf(member, this.#membership.ranges[index]?.count ?? 0);
  }

  // ---- rounds

  async #listen(): Promise<void> {
    let seen = 0;
    for (;;) {
      const asked = await this.#desk.next(seen);
      if (asked === undefined) return;
      seen = asked.round;
      this.#begin(asked);
    }
  }

  #begin(asked: AskedRound): void {
    if (asked.step > this.#setup.limit) {
      this.#stopping = true;
      this.#setup.onEnd(undefined);
    }
    // A step after the one before has changed what its batch looked up; anything else (a replay) may have changed all.
    const follows = this.#previous !== undefined && asked.pass === 0 && asked.step === this.#previous.step + 1;
    for (const member of this.#members.values()) {
      if (!follows) member.round = -1;
      member.parts.length = 0;
    }
    const again = this.#previous !== undefined && asked.pass === 0 && asked.step <= this.#previous.step;
    if (again && (asked.step === 1 || this.kept?.has(asked.step - 1))) this.#restoreKept(asked.step);
    const batches = batchesOf(this.#session, this.#sampler, asked.step);
    this.#round = new Round(this.#session, asked, batches, this.#sumBytes);
    this.#watch?.begin();
    this.#dispatch();
  }

  /** Whatever members keep becomes what their seats kept when the step was about to begin. */
  #restoreKept(step: number): void {
    for (const member of this.#members.values()) {
      member.restore = this.kept?.of(member.seat, step - 1);
      member.after = 0;
    }
  }

  /** The first step of this coordinator: who has come goes on from what its seat kept, and what nobody takes up is lost. */
  #takeUpKept({ step }: Round): void {
    this.#restoreKept(step);
    this.kept?.lose(this.kept.untaken(step - 1), `fewer nodes have come than step ${step - 1} had`);
  }

  /** Gives the members what nobody is computing. */
  #dispatch(): void {
    const round = this.#round;
    if (!round || round.missing.length === 0) return;
    const minNodes = this.#wanted();
    const nodes = this.#members.size;
    if (nodes < minNodes || nodes === 0 || (this.#stopping && round.step > this.#setup.limit)) {
      if (this.#stopping && round.asked.pass === 0) {
        this.#round = undefined;
        this.#desk.callOff(round.asked.round);
      } else if (round.waitingSince === undefined) {
        round.waitingSince = this.#clock.now();
        this.#setup.onEvent({ kind: 'waiting', step: round.step, nodes, minNodes });
      }
      return;
    }
    round.waitingSince = undefined;
    if (!this.#begun) this.#takeUpKept(round);
    this.#begun = true;
    const work = this.#divide(round);
    round.missing = [];
    for (const { member, range } of work) this.#give(round, member, range);
    this.#watch?.framed();
  }

  /** Nodes that a step wants. The first one waits for a while for those that are known to come. */
  #wanted(): number {
    const { minNodes, startNodes, deadlines } = this.#setup;
    const starting = !this.#begun && this.#clock.now() < deadlines.startMs;
    return starting ? Math.max(minNodes, startNodes) : minNodes;
  }

  #divide({ missing, step }: Round): { readonly member: Member; readonly range: ShardRange }[] {
    const { shards } = this.#session;
    let ranges: readonly ShardRange[][];
    if (missing.length === 1 && missing[0].count === shards) {
      const before = this.#membership;
      this.#membership = divide(before, shards);
      if (before.ranges.length > 0 && before.ranges !== this.#membership.ranges) this.#sayDivided(step);
      ranges = [[...this.#membership.ranges]];
    } else ranges = missing.map((range) => divideAmong(this.#membership.members, range, shards));
    return ranges.flatMap((of) =>
      of.flatMap((range, i) => {
        const member = this.#members.get(this.#membership.members[i].id);
        return member && range.count > 0 ? [{ member, range }] : [];
      }),
    );
  }

  #sayDivided(step: number): void {
    const { members, ranges } = this.#membership;
    const shards = members.map(({ id }, i) => ({ name: this.#members.get(id)?.name ?? '', count: ranges[i].count }));
    this.#setup.onEvent({ kind: 'divided', step, shards });
  }

  #give(round: Round, member: Member, range: ShardRange): void {
    const { fence } = this.#setup;
    const { epoch } = this.#membership;
    const stamp = { fence, round: round.asked.round, epoch, step: round.step };
    if (member.round !== round.asked.round) this.#downlink.sendParameters(round, member, this.#previous?.round);
    this.#downlink.sendRows(round, member, range);
    if (member.restore) {
      this.kept?.give(member, member.restore);
      member.after = member.restore.after;
      member.restore = undefined;
    }
    member.parts.push({ ...range, epoch, sentAt: this.#clock.now(), received: new Map() });
    const { parameterBytes, after } = member;
    const sent = member.connection.send({ type: 'compute', ...stamp, ...range, parameterBytes, after });
    if (this.#watch) sent.then(this.#watch.sent, () => undefined);
    member.after = round.step;
  }

  /** Pieces of sums are read to where they belong, as long as they are wanted. */
  #placeOf(member: Member, header: ToCoordinator, length: number): Place | undefined {
    const round = this.#round;
    if (header.type !== 'sums' || header.fence !== this.#setup.fence || !round) return undefined;
    const part = round.partOf(member.parts, header);
    const bytes = part && round.earlyPlaceOf(part, header, length);
    if (!part || !bytes) return undefined;
    this.#uplink?.begin(member.id, performance.now());
    return {
      bytes,
      current: () => this.#round === round && member.parts.includes(part) && this.#members.has(member.id),
    };
  }

  #hear(member: Member, message: Message<ToCoordinator>): void {
    switch (message.type) {
      case 'hello':
        throw new FrameError(0, 'one hello', 'another');
      case 'leave':
        this.#lose(member, false, message.reason);
        member.connection.close('left');
        return;
      case 'kept':
        if (message.fence !== this.#setup.fence || !this.kept) this.dropped += 1;
        else this.kept.take(member, message);
        return;
      case 'sums':
      case 'done': {
        if (message.type === 'sums') this.#uplink?.end(member.id, message.regions[0].length, performance.now());
        const round = message.fence === this.#setup.fence ? this.#round : undefined;
        const part = round?.partOf(member.parts, message);
        if (!round || !part) {
          this.dropped += 1; // of another time
          return;
        }
        this.#watch?.heard();
        if (message.type === 'sums') round.takePiece(part, message);
        else this.#finish(round, member, part, message);
      }
    }
  }

  #finish(round: Round, member: Member, part: Part, message: Message<Of<ToCoordinator, 'done'>>): void {
    round.finish(part, message);
    member.parts.splice(member.parts.indexOf(part), 1);
    member.shardsDone += part.count;
    member.computeMs = message.computeMs;
    member.roundMs = this.#clock.now() - part.sentAt;
    this.#sayPart(round, member, part);
    this.#patience.learn(member.roundMs, round.batches);
    // Of every step of the round, for rounds of fewer say as much of the speed.
    const shards = part.count * round.batches;
    const work = { shards, ms: message.computeMs, sumMs: this.#uplink?.msOf(member.id, this.#sumBytes) };
    this.#membership = measured(this.#membership, member.id, work);
    this.#settle(round);
  }

  #sayPart({ step }: Round, { name, computeMs, roundMs, parameterBytes }: Member, { received }: Part): void {
    const { onPart } = this.#setup;
    if (!onPart) return;
    const end = performance.now();
    const sumBytes = [...received.values()].reduce((sum, bytes) => sum + bytes, 0);
    onPart({ name, step, start: end - roundMs, end, computeMs, parameterBytes, sumBytes });
  }

  /**
   * The round is complete when all shards are done. With local steps those of a node that is lost are left out: its optimizer's state is lost
   * with it, and others are busy with their own. A round of which nothing is left begins again.
   */
  #settle(round: Round): void {
    if (!this.#local) {
      if (round.complete) this.#complete(round);
      return;
    }
    if ([...this.#members.values()].some(({ parts }) => parts.length > 0)) return;
    if (round.sums.length > 0) this.#complete(round);
    else round.startOver();
  }

  #complete({ asked, sums }: Round): void {
    const usual = asked.pass === 0 && asked.step > this.#pace.warmup;
    const advice = usual ? this.#advice?.after(this.#members.values()) : undefined;
    if (advice !== undefined) this.#setup.onEvent({ kind: 'wire', text: advice });
    this.#previous = asked;
    this.#round = undefined;
    this.#desk.complete(asked.round, sums);
    if (asked.pass === 0) this.#watch?.end(asked.step);
  }

  // ---- deadlines

  #beat(): void {
    this.#farewell.beat();
    if (this.#closed) return;
    this.#beats += 1;
    if (this.#beats % REPORT_BEATS === 0) this.#setup.onNodes?.(this.nodes);
    const now = this.#clock.now();
    this.#dropSecretive(now);
    const round = this.#round;
    if (!round) return;
    if (round.waitingSince !== undefined && now - round.waitingSince > this.#setup.deadlines.quorumMs) {
      this.#quorumLost(round);
      return;
    }
    if (!this.#begun && this.#members.size >= this.#wanted()) this.#dispatch();
    this.#dropLate(round, now);
    this.#sayLate(round, now);
  }

  #dropLate({ step, batches }: Round, now: number): void {
    for (const { member, reason } of this.#patience.tooLate(this.#members.values(), now, batches)) {
      this.#lose(member, true, `step ${step}: ${reason}`);
      member.connection.close('too slow: its shards were given to others');
    }
  }

  /** Whoever does not send what it keeps. */
  #dropSecretive(now: number): void {
    const { members, since } = this.kept?.awaited ?? { members: [], since: now };
    if (members.length === 0 || now - since <= this.#patience.deadlineMs(1)) return;
    for (const member of members) {
      this.#lose(member, true, `what it keeps has not come within ${Math.round(now - since)} ms`);
      member.connection.close('too slow: a checkpoint was made without it');
    }
  }

  /** Once a round, when an answer takes much longer than any did so far. */
  #sayLate({ asked, step, batches }: Round, now: number): void {
    if (this.#saidLate === asked.round) return;
    const nodes = this.#patience.late(this.#members.values(), now, batches);
    if (nodes.length === 0) return;
    this.#saidLate = asked.round;
    this.#setup.onEvent({ kind: 'late', step, nodes });
  }

  #quorumLost(round: Round): void {
    const { minNodes, deadlines, saves, onEnd } = this.#setup;
    round.waitingSince = Number.POSITIVE_INFINITY; // said once
    const error = new LockstepError('E_QUORUM', {
      where: `step ${round.step}`,
      expected: `${minNodes} node${minNodes === 1 ? '' : 's'}`,
      got: `${this.#members.size} for ${Math.round(deadlines.quorumMs / 1000)} s`,
      fix: saves
        ? 'start the nodes again and go on with --resume auto'
        : 'start it again, and the nodes; with a run folder (--run-dir) it could be gone on with',
    });
    onEnd(error);
    this.stop();
  }
}
