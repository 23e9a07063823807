import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Link, type LinkSpeed, PIECE_BYTES } from './link.ts';
import { damage, type MessageFault } from './message-fault.ts';
import { CONTROL, WebSocketStream, type WireFrame } from './websocket-stream.ts';

/** `up`: from the node to the coordinator. */
export type Direction = 'up' | 'down';

export interface ProxyOptions {
  /** Where connections lead. */
  readonly target: { readonly host?: string; readonly port: number };
  readonly up?: LinkSpeed;
  readonly down?: LinkSpeed;
}

/** A fault that waits for its message. */
interface Armed {
  /** None: it is only watched for. */
  readonly fault: MessageFault | undefined;
  readonly direction: Direction;
  /** Says whether a message, of these frames, is the one. */
  readonly wanted: (message: readonly WireFrame[]) => boolean;
  readonly random: () => number;
  readonly done: () => void;
}

/**
 * The network between a node and its coordinator, as bad as one likes: a TCP proxy on loopback that delays, limits bandwidth, holds
 * everything back, cuts, and damages messages. For tests, benchmarks and `lockstep chaos`; root and a kernel with netem are not needed.
 */
export class FaultyProxy {
  readonly port: number;
  readonly #server: Server;
  #target: { readonly host: string; readonly port: number };
  readonly #routes = new Set<Route>();
  readonly #links: Record<Direction, Link>;
  #armed: Armed[] = [];
  #held = new Set<Direction>();

  private constructor(server: Server, { target, up, down }: ProxyOptions) {
    this.#server = server;
    this.#target = { host: '127.0.0.1', ...target };
    this.#links = { up: new Link(up), down: new Link(down) };
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.#connect(socket));
  }

  static async start(options: ProxyOptions): Promise<FaultyProxy> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultyProxy(server, options);
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  get connections(): number {
    return this.#routes.size;
  }

  /** Where connections lead from now on. */
  lead(port: number): void {
    this.#target = { ...this.#target, port };
  }

  /** From now on nothing arrives in these directions, and nobody is told; `heal` delivers what has waited. */
  hold(...directions: readonly Direction[]): void {
    for (const direction of directions.length === 0 ? (['up', 'down'] as const) : directions) this.#held.add(direction);
  }

  heal(): void {
    this.#held = new Set();
    for (const route of this.#routes) route.deliver();
  }

  /** Resets every connection. New ones may come at once. */
  cut(): void {
    for (const route of [...this.#routes]) route.end();
  }

  /**
   * Damages the next message in a direction that is `wanted` (the first that comes, if nothing is said). Resolves when it has
   * happened; `withdraw` ends the waiting.
   */
  damage(
    fault: MessageFault,
    direction: Direction,
    { wanted = () => true, random = Math.random }: Partial<Pick<Armed, 'wanted' | 'random'>> = {},
  ): Promise<void> {
    return new Promise((done) => {
      this.#armed.push({ fault, direction, wanted, random, done });
    });
  }

  /** Resolves when the next message that is `wanted` has come; it has not gone on yet. */
  passing(direction: Direction, wanted: Armed['wanted']): Promise<void> {
    return new Promise((done) => {
      this.#armed.push({ fault: undefined, direction, wanted, random: Math.random, done });
    });
  }

  /** Gives up on faults that wait for their message. */
  withdraw(): void {
    for (const { done } of this.#armed.splice(0)) done();
  }

  async close(): Promise<void> {
    this.withdraw();
    this.cut();
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined;
    this.#server.close();
    await closed;
  }

  #connect(node: Socket): void {
    const coordinator = connect({ ...this.#target, allowHalfOpen: true });
    const pump = (from: Socket, to: Socket, direction: Direction) =>
      new Pump(from, to, this.#links[direction], {
        held: () => this.#held.has(direction),
        alter: (message) => this.#alter(message, direction),
        cut: () => route.end(),
      });
    const route: Route = {
      deliver: () => {
        up.deliver();
        down.deliver();
      },
      end: () => {
        this.#routes.delete(route);
        up.end();
        down.end();
        for (const socket of [node, coordinator]) socket.resetAndDestroy();
      },
    };
    this.#routes.add(route);
    const up = pump(node, coordinator, 'up');
    const down = pump(coordinator, node, 'down');
    for (const socket of [node, coordinator]) {
      socket.setNoDelay(true);
      socket.on('error', () => route.end());
      socket.on('close', () => {
        if (node.closed && coordinator.closed) route.end();
      });
    }
  }

  /** What goes on in place of a message. */
  #alter(message: readonly WireFrame[], direction: Direction): { bytes: readonly Uint8Array[]; cut: boolean } {
    const at = this.#armed.findIndex((armed) => armed.direction === direction && armed.wanted(message));
    if (at < 0) return { bytes: message.map(({ bytes }) => bytes), cut: false };
    const [{ fault, random, done }] = this.#armed.splice(at, 1);
    done();
    if (fault === undefined) return { bytes: message.map(({ bytes }) => bytes), cut: false };
    return damage(message, fault, random);
  }
}

/** One connection through the proxy. */
interface Route {
  deliver(): void;
  end(): void;
}

interface Gate {
  held(): boolean;
  alter(message: readonly WireFrame[]): { bytes: readonly Uint8Array[]; cut: boolean };
  cut(): void;
}

/** One direction of a connection: what comes in goes out when the link has carried it. */
class Pump {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #link: Link;
  readonly #gate: Gate;
  readonly #stream = new WebSocketStream();
  /** Frames of a message that is not whole. */
  #message: WireFrame[] = [];
  /** Pieces under way with their arrival times; without bytes: the end of the stream, or the cut. */
  #queue: { at: number; bytes: Uint8Array | 'end' | 'cut' }[] = [];
  #queued = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(from: Socket, to: Socket, link: Link, gate: Gate) {
    this.#from = from;
    this.#to = to;
    this.#link = link;
    this.#gate = gate;
    from.on('data', (chunk) => this.#take(chunk));
    from.on('end', () => {
      for (const { bytes } of this.#message.splice(0)) this.#send(bytes);
      this.#send(this.#stream.rest());
      this.#send('end');
      this.deliver();
    });
    to.on('drain', () => this.deliver());
  }

  /** Writes what has arrived by now, unless it is held. */
  deliver(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    while (this.#queue.length > 0 && this.#queue[0].at <= now && !this.#gate.held() && !this.#to.writableNeedDrain) {
      const [{ bytes }] = this.#queue.splice(0, 1);
      if (bytes === 'cut') {
        this.#gate.cut();
        return;
      }
      if (bytes === 'end') this.#to.end();
      else if (this.#to.writable) this.#to.write(bytes);
      if (typeof bytes !== 'string') this.#queued -= bytes.length;
    }
    if (this.#ended) return;
    if (this.#queued <= this.#link.window) this.#from.resume();
    const [next] = this.#queue;
    if (next && next.at > now) this.#timer = setTimeout(() => this.deliver(), next.at - now);
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#queue = [];
  }

  #take(chunk: Uint8Array): void {
    for (const part of this.#stream.push(chunk)) {
      if (part instanceof Uint8Array) this.#send(part);
      else if (part.opcode >= CONTROL) this.#send(part.bytes);
      else {
        this.#message.push(part);
        if (!part.final) continue;
        const { bytes, cut } = this.#gate.alter(this.#message.splice(0));
        for (const piece of bytes) this.#send(piece);
        if (cut) this.#send('cut');
      }
    }
    if (this.#queued > this.#link.window) this.#from.pause();
    this.deliver();
  }

  #send(bytes: Uint8Array | 'end' | 'cut'): void {
    if (this.#ended) return;
    const now = performance.now();
    if (typeof bytes === 'string') {
      this.#queue.push({ at: this.#link.arrival(now, 0), bytes });
      return;
    }
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      this.#queue.push({ at: this.#link.arrival(now, piece.length), bytes: piece });
      this.#queued += piece.length;
    }
  }
}
