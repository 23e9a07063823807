import { LockstepError } from '../src/errors.ts';
import { ROW_LIST_STRIDE } from '../src/kernels/table.ts';
import type { ShardRange } from '../src/membership/assignment.ts';
import { divide, divideAmong, join, leave, type Membership, measured, NOBODY } from '../src/membership/members.ts';
import { batchesOf, innerSteps } from '../src/parallel/inner-steps.ts';
import { type AskedRound, CoordinatorDesk } from '../src/parallel/round-desk.ts';
import { rowListStride } from '../src/parallel/row-memory.ts';
import type { Session } from '../src/parallel/session.ts';
import { samplerOf } from '../src/parallel/windows.ts';
import { type Codec, codecOf, encodedBytes, unsoundBlock } from '../src/parallel/wire-format.ts';
import type { Identity } from '../src/train/identity.ts';
import { Connection } from './connection.ts';
import type { ClusterEvent, NodePhase, NodeRow } from './events.ts';
import { examine } from './examine.ts';
import { FrameError } from './frames.ts';
import type { Arrival } from './listener.ts';
import { hex, type Message, type Of, PROTOCOL, readFromNode, type ToCoordinator } from './messages.ts';
import type { Deadlines } from './options.ts';
import { answer, makeNonce } from './security.ts';
import { RowSender } from './stream-data.ts';
import {
  changedRows,
  denseBytes,
  isEmptyShard,
  piecesOf,
  placePiece,
  placeShards,
  stateBytes,
  type TransferPiece,
} from './transfer.ts';
import { type LinkSample, MEASURED_STEPS, wireAdvice } from './wire-advice.ts';

/** A node that takes part. */
interface Member {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly workers: number;
  readonly connection: Connection;
  /** The round whose parameters it has; -1: none. */
  round: number;
  /** Bytes of parameters that it was sent for that round. */
  parameterBytes: number;
  /** For one that has no data. */
  readonly rows: RowSender | undefined;
  /** Parts of the round that it is to compute. */
  readonly parts: Part[];
  shardsDone: number;
  computeMs: number;
  roundMs: number;
}

/** Shards of the round that a member has been given. */
interface Part extends ShardRange {
  readonly epoch: number;
  readonly sentAt: number;
  /** Bytes that came of the sum that begins at a shard. */
  readonly received: Map<number, number>;
}

type Hello = Message<Of<ToCoordinator, 'hello'>>;

/** The gradient pass in hand. */
interface Round extends AskedRound {
  /** Rows of the batches that it takes: the largest, and how many there are. */
  readonly batchRows: number;
  readonly batches: number;
  readonly startedAt: number;
  /** Runs of shards that nobody is computing. */
  missing: ShardRange[];
  /** Complete partial sums, by tree node. */
  readonly sums: ShardRange[];
  shardsDone: number;
  waitingSince: number | undefined;
}

export interface CoordinatorSetup {
  readonly session: Session;
  readonly identity: Identity;
  /** Fencing epoch: higher than that of any coordinator of this run before. */
  readonly fence: number;
  readonly run: string;
  readonly token: string | undefined;
  readonly minNodes: number;
  readonly startNodes: number;
  readonly mixed: boolean;
  /** Training data without its rows, for nodes that have none (stream-data.ts); absent: they are refused. */
  readonly description?: Uint8Array;
  /** Say after some steps what the network takes of them, and what other wire formats would. */
  readonly advise: boolean;
  readonly deadlines: Deadlines;
  /** No step after this one is begun. */
  readonly limit: number;
  onEvent(event: ClusterEvent): void;
  /** The run cannot go on: too few nodes for too long, or its limit is reached. */
  onEnd(error: LockstepError | undefined): void;
}

const ENDED = new LockstepError('E_ABORTED', {
  where: 'coordinator',
  expected: 'a run that takes nodes',
  got: 'the end of one',
  fix: 'try again when the next begins',
});

/** The shard of step 1 that nodes prove themselves by (src/parallel/serve.ts). */
const PROOF_SHARD = { first: 0, count: 1 };
const DESCRIBED = 'it has heard what the data looks like';

const TICK_MS = 100;
/** A step's deadline by itself: so many times the longest so far, and at least so long; the first may compile and warm up. */
const PATIENCE = 20;
const SHORTEST_DEADLINE_MS = 60_000;
const FIRST_DEADLINE_MS = 600_000;
/** When a round takes so many times as long as usual, who is late is said. */
const LATE = 5;
const LATE_AT_LEAST_MS = 2_000;

/**
 * The main thread of a coordinator: hears from its workers which gradient pass they want, has the members compute the shards, and puts
 * what they send into the arena. It never computes. Who takes part and who has which shards are values of src/membership; what is
 * here sends and receives.
 */
export class Coordinator {
  readonly #setup: CoordinatorSetup;
  readonly #session: Session;
  readonly #desk: CoordinatorDesk;
  readonly #sampler: ReturnType<typeof samplerOf>;
  readonly #codec: Codec | undefined;
  /** Steps that nodes make by themselves in a round; 1: they compute gradients. */
  readonly #every: number;
  /** Steps were made before this coordinator came: it was started from a checkpoint. */
  readonly #goesOn: boolean;
  /** Bytes of a partial sum as it travels. */
  readonly #sumBytes: number;
  readonly #members = new Map<number, Member>();
  /** Everybody who has a connection, member or not. */
  readonly #connections = new Set<Connection>();
  readonly #ticker: NodeJS.Timeout;
  #membership: Membership = NOBODY;
  #nextId = 1;
  #round: Round | undefined;
  #previous: AskedRound | undefined;
  #stopping = false;
  readonly #opened = performance.now();
  /** A step has been given out. */
  #begun = false;
  #longestMs = 0;
  /** Messages of another time that were not applied. */
  dropped = 0;
  /** With local steps: rounds of a node that were left out, and nodes that came when the run was going on. */
  roundsLeftOut = 0;
  begunAnew = 0;
  /** Nodes that left with a remainder of their gradients which their sums had left unsaid: it starts from zero. */
  residualsLost = 0;
  #closed = false;

  constructor(setup: CoordinatorSetup) {
    this.#setup = setup;
    this.#session = setup.session;
    this.#desk = new CoordinatorDesk(setup.session);
    this.#sampler = samplerOf(setup.session);
    this.#codec = codecOf(setup.session.wire ?? 'fp32');
    this.#every = setup.session.syncEvery ?? 1;
    const { memory, layout } = setup.session;
    this.#goesOn = new Int32Array(memory.buffer, layout.epochs, 1)[0] > 0;
    this.#sumBytes = this.#codec ? encodedBytes(setup.session.blocks, this.#codec) : denseBytes(setup.session);
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
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

  /** The run is to end: a step that nobody can compute is called off, one in hand is finished. */
  stop(): void {
    this.#stopping = true;
    this.#dispatch();
  }

  /** Tells everybody that the run is over, and why; resolves when nothing is left. */
  async close(reason: string, failed: boolean): Promise<void> {
    this.#closed = true;
    clearInterval(this.#ticker);
    this.#desk.close();
    const told = [...this.#members.values()].map(({ connection }) => connection.send({ type: 'stop', reason, failed }));
    await Promise.allSettled(told);
    for (const connection of this.#connections) connection.close(reason);
  }

  // ---- who takes part

  /** A peer has opened a connection: it has to prove the token and that it computes the same job. */
  receive(arrival: Arrival): void {
    const { deadlines, session } = this.#setup;
    const nonce = makeNonce();
    let member: Member | undefined;
    let refusal: string | undefined;
    const connection = new Connection(arrival.websocket, arrival.socket, {
      peer: arrival.address,
      heartbeatMs: deadlines.heartbeatMs,
      silenceMs: deadlines.silenceMs,
      maxQueuedBytes: 4 * stateBytes(session) + (16 << 20),
      onMessage: (frame) => {
        const message = readFromNode(frame);
        if (member) return this.#hear(member, message);
        if (message.type !== 'hello' || refusal !== undefined) throw new FrameError(0, 'hello first', message.type);
        const { description } = this.#setup;
        const streamsData = description !== undefined;
        const error = this.#closed
          ? ENDED
          : examine(message, nonce, { ...this.#setup, streamsData, localSteps: this.#every > 1 });
        if (error) {
          refusal = error.message;
          this.#refuse(message.name, connection, error);
        } else if (description && message.wants === 'description') {
          refusal = DESCRIBED;
          arrival.joined();
          this.#describe(message, connection, nonce, description);
        } else {
          arrival.joined();
          member = this.#admit(message, arrival.address, connection, nonce);
        }
      },
      onClose: ({ kind, reason }) => {
        clearTimeout(deadline);
        this.#connections.delete(connection);
        if (member) this.#lose(member, kind !== 'closed', reason);
        else if (refusal !== DESCRIBED) arrival.failed(refusal ?? `left before it joined: ${reason}`);
      },
    });
    this.#connections.add(connection);
    const deadline = setTimeout(() => {
      if (!member) connection.close(`no hello within ${deadlines.joinMs} ms`);
    }, deadlines.joinMs);
    void connection.send({ type: 'challenge', protocol: PROTOCOL, nonce: hex(nonce) });
  }

  /** To a node without data: what it looks like, and the rows with which it can prove itself. It then comes again. */
  #describe(hello: Hello, connection: Connection, nonce: Uint8Array, description: Uint8Array): void {
    const { token, fence, session } = this.#setup;
    const mac = hex(answer(token, 'coordinator', PROTOCOL, hello.nonce, nonce));
    void connection.send({ type: 'description', mac }, [description]);
    for (const regions of new RowSender(session).missing(1, PROOF_SHARD)) {
      void connection.send({ type: 'data', fence }, regions);
    }
    connection.close(DESCRIBED);
  }

  #refuse(name: string, connection: Connection, error: LockstepError): void {
    const { where, expected, got, fix } = error.detail;
    const retry = error === ENDED;
    void connection.send({
      type: 'refuse', code: error.code, where: clip(where), expected: clip(expected), got: clip(got), fix, retry,
    }); // biome-ignore format: a record
    connection.close('refused');
    this.#setup.onEvent({ kind: 'refused', name, address: connection.peer, reason: error.message });
  }

  #admit(hello: Hello, address: string, connection: Connection, nonce: Uint8Array): Member {
    const { token, fence, run, deadlines, session, onEvent } = this.#setup;
    const id = this.#nextId++;
    const { name, workers } = hello;
    const rows = hello.wants === 'rows' ? new RowSender(session) : undefined;
    rows?.skip(1, PROOF_SHARD); // it has them
    const member: Member = {
      id, name, workers, address, connection, rows, round: -1, parameterBytes: 0, parts: [], shardsDone: 0, computeMs: 0, roundMs: 0,
    }; // biome-ignore format: a record
    this.#members.set(id, member);
    this.#membership = join(this.#membership, { id, workers });
    void connection.send({
      type: 'welcome',
      mac: hex(answer(token, 'coordinator', PROTOCOL, hello.nonce, nonce)),
      fence,
      node: id,
      run,
      wire: session.wire ?? 'fp32',
      syncEvery: this.#every,
      heartbeatMs: deadlines.heartbeatMs,
      silenceMs: deadlines.silenceMs,
    });
    const anew = this.#every > 1 && (this.#goesOn || this.#previous !== undefined);
    if (anew) this.begunAnew += 1;
    onEvent({ kind: 'joined', node: this.#row(member), ...(anew && { anew: this.begunAnew }) });
    this.#dispatch();
    return member;
  }

  #lose(member: Member, lost: boolean, reason: string): void {
    if (!this.#members.delete(member.id)) return;
    this.#membership = leave(this.#membership, member.id);
    const round = this.#round;
    const steps = this.#every > 1 && round && member.parts.length > 0 ? round.batches : 0;
    if (steps > 0) this.roundsLeftOut += 1;
    else if (round) round.missing.push(...member.parts.map(({ first, count }) => ({ first, count })));
    const leftOut = steps > 0 && { leftOut: { steps, rounds: this.roundsLeftOut } };
    const unsaid = this.#codec?.takes === true && member.shardsDone > 0;
    if (unsaid) this.residualsLost += 1;
    if (!this.#closed) this.#setup.onEvent({ kind: 'left', node: this.#row(member), lost, reason, unsaid, ...leftOut });
    if (round && leftOut) this.#settle(round);
    this.#dispatch();
  }

  #row({ id, name, address, workers, shardsDone, computeMs, roundMs, connection }: Member): NodeRow {
    const index = this.#membership.members.findIndex((m) => m.id === id);
    const { bytesSent, bytesReceived, roundTripMs } = connection;
    const shards = this.#membership.ranges[index]?.count ?? 0;
    return {
      id,
      name,
      address,
      workers,
      shards,
      shardsDone,
      computeMs,
      roundMs,
      bytesSent,
      bytesReceived,
      roundTripMs,
    };
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
    const { shards } = this.#session;
    // A step after the one before has changed what its batch looked up; anything else (a replay) may have changed all.
    const follows = this.#previous !== undefined && asked.pass === 0 && asked.step === this.#previous.step + 1;
    for (const member of this.#members.values()) {
      if (!follows) member.round = -1;
      member.parts.length = 0;
    }
    const { 0: batchRows, length: batches } = batchesOf(this.#session, this.#sampler, asked.step);
    this.#round = {
      ...asked,
      batchRows,
      batches,
      startedAt: performance.now(),
      missing: [{ first: 0, count: shards }],
      sums: [],
      shardsDone: 0,
      waitingSince: undefined,
    };
    this.#dispatch();
  }

  /** Gives the members what nobody is computing. */
  #dispatch(): void {
    const round = this.#round;
    if (!round || round.missing.length === 0) return;
    const { onEvent } = this.#setup;
    const minNodes = this.#wanted();
    if (
      this.#members.size < minNodes ||
      this.#members.size === 0 ||
      (this.#stopping && round.step > this.#setup.limit)
    ) {
      if (this.#stopping && round.pass === 0) {
        this.#round = undefined;
        this.#desk.callOff(round.round);
        return;
      }
      if (round.waitingSince === undefined) {
        round.waitingSince = performance.now();
        onEvent({ kind: 'waiting', step: round.step, nodes: this.#members.size, minNodes });
      }
      return;
    }
    round.waitingSince = undefined;
    this.#begun = true;
    const work = this.#divide(round);
    round.missing = [];
    for (const { member, range } of work) this.#give(round, member, range);
  }

  /** Nodes that a step wants. The first one waits for a while for those that are known to come. */
  #wanted(): number {
    const { minNodes, startNodes, deadlines } = this.#setup;
    const starting = !this.#begun && performance.now() - this.#opened < deadlines.startMs;
    return starting ? Math.max(minNodes, startNodes) : minNodes;
  }

  #divide(round: Round): { readonly member: Member; readonly range: ShardRange }[] {
    const { shards } = this.#session;
    const [only] = round.missing;
    let ranges: readonly ShardRange[][];
    if (round.missing.length === 1 && only.count === shards) {
      const before = this.#membership;
      this.#membership = divide(before, shards);
      if (before.ranges.length > 0 && before.ranges !== this.#membership.ranges) this.#sayDivided(round.step);
      ranges = [[...this.#membership.ranges]];
    } else ranges = round.missing.map((range) => divideAmong(this.#membership.members, range));
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
    const stamp = { fence, round: round.round };
    const { epoch } = this.#membership;
    if (member.round !== round.round) this.#sendParameters(round, member);
    this.#sendRows(round, member, range);
    member.parts.push({ ...range, epoch, sentAt: performance.now(), received: new Map() });
    const { parameterBytes } = member;
    void member.connection.send({ type: 'compute', ...stamp, epoch, step: round.step, ...range, parameterBytes });
  }

  /** To a node without data. */
  #sendRows({ step, batches }: Round, { rows, connection }: Member, range: ShardRange): void {
    const { stepsPerEpoch } = this.#sampler;
    const { totalSteps } = this.#session;
    const first = this.#every > 1 ? innerSteps(step, this.#every, { stepsPerEpoch, totalSteps }).first : step;
    for (let t = first; t < first + batches; t++) {
      for (const regions of rows?.missing(t, range) ?? []) {
        void connection.send({ type: 'data', fence: this.#setup.fence }, regions);
      }
    }
  }

  #sendParameters(round: Round, member: Member): void {
    const stamp = { fence: this.#setup.fence, round: round.round };
    // Whoever had the round before lacks what has changed since; whoever had not lacks all of it.
    const whole = member.round !== this.#previous?.round || (this.#codec !== undefined && !round.update);
    member.round = round.round;
    member.parameterBytes = 0;
    for (const type of ['parameters', 'update'] as const) {
      for (const { offset, bytes } of this.#parameters(round, whole)[type]) {
        void member.connection.send({ type, ...stamp, offset }, [bytes]);
        member.parameterBytes += bytes.length;
      }
    }
    if (whole) return;
    for (const { table, ids, rows } of changedRows(this.#session)) {
      void member.connection.send({ type: 'rows', ...stamp, table }, [ids, rows]);
      member.parameterBytes += rows.length;
    }
  }

  /** Views where that is safe: the update comes only after every member that was given shards has answered. */
  #parameters({ update }: Round, whole: boolean): Record<'parameters' | 'update', TransferPiece[]> {
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

  #hear(member: Member, message: Message<ToCoordinator>): void {
    switch (message.type) {
      case 'hello':
        throw new FrameError(0, 'one hello', 'another');
      case 'leave':
        this.#lose(member, false, message.reason);
        member.connection.close('left');
        return;
      case 'sums':
      case 'done': {
        const round = this.#round;
        const part = round && this.#partOf(member, message, round);
        if (!round || !part) {
          this.dropped += 1;
          return;
        }
        if (message.type === 'sums') this.#takeSum(part, message);
        else this.#finishPart(round, member, part, message);
      }
    }
  }

  /** The part of the round in hand that a message belongs to; none for one of another time. */
  #partOf(member: Member, message: Of<ToCoordinator, 'sums' | 'done'>, round: Round): Part | undefined {
    if (message.fence !== this.#setup.fence || message.round !== round.round) return undefined;
    return member.parts.find((part) => part.epoch === message.epoch && liesIn(message, part, round, this.#session));
  }

  #takeSum(part: Part, { first, offset, regions: [bytes] }: Message<Of<ToCoordinator, 'sums'>>): void {
    const { memory, layout } = this.#session;
    const before = part.received.get(first) ?? 0;
    const end = this.#sumBytes - before; // they come from the end: upload.ts
    if (offset + bytes.length !== end)
      throw new FrameError(0, `a piece up to byte ${end}`, `${bytes.length} from ${offset}`);
    const { [first]: at } = this.#codec ? layout.wire.sums : layout.uploads;
    placePiece(memory.buffer, at, this.#sumBytes, { offset, bytes });
    part.received.set(first, before + bytes.length);
  }

  #finishPart(round: Round, member: Member, part: Part, message: Message<Of<ToCoordinator, 'done'>>): void {
    const { first, count, sums, computeMs, regions } = message;
    const { layout } = this.#session;
    if (first !== part.first || count !== part.count)
      throw new FrameError(0, 'the shards that were asked for', `${count} from ${first}`);
    const nodes = this.#sumsOf(round, part, sums);
    placeShards(this.#session, part, regions, round.pass === 0 ? layout.shardSums : layout.trialSums);
    for (let shard = first; shard < first + count; shard++) {
      if (isEmptyShard(this.#session, round.batchRows, shard)) clearLists(this.#session, shard);
    }
    round.sums.push(...nodes);
    round.shardsDone += count;
    member.parts.splice(member.parts.indexOf(part), 1);
    member.shardsDone += count;
    member.computeMs = computeMs;
    member.roundMs = performance.now() - part.sentAt;
    this.#longestMs = Math.max(this.#longestMs, member.roundMs);
    this.#membership = measured(this.#membership, member.id, count, computeMs);
    this.#settle(round);
  }

  /**
   * The tree nodes that a part ends in: all of each has come, and together they are its shards that have rows. Of encoded sums only the
   * first comes; it has all of the part, and is given alone.
   */
  #sumsOf(round: Round, part: Part, sums: readonly number[]): ShardRange[] {
    const nodes = Array.from({ length: sums.length / 2 }, (_, i) => ({ first: sums[2 * i], count: sums[2 * i + 1] }));
    const covered = new Set<number>();
    const expected = this.#sumBytes;
    nodes.forEach((node, i) => {
      const comes = this.#codec === undefined || i === 0;
      if (!liesIn(node, part, round, this.#session))
        throw new FrameError(0, 'sums of its own shards', `${node.count} from ${node.first}`);
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
      if (!covered.has(s) && !isEmptyShard(this.#session, round.batchRows, s)) {
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

  /**
   * The round is complete when all shards are done. With local steps those of a node that is lost are left out: its optimizer's state is lost
   * with it, and others are busy with their own. A round of which nothing is left begins again.
   */
  #settle(round: Round): void {
    if (this.#every === 1) {
      if (round.shardsDone === this.#session.shards) this.#complete(round);
      return;
    }
    if ([...this.#members.values()].some(({ parts }) => parts.length > 0)) return;
    if (round.sums.length > 0) this.#complete(round);
    else round.missing = [{ first: 0, count: this.#session.shards }];
  }

  #complete(round: Round): void {
    round.sums.sort((a, b) => a.first - b.first);
    if (this.#setup.advise && round.pass === 0) this.#advise();
    this.#previous = round;
    this.#round = undefined;
    this.#desk.complete(round.round, round.sums);
  }

  readonly #samples: LinkSample[] = [];

  /** After each step until enough is known. */
  #advise(): void {
    const slowest = [...this.#members.values()].sort((a, b) => b.roundMs - a.roundMs)[0];
    if (!slowest || this.#samples.length === 2 * MEASURED_STEPS) return;
    const { roundMs, computeMs } = slowest;
    if (this.#samples.push({ roundMs, computeMs }) < 2 * MEASURED_STEPS) return;
    const { blocks } = this.#session;
    const text = wireAdvice(this.#samples.slice(MEASURED_STEPS), 2 * denseBytes(this.#session), blocks);
    this.#setup.onEvent({ kind: 'wire', text });
  }

  // ---- deadlines

  #tick(): void {
    const round = this.#round;
    if (!round) return;
    const now = performance.now();
    const { deadlines } = this.#setup;
    if (round.waitingSince !== undefined && now - round.waitingSince > deadlines.quorumMs) {
      this.#quorumLost(round);
      return;
    }
    if (!this.#begun && this.#members.size >= this.#wanted()) this.#dispatch();
    const limit = deadlines.stepMs || this.#ownDeadline();
    for (const member of [...this.#members.values()]) {
      const late = member.parts.find((part) => now - part.sentAt > limit);
      if (!late) continue;
      const ms = Math.round(now - late.sentAt);
      this.#lose(
        member,
        true,
        `step ${round.step}: no answer for shards ${late.first} to ${late.first + late.count - 1} within ${ms} ms`,
      );
      member.connection.close('too slow: its shards were given to others');
    }
    this.#sayLate(round, now);
  }

  #ownDeadline(): number {
    return this.#longestMs === 0 ? FIRST_DEADLINE_MS : Math.max(SHORTEST_DEADLINE_MS, PATIENCE * this.#longestMs);
  }

  #saidLate = -1;

  /** Once a round, when an answer takes much longer than any did so far. */
  #sayLate(round: Round, now: number): void {
    if (this.#saidLate === round.round) return;
    const usual = Math.max(LATE_AT_LEAST_MS, LATE * this.#longestMs);
    const nodes = [...this.#members.values()].flatMap((member) => {
      const ms = Math.round(now - Math.min(...member.parts.map(({ sentAt }) => sentAt)));
      return ms > usual ? [{ name: member.name, phase: phaseOf(member), ms }] : []; // without parts: -Infinity
    });
    if (nodes.length === 0) return;
    this.#saidLate = round.round;
    this.#setup.onEvent({ kind: 'late', step: round.step, nodes });
  }

  #quorumLost(round: Round): void {
    const { minNodes, deadlines, onEnd } = this.#setup;
    round.waitingSince = Number.POSITIVE_INFINITY; // said once
    const error = new LockstepError('E_QUORUM', {
      where: `step ${round.step}`,
      expected: `${minNodes} node${minNodes === 1 ? '' : 's'}`,
      got: `${this.#members.size} for ${Math.round(deadlines.quorumMs / 1000)} s`,
      fix: 'start the nodes again and go on with --resume auto',
    });
    onEnd(error);
    this.stop();
  }
}

/** What a member is at, as far as it can be seen from here. */
function phaseOf({ connection, parts }: Member): NodePhase {
  if (connection.queuedBytes > 0) return 'receiving parameters';
  return parts.some(({ received }) => received.size > 0) ? 'sending sums' : 'computing';
}

/** Whether a tree node has rows of this part only: what it covers beside them is empty. */
function liesIn(node: ShardRange, part: ShardRange, round: Pick<Round, 'batchRows'>, session: Session): boolean {
  if (node.count < 1 || node.first + node.count > session.shards) return false;
  for (let s = node.first; s < node.first + node.count; s++) {
    const mine = s >= part.first && s < part.first + part.count;
    if (!mine && !isEmptyShard(session, round.batchRows, s)) return false;
  }
  return true;
}

function clearLists({ memory, layout, rowTables }: Session, shard: number): void {
  const stride = rowListStride(rowTables);
  for (let at = 0; at < stride; at += ROW_LIST_STRIDE) {
    new Int32Array(memory.buffer, layout.rows.headers + shard * stride + at, 1)[0] = 0;
  }
}

/** What a header has room for. */
function clip(text: string): string {
  return text.length > 1000 ? `${text.slice(0, 997)}...` : text;
}
