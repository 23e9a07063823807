import { toExactJson } from '../src/checkpoint/exact-json.ts';
import { LockstepError } from '../src/errors.ts';
import type { ShardRange } from '../src/membership/assignment.ts';
import { threadCpuSeconds } from '../src/parallel/cpu-time.ts';
import { lastInnerStep } from '../src/parallel/inner-steps.ts';
import { type Kept, keptVectors } from '../src/parallel/kept-state.ts';
import { progressWidth, readProgress } from '../src/parallel/progress.ts';
import { NodeDesk } from '../src/parallel/round-desk.ts';
import type { Session } from '../src/parallel/session.ts';
import { planStep } from '../src/parallel/step-plan.ts';
import { samplerOf } from '../src/parallel/windows.ts';
import {
  codecOf,
  encodedBytes,
  mostEncodedBytes,
  unsoundBlock,
  WIRE_FORMATS,
  type WireFormat,
} from '../src/parallel/wire-format.ts';
import { identityOf } from '../src/train/identity.ts';
import type { Job } from '../src/train/job.ts';
import { type OpenRun, openRun } from '../src/train/open-run.ts';
import { planRun } from '../src/train/plan-run.ts';
import { type Connection, dial } from './connection.ts';
import { fetchDescription } from './fetch-description.ts';
import { FrameError } from './frames.ts';
import { hex, type Message, type Of, PROTOCOL, readFromCoordinator, type ToNode } from './messages.ts';
import { connectionLost, defaultName, hostOf, impostor, refused } from './node-errors.ts';
import { DEFAULT_RECONNECT_MS, type NodeOptions, type NodeSummary } from './options.ts';
import { RoundClock } from './round-clock.ts';
import { answer, checkToken, makeNonce, verify } from './security.ts';
import { placeRowsOfData } from './stream-data.ts';
import { joinedPieces, packShards, placeJoined, placePiece, placeRows, stateBytes } from './transfer.ts';
import { type TreeSum, Upload } from './upload.ts';

/** Losses of worker threads without a round in between after which a node gives up. */
const MOST_ATTEMPTS = 3;

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 5_000;

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
  readonly #clock = new RoundClock();
  /** What the workers are at; the next waits for it. */
  #busy: Promise<void> = Promise.resolve();

  constructor(run: OpenRun, identity: string, workers: number, options: NodeOptions) {
    this.#run = run;
    this.#session = run.session;
    this.#desk = new NodeDesk(run.session);
    this.#identity = new TextEncoder().encode(identity);
    this.#workers = workers;
    this.#options = options;
    this.#sampler = samplerOf(run.session);
  }

  async serve(signal: AbortSignal): Promise<NodeSummary> {
    let attempts = 0;
    let retryMs = FIRST_RETRY_MS;
    let lastSeen = performance.now();
    for (;;) {
      const workers = this.#employ();
      try {
        const outcome = await this.#visit(signal, workers.lost);
        if (outcome.shards > 0) {
          attempts = 0;
          retryMs = FIRST_RETRY_MS;
        }
        if (outcome.joined) lastSeen = performance.now();
        if (outcome.kind === 'stopped') return this.#summary(outcome.reason, outcome.failed);
        if (signal.aborted) return this.#summary('it was to leave', false);
        const { reconnectMs = DEFAULT_RECONNECT_MS } = this.#options;
        if (performance.now() - lastSeen > reconnectMs) throw outcome.error;
        this.#options.onEvent?.({ kind: 'disconnected', reason: outcome.reason, retryMs });
        await pause(retryMs * (0.75 + 0.5 * Math.random()), signal);
        retryMs = Math.min(LONGEST_RETRY_MS, 2 * retryMs);
      } catch (error) {
        if (!(error instanceof LockstepError) || error.code !== 'E_WORKER' || ++attempts >= MOST_ATTEMPTS) throw error;
        this.#options.onEvent?.({ kind: 'disconnected', reason: error.message, retryMs: 0 });
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
      received: { round: -1, bytes: 0, update: 0, since: 0 },
      after: 0,
      placed: 0,
    };
    let end: (how: VisitEnd) => void = () => undefined;
    let reject: (error: unknown) => void = () => undefined;
    const over = new Promise<VisitEnd>((resolve, refuse) => {
      end = (how) => resolve({ ...how, joined: visit.welcome !== undefined, shards: this.#shards - before });
      reject = refuse;
    });
    over.catch(() => undefined);
    let connection: Connection;
    try {
      connection = await dial(url, {
        maxPayload: Math.max(1 << 20, 2 * stateBytes(this.#session)),
        ...(tls?.ca !== undefined && { ca: Buffer.from(tls.ca) }),
        signal,
        onMessage: (frame, peer) => {
          const message = readFromCoordinator(frame);
          if (message.type === 'stop') {
            end({ kind: 'stopped', reason: message.reason, failed: message.failed, joined: true, shards: 0 });
            peer.close('the run is over');
          } else if (message.type === 'refuse' && !message.retry) {
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
      case 'refuse':
        connection.close('refused');
        return undefined;
    }
    if (message.type === 'stop' || message.type === 'description') return undefined;
    if (visit.welcome === undefined) throw new FrameError(0, 'welcome first', message.type);
    if (message.fence !== visit.welcome.fence) return undefined; // of another time
    // The arena belongs to the workers while they compute: what comes meanwhile waits for them.
    this.#busy = this.#busy.then(async () => {
      if (connection.open) await this.#obey(message, connection, visit);
    });
    return this.#busy.catch((error) => {
      this.#busy = Promise.resolve();
      if (error instanceof FrameError) connection.close(error.message);
      else if (connection.open) fail(error);
    });
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
    if (!challenge || visit.welcome) throw new FrameError(0, 'a challenge, then one welcome', 'another order');
    if (!verify(visit.token, 'coordinator', PROTOCOL, visit.nonce, challenge, message.mac)) {
      throw impostor(this.#options.url);
    }
    if (message.fence < this.#fence)
      throw new FrameError(0, `a coordinator of at least epoch ${this.#fence}`, String(message.fence));
    this.#fence = message.fence;
    visit.welcome = message;
  }

  /** Parameters, and shards to compute: one after the other. */
  async #obey(
    message: Message<Of<ToNode, 'parameters' | 'update' | 'rows' | 'data' | 'compute' | 'save' | 'kept'>>,
    connection: Connection,
    visit: Visit,
  ): Promise<void> {
    const { received } = visit;
    const { memory, layout } = this.#session;
    if (message.type === 'data') return placeRowsOfData(this.#session, message.regions);
    if (message.type === 'save') return this.#sendKept(message.fence, connection, visit);
    if (message.type === 'kept') return this.#placeKept(message, visit);
    if (message.round !== received.round) {
      Object.assign(received, { round: message.round, bytes: 0, update: 0, since: performance.now() });
    }
    if (message.type === 'parameters') {
      const [bytes] = message.regions;
      placePiece(memory.buffer, layout.parameters, stateBytes(this.#session), { offset: message.offset, bytes });
      received.bytes += bytes.length;
      return;
    }
    if (message.type === 'update') {
      const [bytes] = message.regions;
      const { offset } = message;
      placePiece(memory.buffer, layout.wire.down, mostEncodedBytes(this.#session.blocks), { offset, bytes });
      received.bytes += bytes.length;
      received.update += bytes.length;
      return;
    }
    if (message.type === 'rows') {
      placeRows(this.#session, message.table, message.regions[0], message.regions[1]);
      received.bytes += message.regions[1].length;
      return;
    }
    await this.#compute(message, connection, visit);
  }

  async #compute(message: Message<Of<ToNode, 'compute'>>, connection: Connection, visit: Visit): Promise<void> {
    const { fence, epoch, round, step, first, count, parameterBytes, after } = message;
    const { shards } = this.#session;
    const { received, welcome } = visit;
    if (received.bytes !== parameterBytes)
      throw new FrameError(0, `${parameterBytes} bytes of parameters`, String(received.bytes));
    if (step < 1 || count < 1 || first + count > shards) {
      throw new FrameError(0, `some of ${shards} shards`, `${first} to ${first + count - 1} of step ${step}`);
    }
    if (after !== 0 && after !== visit.after) {
      throw new FrameError(0, `to go on from step ${visit.after} or from nothing`, `from step ${after}`);
    }
    this.#cpuAtFirst ??= threadCpuSeconds();
    const start = performance.now();
    const wire = welcome?.wire ?? 'fp32';
    const update = this.#updateCame(wire, received.update);
    received.update = 0;
    const every = welcome?.syncEvery ?? 1;
    const ends = this.#sumsOf(step, { first, count }, every);
    const codec = codecOf(wire);
    const upload = new Upload(this.#session, ends, codec, (region, header) =>
      connection.send({ ...header, fence, epoch, round }, [region]),
    );
    const task = { step, range: { first, count }, format: WIRE_FORMATS.indexOf(wire), update, after, every };
    await this.#desk.compute(task, (from) => upload.sendFrom(from));
    visit.after = step;
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
        ['receive', received.since, start],
        ['wait', start, start + computeMs],
        ['serialise', start + computeMs, framed],
        ['send', framed, performance.now()],
      ]),
    );
    received.since = performance.now(); // further shards of the round need no parameters
  }

  /** For the coordinator's checkpoint. */
  async #sendKept(fence: number, connection: Connection, { after, welcome }: Visit): Promise<void> {
    const pieces = joinedPieces(this.#session.memory.buffer, keptVectors(this.#session, keptOf(welcome)));
    const sent = pieces.map(({ offset, bytes }) => connection.send({ type: 'kept', fence, after, offset }, [bytes]));
    await Promise.allSettled(sent); // the next shards overwrite it
  }

  /** What was kept by whoever had this place before: it is gone on from as soon as all of it is here. */
  #placeKept({ after, offset, regions: [bytes] }: Message<Of<ToNode, 'kept'>>, visit: Visit): void {
    const session = this.#session;
    const vectors = keptVectors(session, keptOf(visit.welcome));
    if (offset !== visit.placed) throw new FrameError(0, `a piece from byte ${visit.placed}`, `one from ${offset}`);
    visit.after = 0;
    placeJoined(session.memory.buffer, vectors, { offset, bytes });
    visit.placed += bytes.length;
    if (visit.placed < vectors.reduce((sum, vector) => sum + vector.bytes, 0)) return;
    visit.placed = 0;
    if (!this.#hasProgress(after, visit.welcome))
      throw new FrameError(0, `an optimizer after step ${after}`, 'another');
    visit.after = after;
  }

  /** Whether the workers will find how far the optimizer of their local steps has come. */
  #hasProgress(after: number, welcome: Visit['welcome']): boolean {
    const { memory, layout, progressNames, totalSteps } = this.#session;
    const { syncEvery = 1 } = welcome ?? {};
    if (after < 1) return false;
    if (syncEvery === 1) return true;
    const { stepsPerEpoch } = this.#sampler;
    const places = new Float64Array(memory.buffer, layout.progress, 2 * progressWidth(progressNames));
    return readProgress(places, lastInnerStep(after, syncEvery, { stepsPerEpoch, totalSteps }), progressNames) !== undefined;
  } // biome-ignore format: a story

  /** In which sums these shards of a step will end, and where they will lie. */
  #sumsOf(step: number, range: ShardRange, every: number): readonly TreeSum[] {
    // Of local steps there is one sum for all of its shards: src/parallel/local-steps.ts.
    if (every > 1) return [{ ...range, address: this.#session.layout.reduced }];
    return planStep(this.#session, 0, this.#sampler.batchRows(step), range).sums;
  }

  /** Whether encoded parameters have come, all of them, that the workers can put into place. */
  #updateCame(wire: WireFormat, bytes: number): boolean {
    const codec = codecOf(wire);
    if (bytes === 0) return false;
    const { memory, layout, blocks } = this.#session;
    const expected = codec ? encodedBytes(blocks, codec) : 0;
    if (!codec || bytes !== expected) throw new FrameError(0, `${expected} bytes of an update`, String(bytes));
    const block = unsoundBlock(memory.buffer, layout.wire.down, blocks, codec);
    if (block !== undefined) throw new FrameError(0, `ascending places in block ${block}`, 'others');
    return true;
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
  welcome?: Of<ToNode, 'welcome'>;
  /** Bytes of parameters that came for a round, those of them that are encoded and not in place yet, and since when they came. */
  readonly received: { round: number; bytes: number; update: number; since: number };
  /** The step of what is kept here from round to round; 0: nothing of this visit. */
  after: number;
  /** Bytes that came of what another kept. */
  placed: number;
}

const keptOf = ({ wire = 'fp32', syncEvery = 1 }: Partial<Of<ToNode, 'welcome'>> = {}): Kept => ({
  residual: codecOf(wire)?.takes === true,
  inner: syncEvery > 1,
});

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
