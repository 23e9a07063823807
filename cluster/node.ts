import { toExactJson } from '../src/checkpoint/exact-json.ts';
import { LockstepError } from '../src/errors.ts';
import type { ReadingMemory } from '../src/kernels/checksum.ts';
import type { ShardRange } from '../src/membership/assignment.ts';
import { threadCpuSeconds } from '../src/parallel/cpu-time.ts';
import type { Pace } from '../src/parallel/inner-steps.ts';
import { NodeDesk } from '../src/parallel/round-desk.ts';
import type { Session } from '../src/parallel/session.ts';
import { planStep } from '../src/parallel/step-plan.ts';
import { samplerOf } from '../src/parallel/windows.ts';
import { codecOf, WIRE_FORMATS } from '../src/parallel/wire-format.ts';
import { identityOf } from '../src/train/identity.ts';
import type { Job } from '../src/train/job.ts';
import { type OpenRun, openRun } from '../src/train/open-run.ts';
import { planRun } from '../src/train/plan-run.ts';
import { AwakeClock } from './awake-clock.ts';
import type { Connection } from './connection.ts';
import { dial } from './dial.ts';
import { fetchDescription } from './fetch-description.ts';
import type { Place } from './frame-reader.ts';
import { FrameError } from './frames.ts';
import { type Content, Inbox } from './inbox.ts';
import {
  headerFromCoordinator,
  hex,
  type Message,
  type Of,
  PROTOCOL,
  readFromCoordinator,
  type ToNode,
} from './messages.ts';
import { connectionLost, defaultName, hostOf, impostor, refused } from './node-errors.ts';
import { DEFAULT_RECONNECT_MS, type NodeOptions, type NodeSummary } from './options.ts';
import { RoundClock } from './round-clock.ts';
import { answer, checkToken, makeNonce, verify } from './security.ts';
import { packShards, queueLimits, readingMemoryOf, stateBytes } from './transfer.ts';
import { type TreeSum, Upload } from './upload.ts';

/** Losses of worker threads without a round in between after which a node gives up. */
const MOST_ATTEMPTS = 3;

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 5_000;
const BEAT_MS = 10_000; // dialling, and waiting for the next time, are shorter

/**
 * Takes part in a run: dials the coordinator, proves that it computes the same job, and computes the shards that it is given until the
 * run ends. Dials again when the connection breaks.
 *
 * @param onOpen called once, when its workers are there.
 * @throws E_REFUSED, E_JOIN when the coordinator does not want it, naming the first difference; E_CONNECTION when the coordinator stays
 * away; what `train` throws for the job.
 */
export async function runNode<J extends Job>(
  job: J,
  options: NodeOptions,
  onOpen?: (run: OpenRun) => void,
): Promise<NodeSummary> {
  const { workers, module, signal } = options;
  const planned = { ...(workers !== undefined && { workers }), ...(module !== undefined && { module }) };
  const given = options.streamData ? await fetchDescription(options) : undefined;
  const plan = await planRun(job, planned, given?.data, 'node');
  const run = await openRun(plan, module);
  try {
    onOpen?.(run);
    const identity = toExactJson(identityOf(plan, run.proof ?? '', given?.identity));
    return await new Node(run, identity, plan.workers, options).serve(signal ?? new AbortController().signal);
  } finally {
    await run.pool.close();
  }
}

class Node {
  readonly #run: OpenRun;
  readonly #session: Session;
  /** Into which its sockets read. */
  readonly #memory: ReadingMemory;
  /** Gives the workers what they do, as long as they live. */
  #desk: NodeDesk;
  readonly #identity: Uint8Array;
  readonly #workers: number;
  readonly #options: NodeOptions;
  readonly #started = performance.now();
  readonly #sampler: ReturnType<typeof samplerOf>;
  /** Highest that any coordinator has shown: an older one has been replaced. */
  #fence = 0;
  #shards = 0;
  #bytesSent = 0;
  #bytesReceived = 0;
  #cpuAtFirst: number | undefined;
  /** In which sums the last shards ended: most often those of the next step are the same. */
  #ends: { readonly of: string; readonly sums: readonly TreeSum[] } = { of: '', sums: [] };
  readonly #clock = new RoundClock();
  /** What the workers are at; the next waits for it. */
  #busy: Promise<void> = Promise.resolve();
  /** Messages that it has not dealt with. */
  #waiting = 0;

  constructor(run: OpenRun, identity: string, workers: number, options: NodeOptions) {
    this.#run = run;
    this.#session = run.session;
    this.#desk = new NodeDesk(run.session);
    this.#memory = readingMemoryOf(run.session);
    this.#identity = new TextEncoder().encode(identity);
    this.#workers = workers;
    this.#options = options;
    this.#sampler = samplerOf(run.session);
  }

  async serve(signal: AbortSignal): Promise<NodeSummary> {
    const awake = new AwakeClock(BEAT_MS); // what a laptop has slept it was not without a coordinator
    try {
      return await this.#serve(signal, awake);
    } finally {
      awake.stop();
    }
  }

  async #serve(signal: AbortSignal, awake: AwakeClock): Promise<NodeSummary> {
    let attempts = 0;
    let retryMs = FIRST_RETRY_MS;
    const { reconnectMs = DEFAULT_RECONNECT_MS } = this.#options;
    let lastSeen = awake.now();
    for (;;) {
      const workers = this.#employ();
      try {
        const outcome = await this.#visit(signal, workers.lost);
        if (outcome.shards > 0) {
          attempts = 0;
          retryMs = FIRST_RETRY_MS;
        }
        if (outcome.joined) lastSeen = awake.now();
        if (outcome.kind === 'stopped') return this.#summary(outcome.reason, outcome.failed);
        if (signal.aborted) return this.#summary('it was to leave', false);
        const leftMs = reconnectMs - (awake.now() - lastSeen);
        if (leftMs < 0) throw outcome.error;
        this.#options.onEvent?.({ kind: 'disconnected', reason: outcome.reason, retryMs, leftMs });
        await pause(retryMs * (0.75 + 0.5 * Math.random()), signal);
        retryMs = Math.min(LONGEST_RETRY_MS, 2 * retryMs);
      } catch (error) {
        if (!(error instanceof LockstepError) || error.code !== 'E_WORKER' || ++attempts >= MOST_ATTEMPTS) throw error;
        this.#options.onEvent?.({ kind: 'disconnected', reason: error.message, retryMs: 0, leftMs: reconnectMs });
        await this.#run.pool.restart(0);
      } finally {
        await workers.leave();
      }
    }
  }

  /** The workers wait for shards until `leave`; `lost` rejects when one of them fails. */
  #employ(): { readonly lost: Promise<never>; leave(): Promise<void> } {
    const desk = new NodeDesk(this.#session);
    this.#desk = desk;
    const serving = this.#run.pool.serve();
    const lost = new Promise<never>((_, reject) => {
      serving.catch((error) => {
        desk.abandon();
        reject(error);
      });
    });
    lost.catch(() => undefined); // whoever waits for it has heard
    return {
      lost,
      leave: async () => {
        desk.leave();
        await serving.catch(() => undefined);
      },
    };
  }

  /** One connection, from dialling to its end. */
  async #visit(signal: AbortSignal, lost: Promise<never>): Promise<VisitEnd> {
    const { url, token, tls } = this.#options;
    const before = this.#shards;
    const visit: Visit = {
      token: checkToken(token, hostOf(url)),
      nonce: makeNonce(),
    };
    let end: (how: VisitEnd) => void = () => undefined;
    let reject: (error: unknown) => void = () => undefined;
    const over = new Promise<VisitEnd>((resolve, refuse) => {
      end = (how) => resolve({ ...how, joined: visit.inbox !== undefined, shards: this.#shards - before });
      reject = refuse;
    });
    over.catch(() => undefined);
    let connection: Connection;
    try {
      connection = await dial(url, {
        maxPayload: Math.max(1 << 20, 2 * stateBytes(this.#session)),
        ...queueLimits(this.#session),
        ...(tls?.ca !== undefined && { ca: Buffer.from(tls.ca) }),
        signal,
        token: visit.token,
        localSocket: this.#options.localSocket,
        memory: this.#memory,
        places: (header, _, length) => this.#placeOf(headerFromCoordinator(header), length, visit),
        onMessage: (frame, peer) => {
          const message = readFromCoordinator(frame);
          if (message.type === 'stop') {
            end({ kind: 'stopped', reason: message.reason, failed: message.failed, joined: true, shards: 0 });
            peer.close('the run is over');
          } else if (message.type === 'refuse') {
            reject(refused(message));
            peer.close('refused');
          } else return this.#receive(message, peer, visit, reject);
        },
        onClose: (how) =>
          end({ kind: 'disconnected', reason: how.reason, joined: false, shards: 0, error: connectionLost(how) }),
      });
    } catch (error) {
      if (!(error instanceof LockstepError) || error.code !== 'E_CONNECTION') throw error;
      return { kind: 'disconnected', reason: error.detail.got, error, joined: false, shards: 0 };
    }
    const leave = () => {
      void connection.send({ type: 'leave', reason: 'it was to leave' });
      connection.close('leaving');
    };
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([over, lost]);
    } finally {
      signal.removeEventListener('abort', leave);
      connection.close('the visit is over');
      await this.#busy.catch(() => undefined);
      this.#bytesSent += connection.bytesSent;
      this.#bytesReceived += connection.bytesReceived;
    }
  }

  /** Settles when the message is dealt with. */
  #receive(
    message: Message<ToNode>,
    connection: Connection,
    visit: Visit,
    fail: (error: unknown) => void,
  ): Promise<void> | undefined {
    switch (message.type) {
      case 'challenge':
        this.#introduce(message, connection, visit);
        return undefined;
      case 'welcome':
        this.#enter(message, visit);
        this.#options.onEvent?.({ kind: 'joined', node: message.node, run: message.run });
        return undefined;
    }
    if (message.type === 'stop' || message.type === 'refuse' || message.type === 'description') return undefined;
    const { inbox } = visit;
    if (inbox === undefined) throw new FrameError(0, 'welcome first', message.type);
    if (message.fence !== visit.fence) return undefined; // of another time
    if (this.#waiting === 0 && message.type !== 'compute' && message.type !== 'save') {
      inbox.put(message);
      return undefined;
    }
    // The arena belongs to the workers while they compute: what comes meanwhile waits for them.
    this.#waiting += 1;
    this.#busy = this.#busy.then(async () => {
      if (connection.open) await this.#obey(message, connection, inbox);
    });
    return this.#busy
      .catch((error) => {
        this.#busy = Promise.resolve();
        if (error instanceof FrameError) connection.close(error.message);
        else if (connection.open) fail(error);
      })
      .finally(() => {
        this.#waiting -= 1;
      });
  }

  /** Parameters are read to where they belong while the arena is idle: they are complete before anything else of the connection is begun. */
  #placeOf(header: ToNode, length: number, { inbox, fence }: Visit): Place | undefined {
    if (header.type !== 'parameters' && header.type !== 'update') return undefined;
    if (inbox === undefined || header.fence !== fence || this.#waiting > 0) return undefined;
    return { bytes: inbox.placeOf(header, length), current: () => true };
  }

  #introduce(message: Message<Of<ToNode, 'challenge'>>, connection: Connection, visit: Visit): void {
    if (message.protocol !== PROTOCOL) {
      throw new FrameError(0, `protocol ${PROTOCOL}`, `protocol ${message.protocol}: another version of Lockstep`);
    }
    if (visit.challenge) throw new FrameError(0, 'one challenge', 'another');
    visit.challenge = message.nonce;
    const { name = defaultName() } = this.#options;
    const mac = hex(answer(visit.token, 'node', PROTOCOL, visit.challenge, visit.nonce));
    const nonce = hex(visit.nonce);
    const wants = this.#options.streamData ? 'rows' : 'part';
    void connection.send({ type: 'hello', protocol: PROTOCOL, name, workers: this.#workers, wants, nonce, mac }, [
      this.#identity,
    ]);
  }

  #enter(message: Message<Of<ToNode, 'welcome'>>, visit: Visit): void {
    const { challenge } = visit;
    if (!challenge || visit.inbox) throw new FrameError(0, 'a challenge, then one welcome', 'another order');
    if (!verify(visit.token, 'coordinator', PROTOCOL, visit.nonce, challenge, message.mac)) {
      throw impostor(this.#options.url);
    }
    if (message.fence < this.#fence)
      throw new FrameError(0, `a coordinator of at least epoch ${this.#fence}`, String(message.fence));
    this.#fence = message.fence;
    visit.fence = message.fence;
    visit.inbox = new Inbox(this.#session, message);
  }

  /** Parameters, and shards to compute: one after the other. */
  async #obey(
    message: Content | Message<Of<ToNode, 'compute' | 'save'>>,
    connection: Connection,
    inbox: Inbox,
  ): Promise<void> {
    if (message.type === 'compute') await this.#compute(message, connection, inbox);
    else if (message.type === 'save') await sendKept(message, connection, inbox);
    else inbox.put(message);
  }

  async #compute(message: Message<Of<ToNode, 'compute'>>, connection: Connection, inbox: Inbox): Promise<void> {
    const { fence, epoch, round, step, first, count, after } = message;
    const { wire, pace } = inbox;
    const update = inbox.complete(message);
    this.#cpuAtFirst ??= threadCpuSeconds();
    const start = performance.now();
    const ends = this.#sumsOf(step, { first, count }, pace);
    const codec = codecOf(wire);
    const upload = new Upload(this.#session, ends, codec, (region, header) =>
      connection.send({ ...header, fence, epoch, round }, [region]),
    );
    const task = { step, range: { first, count }, format: WIRE_FORMATS.indexOf(wire), update, after, pace };
    await this.#desk.compute(task, (from) => upload.sendFrom(from));
    inbox.after = step;
    const computeMs = performance.now() - start;
    this.#shards += count;
    upload.sendRest();
    const sums = ends.flatMap((sum) => [sum.first, sum.count]);
    const done = { type: 'done', fence, epoch, round, first, count, sums, computeMs };
    const sent = connection.send(done, packShards(this.#session, { first, count }));
    const framed = performance.now();
    await Promise.allSettled([upload.sent, sent]); // the next shards overwrite what is being sent
    this.#options.onRound?.(
      this.#clock.round(step, [
        ['receive', inbox.since, start],
        ['wait', start, start + computeMs],
        ['serialise', start + computeMs, framed],
        ['send', framed, performance.now()],
      ]),
    );
    inbox.since = performance.now(); // further shards of the round need no parameters
  }

  /** In which sums these shards of a step will end, and where they will lie. */
  #sumsOf(step: number, range: ShardRange, { every }: Pace): readonly TreeSum[] {
    // Of local steps there is one sum for all of its shards: src/parallel/local-steps.ts.
    if (every > 1) return [{ ...range, address: this.#session.layout.reduced }];
    const rows = this.#sampler.batchRows(step);
    const { first, count } = range;
    const of = `${rows}:${first}+${count}`;
    if (this.#ends.of !== of) this.#ends = { of, sums: planStep(this.#session, 0, rows, range).sums };
    return this.#ends.sums;
  }

  #summary(reason: string, failed: boolean): NodeSummary {
    this.#options.onEvent?.({ kind: 'stopped', reason });
    return {
      reason,
      failed,
      shards: this.#shards,
      seconds: (performance.now() - this.#started) / 1000,
      mainCpuSeconds: this.#cpuAtFirst === undefined ? 0 : threadCpuSeconds() - this.#cpuAtFirst,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
    };
  }
}

/** What one connection knows. */
interface Visit {
  readonly token: string | undefined;
  readonly nonce: Uint8Array;
  challenge?: Uint8Array;
  /** As soon as the coordinator has let us in. */
  inbox?: Inbox;
  /** Of the coordinator. */
  fence?: number;
}

/** For the coordinator's checkpoint. */
async function sendKept({ fence }: Of<ToNode, 'save'>, connection: Connection, inbox: Inbox): Promise<void> {
  const { after } = inbox;
  const sent = inbox
    .kept()
    .map(({ offset, bytes }) => connection.send({ type: 'kept', fence, after, offset }, [bytes]));
  await Promise.allSettled(sent); // the next shards overwrite it
}

type VisitEnd = { readonly joined: boolean; readonly shards: number; readonly reason: string } & (
  | { readonly kind: 'stopped'; readonly failed: boolean }
  | { readonly kind: 'disconnected'; readonly error: LockstepError }
);

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
