import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { giveBack } from '../src/data/give-back.ts';
import { LockstepError } from '../src/errors.ts';
import type { ReadingMemory } from '../src/kernels/checksum.ts';
import { FrameReader, type Places } from './frame-reader.ts';
import { encodeFrame, FRAME_LIMITS, type Frame, FrameError } from './frames.ts';
import { usesReadsAtOnce } from './socket-reads.ts';
import { isClose, WebSocketError, WebSocketReader, writeMessage } from './websocket-frames.ts';

/** Deadlines and limits of a connection, with their defaults. */
export const CONNECTION_DEFAULTS = {
  /** A ping goes out this often, in milliseconds. */
  heartbeatMs: 2_000,
  /** A peer from which no byte has come for so long is taken for lost, in milliseconds. */
  silenceMs: 10_000,
  /** So long the peer may take to answer a close, in milliseconds; then the socket is torn down. */
  closeMs: 2_000,
  /** So long dialing and the HTTP upgrade may take, in milliseconds. */
  dialMs: 10_000,
  /** Most bytes that may wait to be sent; a send beyond them is refused. One message of any size may always wait. */
  maxQueuedBytes: 256 * 1024 * 1024,
  /** Most messages that may wait to be sent. */
  maxQueuedMessages: 4_096,
} as const;

/** How a connection ended. */
export interface ConnectionEnd {
  /**
   * `closed`: one side closed it in order. `lost`: the network or the peer's process is gone. `silent`: no byte within the silence
   * deadline. `invalid`: the peer sent what is no frame, or a message beyond the limits. `failed`: our own handler threw.
   */
  kind: 'closed' | 'lost' | 'silent' | 'invalid' | 'failed';
  by: 'us' | 'peer';
  /** For people: the reason given to `close`, or what happened. */
  reason: string;
  error?: unknown;
}

export interface ConnectionOptions {
  /** Longest message that may come, in bytes. */
  maxPayload: number;
  /** Into which the socket reads; default: one that all such connections of the process share. */
  memory?: ReadingMemory;
  /** Where regions belong; default: in memory of their own. */
  places?: Places;
  /**
   * Called once for each message, in order. Its regions are valid until it returns, or, where it returns a promise, until that is
   * settled. What it throws, or rejects with, ends the connection as `failed`.
   */
  onMessage(frame: Frame, connection: Connection): void | Promise<void>;
  /** Called once, when nothing will come any more. Must not throw. */
  onClose(end: ConnectionEnd, connection: Connection): void;
  /** Name of the other end in messages; its address by default. */
  peer?: string;
  heartbeatMs?: number;
  silenceMs?: number;
  closeMs?: number;
  maxQueuedBytes?: number;
  maxQueuedMessages?: number;
}

/** Of a message. */
const MOST_FRAGMENTS = 4 * FRAME_LIMITS.regions;

/**
 * What both ends give to ws: no compression (gradients do not compress), messages of at most `maxPayload` bytes, bounded
 * fragments. `maxPayload` follows from the tensor table; before the handshake it is a header's length.
 */
export const socketLimits = (maxPayload: number) =>
  ({
    perMessageDeflate: false,
    maxPayload,
    maxFragments: MOST_FRAGMENTS,
    closeTimeout: CONNECTION_DEFAULTS.closeMs,
  }) as const;

/**
 * One peer over a WebSocket, of either end. ws opens and closes it and has its pings; messages we write and read ourselves. Nothing is copied on
 * the way out: the parts of a frame leave as fragments of one message in one system call. On the way in each byte of a region is copied
 * once, from where the socket reads to where it belongs.
 */
export class Connection {
  /** Name of the other end. */
  readonly peer: string;
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #limits: Required<
    Omit<ConnectionOptions, 'maxPayload' | 'memory' | 'places' | 'onMessage' | 'onClose' | 'peer'>
  >;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #frames: FrameReader;
  /** Nodes mask what they send: with zeros, or, where ws is to do it, with what it takes. */
  readonly #mask: 'none' | 'zero' | 'random';
  #queuedBytes = 0;
  #queuedMessages = 0;
  #messagesSent = 0;
  #messagesReceived = 0;
  #heardBytes: number;
  #heardAt = performance.now();
  #beatAt = performance.now();
  /** Silence, in milliseconds in which we ran. */
  #quietMs = 0;
  #roundTripMs: number | undefined;
  #paused = false;
  /** What `onClose` will be told; set by the first cause. */
  #cause: ConnectionEnd | undefined;
  #ended: ConnectionEnd | undefined;
  #closeTimer: NodeJS.Timeout | undefined;

  /**
   * Takes over an open WebSocket and its socket (a server has it in the upgrade request, a client in the response). Only ws may listen to
   * the socket's data before.
   *
   * @param mask of what is sent: a server's is `none`.
   */
  constructor(ws: WebSocket, socket: Socket, options: ConnectionOptions, mask: 'none' | 'zero' | 'random' = 'none') {
    const { heartbeatMs, silenceMs, closeMs, maxQueuedBytes, maxQueuedMessages } = CONNECTION_DEFAULTS;
    this.#ws = ws;
    this.#socket = socket;
    this.#options = options;
    this.#mask = mask;
    this.#frames = new FrameReader(options.places, options.memory);
    this.#limits = { heartbeatMs, silenceMs, closeMs, maxQueuedBytes, maxQueuedMessages, ...defined(options) };
    this.peer = options.peer ?? nameOf(socket);
    this.#heardBytes = socket.bytesRead;
    socket.setNoDelay(true);
    this.#read(socket);
    ws.on('pong', (sent) => {
      const [now, at] = [performance.now(), Number(sent.toString())];
      if (at > 0 && at <= now) this.#roundTripMs = now - at;
    });
    ws.on('error', (error) => this.#fail(error));
    ws.on('close', (code, reason) => this.#finish(code, reason.toString()));
    this.#heartbeat = setInterval(() => this.#beat(), this.#limits.heartbeatMs).unref();
  }

  /** Whether a `send` can be tried: neither closed nor closing. */
  get open(): boolean {
    return this.#cause === undefined && this.#ws.readyState === WebSocket.OPEN;
  }

  /** How it ended; undefined as long as messages may come. */
  get end(): ConnectionEnd | undefined {
    return this.#ended;
  }

  /** Bytes written to the socket, all overhead included. */
  get bytesSent(): number {
    return this.#socket.bytesWritten;
  }

  /** Bytes read from the socket, all overhead included. */
  get bytesReceived(): number {
    return this.#socket.bytesRead;
  }

  get messagesSent(): number {
    return this.#messagesSent;
  }

  get messagesReceived(): number {
    return this.#messagesReceived;
  }

  /** Bytes given to `send` that have not left yet. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Time of the last answered ping, in milliseconds. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  /** Milliseconds since the last byte came, as far as it is known: between two heartbeats a byte may have come unnoticed. */
  get quietMs(): number {
    return this.#socket.bytesRead === this.#heardBytes ? performance.now() - this.#heardAt : 0;
  }

  /**
   * Sends one frame. Resolves when all its bytes are with the operating system; until then the caller does not change them. They may
   * lie in shared memory. Rejects with E_CONNECTION when the connection ends before, or when too much waits already. A rejection that
   * nobody awaits is not reported again: `onClose` has told.
   */
  send(header: object, regions: readonly Uint8Array[] = []): Promise<void> {
    return this.sendEncoded(() => encodeFrame(header, regions));
  }

  /** The same with a frame that may have been encoded already, for another connection. */
  sendEncoded(frame: () => readonly Uint8Array[]): Promise<void> {
    const sent = this.#send(frame);
    sent.catch(() => {});
    return sent;
  }

  async #send(frame: () => readonly Uint8Array[]): Promise<void> {
    if (!this.open) throw this.#error('an open connection', this.#cause?.reason ?? 'a closed one');
    const parts = frame();
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    const { maxQueuedBytes, maxQueuedMessages } = this.#limits;
    if (this.#queuedMessages > 0 && this.#queuedBytes + bytes > maxQueuedBytes)
      throw this.#error(`at most ${maxQueuedBytes} bytes waiting to be sent`, `${this.#queuedBytes + bytes}`);
    if (this.#queuedMessages === maxQueuedMessages)
      throw this.#error(`at most ${maxQueuedMessages} messages waiting to be sent`, 'one more');
    this.#queuedBytes += bytes;
    this.#queuedMessages += 1;
    try {
      await new Promise<void>((resolve, reject) => this.#write(parts, (error) => (error ? reject(error) : resolve())));
    } catch (cause) {
      throw this.#error('an open connection', this.#cause?.reason ?? messageOf(cause), cause);
    } finally {
      this.#queuedBytes -= bytes;
      this.#queuedMessages -= 1;
    }
    this.#messagesSent += 1;
  }

  /** All parts in one system call, as fragments of one message. */
  #write(parts: readonly Uint8Array[], written: (error?: Error | null) => void): void {
    if (this.#mask === 'random') {
      parts.forEach((part, i) => {
        const fin = i === parts.length - 1;
        this.#ws.send(part, { binary: true, compress: false, fin }, fin ? written : undefined);
      });
      return;
    }
    const buffers = writeMessage(parts, this.#mask === 'zero');
    this.#socket.cork();
    buffers.forEach((buffer, i) => {
      this.#socket.write(buffer, i === buffers.length - 1 ? written : undefined);
    });
    this.#socket.uncork();
  }

  /** Closes in order: what was sent before still arrives, what comes from now on is ignored. `onClose` follows, within `closeMs`. */
  close(reason: string): void {
    this.#end({ kind: 'closed', by: 'us', reason }, 1000);
  }

  /**
   * Reads nothing more from the socket until `resume`, so that the peer has to wait. Its silence is not counted meanwhile, but ours is
   * by the peer: pings lie unread too. So resume well within the silence deadline.
   */
  pause(): void {
    this.#paused = true;
    this.#ws.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#hear();
    this.#ws.resume();
  }

  /** From now on we read what the socket brings, and ws has of it what is not a message. */
  #read(socket: Socket): void {
    const toWs = socket.listeners('data');
    socket.removeAllListeners('data');
    const { maxPayload } = this.#options;
    const reader = new WebSocketReader(
      { masked: this.#mask === 'none', maxPayload, maxFragments: MOST_FRAGMENTS },
      {
        payload: (bytes) => this.#take(bytes),
        fragment: () => this.#take(undefined),
        message: () => this.#receive(),
        control: (frame) => {
          for (const listener of toWs) listener.call(socket, frame);
          if (isClose(frame)) over = true;
        },
      },
    );
    let over = false;
    socket.on('data', (chunk: Uint8Array) => {
      if (over) return;
      try {
        reader.read(chunk);
      } catch (error) {
        over = true;
        this.#misread(error);
      }
    });
    usesReadsAtOnce(socket);
  }

  /** Of a message: the next bytes, or the end of a fragment. */
  #take(bytes: Uint8Array | undefined): void {
    if (this.#cause !== undefined) return;
    try {
      if (bytes) this.#frames.payload(bytes);
      else this.#frames.fragment();
    } catch (error) {
      this.#failed(error);
    }
  }

  #receive(): void {
    if (this.#cause !== undefined) return;
    this.#messagesReceived += 1;
    try {
      const frame = this.#frames.message();
      const handled = this.#options.onMessage(frame, this);
      const done = () => giveBackLong(frame.regions);
      if (handled === undefined) done();
      else handled.catch((error) => this.#failed(error)).finally(done);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** What came is no WebSocket, so that an answer to our close would not be found in what follows. */
  #misread(error: unknown): void {
    if (error instanceof WebSocketError) {
      this.#end({ kind: 'invalid', by: 'us', reason: error.message, error }, error.closeCode);
    } else this.#failed(error);
    this.#socket.end();
  }

  /** A handler refuses a frame by throwing a FrameError; any other error is a defect of ours. */
  #failed(error: unknown): void {
    if (error instanceof FrameError) this.#end({ kind: 'invalid', by: 'us', reason: messageOf(error), error }, 1002);
    else this.#end({ kind: 'failed', by: 'us', reason: messageOf(error), error }, 1011);
  }

  #beat(): void {
    const now = performance.now();
    const { heartbeatMs, silenceMs } = this.#limits;
    // Of a longer gap we ourselves did not run (a stopped process, a laptop's lid, a loaded machine): that was not the peer's silence.
    this.#quietMs += Math.min(now - this.#beatAt, 2 * heartbeatMs);
    this.#beatAt = now;
    if (this.#paused || this.#socket.bytesRead !== this.#heardBytes) this.#hear();
    else if (this.#quietMs >= silenceMs) setImmediate(() => this.#endIfSilent()); // first what waits to be read
    if (!this.open) return;
    // Even while the last is unanswered: a peer that sends us much over a slow link has its answer behind that, and only our pings come to it.
    this.#ws.ping(String(now), undefined, () => {});
  }

  #hear(): void {
    this.#heardBytes = this.#socket.bytesRead;
    this.#heardAt = performance.now();
    this.#quietMs = 0;
  }

  #endIfSilent(): void {
    if (this.#paused || this.#ended || this.#socket.bytesRead !== this.#heardBytes) return;
    const reason = `nothing came for ${Math.round(performance.now() - this.#heardAt)} ms`;
    this.#cause ??= { kind: 'silent', by: 'us', reason };
    this.#ws.terminate();
  }

  /** ws found the stream broken, or the socket did. It closes by itself after this. */
  #fail(error: Error & { code?: string }): void {
    const invalid = error.code?.startsWith('WS_ERR_') === true;
    this.#cause ??= { kind: invalid ? 'invalid' : 'lost', by: 'peer', reason: error.message, error };
    if (invalid) this.#awaitClose();
  }

  #end(cause: ConnectionEnd, code: number): void {
    if (this.#cause !== undefined || this.#ended !== undefined) return;
    this.#cause = cause;
    if (this.#paused) this.#ws.resume(); // else the peer's answer to the close is never read
    this.#ws.close(code, clip(cause.reason));
    this.#awaitClose();
  }

  #awaitClose(): void {
    this.#closeTimer ??= setTimeout(() => this.#ws.terminate(), this.#limits.closeMs);
  }

  #finish(code: number, reason: string): void {
    clearInterval(this.#heartbeat);
    clearTimeout(this.#closeTimer);
    const cause: ConnectionEnd =
      this.#cause ??
      (code === 1006
        ? { kind: 'lost', by: 'peer', reason: 'the connection ended without a close' }
        : { kind: 'closed', by: 'peer', reason: reason || `close code ${code}` });
    this.#cause = cause;
    this.#ended = cause;
    this.#options.onClose(cause, this);
  }

  #error(expected: string, got: string, cause?: unknown): LockstepError {
    return new LockstepError('E_CONNECTION', {
      where: `connection to ${this.peer}`,
      expected,
      got,
      fix: 'the other end must run and answer; its output says why it closed',
      cause,
    });
  }
}

/** Shorter ones cost more than they bring. */
const WORTH_IT = 16 * 1024;

/**
 * Regions in memory of their own lie outside of V8's heap: left to the garbage collector, gigabytes a minute of them make it go through the whole
 * heap several times a second.
 */
function giveBackLong(regions: readonly Uint8Array[]): void {
  const long = regions.filter(({ byteLength }) => byteLength >= WORTH_IT);
  if (long.length > 0) giveBack(...long);
}

/** Given values only: `undefined` does not replace a default. */
function defined(options: ConnectionOptions): Partial<Record<keyof ConnectionOptions, number>> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => typeof value === 'number'));
}

/** That of a local socket has no address. */
const nameOf = ({ remoteAddress, remotePort }: Socket) =>
  remoteAddress === undefined ? 'a process of this machine' : `${remoteAddress}:${remotePort}`;

export const messageOf = (error: unknown) => (error instanceof Error ? error.message || error.name : String(error));

/** A close frame has room for 123 bytes of reason. */
function clip(reason: string): string {
  let clipped = reason.slice(0, 123);
  while (Buffer.byteLength(clipped) > 123) clipped = clipped.slice(0, -1);
  return clipped.replace(/[\ud800-\udbff]$/, '');
}
