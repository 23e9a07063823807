import { isIPv6 } from 'node:net';

/** How much of the listener any one address, and all of them together, may take. */
export interface ListenLimits {
  /** Connections at a time. */
  readonly connections: number;
  /** New connections a second and address; twice as many at once. */
  readonly connectionsPerSecond: number;
  /** Failed joins of an address in a row before it has to wait. */
  readonly failedJoins: number;
  /** How long it waits then, in milliseconds; each further failure doubles it, up to `longestBackoffMs`. */
  readonly backoffMs: number;
  readonly longestBackoffMs: number;
  /** From the connection to the end of the WebSocket (and TLS) handshake, in milliseconds. */
  readonly handshakeMs: number;
  /** Bytes that are read of a peer before it has proved itself. */
  readonly unprovenBytes: number;
  /** Frames a second of a connection, those of ws itself (ping, pong) among them. */
  readonly framesPerSecond: number;
}

export const LISTEN_LIMITS: ListenLimits = {
  connections: 256,
  connectionsPerSecond: 32,
  failedJoins: 5,
  backoffMs: 1000,
  longestBackoffMs: 30_000,
  handshakeMs: 10_000,
  unprovenBytes: 128 * 1024, // the longest header of a frame, twice
  framesPerSecond: 200_000,
};

/** Addresses that are remembered; the least recent go first. */
const REMEMBERED = 4096;

interface Visitor {
  /** Connections that it may open now, and when that was computed. */
  tokens: number;
  at: number;
  failures: number;
  /** No connection before this time. */
  closedUntil: number;
}

export type Verdict =
  | { readonly admitted: true }
  | { readonly admitted: false; readonly reason: string; readonly retryMs: number };

/** Decides who may connect, from counts and a clock that is passed in (milliseconds). Pure: no sockets, bounded memory. */
export class Admission {
  readonly #limits: ListenLimits;
  /** In the order of the last visit. */
  readonly #visitors = new Map<string, Visitor>();
  #open = 0;

  constructor(limits: ListenLimits) {
    this.#limits = limits;
  }

  /** Counts a connection in, or says why not. Whoever was admitted is given back by `leave`. */
  admit(address: string, now: number): Verdict {
    const { connections, connectionsPerSecond } = this.#limits;
    const visitor = this.#visit(address, now);
    if (now < visitor.closedUntil) {
      return refused(`${visitor.failures} failed joins from this address`, visitor.closedUntil - now);
    }
    if (visitor.tokens < 1) {
      const retryMs = (1000 * (1 - visitor.tokens)) / connectionsPerSecond;
      return refused(`more than ${connectionsPerSecond} connections a second from this address`, retryMs);
    }
    if (this.#open >= connections) return refused(`${connections} connections are open, and no more may be`, 1000);
    visitor.tokens -= 1;
    this.#open += 1;
    return { admitted: true };
  }

  leave(): void {
    this.#open -= 1;
  }

  get open(): number {
    return this.#open;
  }

  /** A peer did not prove itself, or sent what no node sends. */
  failed(address: string, now: number): void {
    const { failedJoins, backoffMs, longestBackoffMs } = this.#limits;
    const visitor = this.#visit(address, now);
    visitor.failures += 1;
    const beyond = visitor.failures - failedJoins;
    if (beyond >= 0) visitor.closedUntil = now + Math.min(longestBackoffMs, backoffMs * 2 ** Math.min(beyond, 30));
  }

  /** A peer has proved itself: what others did from its address is forgotten. */
  joined(address: string, now: number): void {
    const visitor = this.#visit(address, now);
    visitor.failures = 0;
    visitor.closedUntil = 0;
  }

  #visit(address: string, now: number): Visitor {
    const { connectionsPerSecond } = this.#limits;
    const burst = 2 * connectionsPerSecond;
    const key = networkOf(address);
    const visitor = this.#visitors.get(key) ?? { tokens: burst, at: now, failures: 0, closedUntil: 0 };
    visitor.tokens = Math.min(burst, visitor.tokens + (Math.max(0, now - visitor.at) / 1000) * connectionsPerSecond);
    visitor.at = now;
    this.#visitors.delete(key);
    this.#visitors.set(key, visitor);
    if (this.#visitors.size > REMEMBERED) {
      for (const oldest of this.#visitors.keys()) {
        this.#visitors.delete(oldest);
        break;
      }
    }
    return visitor;
  }
}

/** Whoever has one IPv6 address has 2^64 of them: they count as one. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (v4) return v4[1];
  const [head, tail] = address.split('%')[0].split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array<string>(Math.max(0, zeros)).fill('0'), ...right].slice(0, 4).join(':');
}

function refused(reason: string, retryMs: number): Verdict {
  return { admitted: false, reason, retryMs };
}
