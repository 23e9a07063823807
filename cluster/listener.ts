import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, isIPv6, type Server as LocalServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { quote } from '../src/checkpoint/damage.ts';
import { LockstepError } from '../src/errors.ts';
import { ReadingMemory } from '../src/kernels/checksum.ts';
import { Admission, LISTEN_LIMITS, type ListenLimits } from './admission.ts';
import { socketLimits } from './connection.ts';
import { listenLocally, localSocketOf } from './local-socket.ts';
import { isLoopback } from './security.ts';
import { replaceSocket } from './socket-reads.ts';

/** Certificate and private key in PEM: their content, not where they lie. */
export interface ServerTls {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
}

export interface ListenOptions {
  /** Name or address of this machine to listen at; beside loopback names the only Host that requests may carry. Default 127.0.0.1. */
  readonly host?: string;
  /** 0 takes any free one. */
  readonly port: number;
  readonly tls?: ServerTls;
  /** Listen beyond loopback without TLS: frames are then neither secret nor authenticated. Default false. */
  readonly insecure?: boolean;
  /** Have nodes of this machine come by a Unix domain socket beside the port, where that is one of 127.0.0.1 without TLS. Default true. */
  readonly localSocket?: boolean;
  /** Tells those who have it the name of that socket; whoever connects proves nothing by it. */
  readonly token?: string;
  /** Bytes of the longest message that is read. */
  readonly maxPayload: number;
  /** Into which sockets read; default: one that all of the process share. */
  readonly memory?: ReadingMemory;
  readonly limits?: Partial<ListenLimits>;
  /** A peer has opened a WebSocket and has proved nothing yet. Must not throw. */
  onConnection(arrival: Arrival): void;
  /** Somebody was not let in, for a log. Must not throw. */
  onRefused?(address: string, reason: string): void;
}

export interface Arrival {
  readonly websocket: WebSocket;
  /** The socket beneath, for its byte counters. */
  readonly socket: Socket;
  /** IP address of the peer; 127.0.0.1 of one that came by the local socket. */
  readonly address: string;
  /** Bytes of the longest message that is read. */
  readonly maxPayload: number;
  /** Tells the listener of a message that did not go through the WebSocket. */
  heard(): void;
  /** Tells the listener that the peer has proved itself: it may send at length, earlier failures from its address are forgotten. */
  joined(): void;
  /** Tells the listener that it did not: its address has to wait after several. With a reason for the log, if nobody has told. Does not close. */
  failed(reason?: string): void;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  /** As a node on this machine dials it. */
  readonly url: string;
  /** Cuts every connection and gives the port back; resolves when nothing of it is left. */
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';
/** Longest head of a request; ours has some 250 bytes. */
const HEADER_BYTES = 8192;

/**
 * Listens for nodes. Answers nothing but the opening of a WebSocket at `/`, without an Origin (browsers send one) and for a Host that is
 * this machine (a page whose name was made to resolve to loopback has another); everything is bounded by `limits`.
 *
 * @throws E_OPTION for an address beyond loopback without TLS and without `insecure`, or an unusable certificate; E_LISTEN for an
 * address or port that cannot be had.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { host = LOOPBACK, port, tls, insecure = false, localSocket = true } = options;
  const { token, maxPayload, memory = ReadingMemory.default } = options;
  const limits = { ...LISTEN_LIMITS, ...defined(options.limits) };
  if (!Number.isSafeInteger(maxPayload) || maxPayload < 1 || maxPayload >= 2 ** 31) {
    throw new RangeError(`listener: ws takes no limit of ${maxPayload} bytes`); // it would read 2^31 as none
  }
  if (!tls && !insecure && !isLoopback(host)) {
    throw new LockstepError('E_OPTION', {
      where: `listener at ${host}`,
      expected: 'TLS for an address beyond loopback',
      got: 'no certificate',
      fix: 'give a certificate and its key (--tls-cert, --tls-key), tunnel through ssh, or accept with --insecure that frames are neither secret nor authenticated',
    });
  }
  const admission = new Admission(limits);
  const now = () => performance.now();
  const server = createHttpServer(tls, limits, host);
  const webSockets = new WebSocketServer({ noServer: true, clientTracking: false, ...socketLimits(maxPayload) });
  /** Those that came by the local socket. */
  const locals = new WeakSet<Duplex>();
  const addressOf = (socket: Duplex) => (locals.has(socket) ? LOOPBACK : plain((socket as Socket).remoteAddress));
  /** The peer's address and port: TLS hides the socket beneath it. */
  const keyOf = (socket: Socket) => (locals.has(socket) ? socket : `${socket.remoteAddress} ${socket.remotePort}`);
  /** Every connection that the operating system has handed out. */
  const sockets = new Map<string | Socket, { socket: Socket; deadline: NodeJS.Timeout; refused: boolean }>();
  let closing = false;

  const log = (address: string, reason: string) => {
    if (!closing) options.onRefused?.(address, reason);
  };
  /** Answers and ends; a peer that does not end its side, too, is cut at the deadline of the handshake. */
  const refuse = (socket: Duplex, address: string, status: number, reason: string, headers: readonly string[] = []) => {
    log(address, reason);
    const entry = sockets.get(keyOf(socket as Socket));
    if (entry) entry.refused = true;
    const body = `${reason}\n`;
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'Connection: close',
      'Content-Type: text/plain; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(body)}`,
      ...headers,
    ];
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  };

  server.maxConnections = 2 * limits.connections; // the others are told why they have to wait
  const dropped = (address: string) => log(address, 'far too many connections');
  server.on('drop', (data) => dropped(plain(data?.remoteAddress)));
  server.on('connection', (socket: Socket) => {
    const { remotePort } = socket;
    const address = addressOf(socket);
    if (address === UNKNOWN) return void socket.destroy(); // gone already
    const key = keyOf(socket);
    socket.on('error', () => {}); // 'close' follows; nobody else listens before the WebSocket is open
    const deadline = setTimeout(() => {
      if (!entry.refused && !socket.writableEnded)
        log(
          address,
          `${remotePort === undefined ? 'local socket' : `port ${remotePort}`}: no WebSocket after ${limits.handshakeMs} ms`,
        );
      socket.destroy();
    }, limits.handshakeMs);
    const entry = { socket, deadline, refused: false };
    sockets.set(key, entry);
    socket.once('close', () => {
      clearTimeout(deadline);
      sockets.delete(key);
    });
  });
  server.on('tlsClientError', (error, socket) => log(plain(socket.remoteAddress), `TLS: ${error.message}`));
  server.on('clientError', (error: Error, socket: Duplex) => {
    if (!socket.writable) return void socket.destroy();
    refuse(socket, addressOf(socket), 400, `not HTTP: ${error.message}`);
  });
  server.on('request', (request, response) => {
    const address = addressOf(request.socket);
    const { status, reason } = refusal(request, host) ?? { status: 426, reason: 'a request that opens no WebSocket' };
    log(address, reason);
    const headers = { connection: 'close', ...(status === 426 ? { upgrade: 'websocket' } : {}) };
    response.writeHead(status, headers).end(`${reason}\n`);
  });
  server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    const socket = request.socket;
    const address = addressOf(socket);
    if (socket.destroyed) return;
    const foreign = refusal(request, host);
    if (foreign) return refuse(stream, address, foreign.status, foreign.reason);
    const verdict = admission.admit(address, now());
    if (!verdict.admitted) {
      return refuse(stream, address, 429, verdict.reason, [`Retry-After: ${Math.ceil(verdict.retryMs / 1000)}`]);
    }
    socket.once('close', () => admission.leave());
    const upgraded = tls ? socket : replaceSocket(socket, memory);
    webSockets.handleUpgrade(request, upgraded, head, (websocket) => {
      clearTimeout(sockets.get(keyOf(socket))?.deadline);
      websocket.on('error', () => {}); // ws closes it; who wants to know listens too
      const cut = (reason: string) => {
        log(address, reason);
        websocket.terminate();
      };
      const heard = limitFrames(websocket, limits.framesPerSecond, now, cut);
      let proven = false;
      let unlimit = () => {};
      options.onConnection({
        websocket,
        socket: upgraded,
        address,
        maxPayload,
        heard,
        joined() {
          proven = true;
          unlimit();
          admission.joined(address, now());
        },
        failed(reason) {
          admission.failed(address, now());
          if (reason !== undefined) log(address, reason);
        },
      });
      if (!proven) unlimit = limitBytes(upgraded, limits.unprovenBytes, cut); // after the connection, which takes listeners away
    });
  });
  webSockets.on('wsClientError', (error, stream, request) => {
    refuse(stream, addressOf(request.socket), 400, error.message);
  });

  server.listen({ host, port });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw unlistenable(host, port, error);
  }
  server.on('error', (error) => log('unknown', error.message)); // a connection that could not be accepted
  const address = server.address() as AddressInfo;
  const path = localSocket && !tls ? localSocketOf(address.address, address.port, token) : undefined;
  const accept = (socket: Socket) => {
    locals.add(socket);
    server.emit('connection', socket);
  };
  let local: LocalServer | undefined;
  const close = async () => {
    closing = true;
    const closed = [server, local].map((of) => (of?.listening ? once(of, 'close') : undefined));
    server.close();
    local?.close();
    for (const { socket } of [...sockets.values()]) socket.destroy();
    await Promise.all(closed);
  };
  try {
    if (path !== undefined) local = await listenLocally(path, server.maxConnections, accept, () => dropped(LOOPBACK));
  } catch (error) {
    await close();
    throw new LockstepError('E_LISTEN', {
      where: `local socket beside port ${address.port}`,
      expected: 'a name that nobody has',
      got: `another process that listens at @${path?.slice(1)}`,
      fix: 'end that process, take another port (--port), or have coordinator and nodes do with TCP (--no-local-socket)',
      cause: error,
    });
  }
  return {
    host,
    port: address.port,
    url: `${tls ? 'wss' : 'ws'}://${inUrl(dialled(host))}:${address.port}`,
    close,
  };
}

function createHttpServer(tls: ServerTls | undefined, limits: ListenLimits, host: string): Server {
  const { handshakeMs } = limits;
  const http = {
    maxHeaderSize: HEADER_BYTES,
    headersTimeout: handshakeMs,
    requestTimeout: handshakeMs,
    keepAlive: true,
  };
  if (!tls) return createServer(http);
  try {
    const { cert, key } = tls;
    return createSecureServer({
      ...http,
      cert: Buffer.from(cert),
      key: Buffer.from(key),
      minVersion: 'TLSv1.3', // both ends are ours
      handshakeTimeout: handshakeMs,
    });
  } catch (cause) {
    throw new LockstepError('E_OPTION', {
      where: `listener at ${host}`,
      expected: 'a certificate and its private key in PEM (--tls-cert, --tls-key)',
      got: cause instanceof Error ? cause.message : String(cause),
      fix: 'give two files that belong together, the key without a passphrase',
      cause,
    });
  }
}

/** Why a request is none that a node sends. */
function refusal(request: IncomingMessage, host: string): { status: number; reason: string } | undefined {
  const { origin, host: named } = request.headers;
  if (origin !== undefined) return { status: 403, reason: `Origin ${quote(origin)}: web pages are not served` };
  if (named === undefined) return { status: 400, reason: 'no Host' };
  if (!isOurs(named, host, request.socket)) return { status: 403, reason: `Host ${quote(named)} is not this machine` };
  if (request.url !== '/') return { status: 404, reason: `path ${quote(request.url ?? '')} where only / is served` };
  return undefined;
}

/**
 * Whether a Host header means us: loopback or the name that we listen at. The port may be any, for tunnels have their own. At all
 * addresses at once there is no name: then the address at which the connection came in, which no DNS can turn into ours.
 */
function isOurs(header: string, host: string, socket: Socket): boolean {
  let name: string;
  try {
    const url = new URL(`http://${header}/`);
    if (url.username || url.password || url.pathname !== '/' || url.search || url.hash) return false;
    name = url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  } catch {
    return false;
  }
  if (isLoopback(name)) return true;
  if (isWildcard(host)) return name === plain(socket.localAddress);
  return name === host.toLowerCase();
}

/** Ends a connection that sends more than `most` bytes, until it is lifted: ws gathers a message of any length below its limit. */
function limitBytes(socket: Socket, most: number, onExceeded: (reason: string) => void): () => void {
  const already = socket.bytesRead;
  const count = () => {
    if (socket.bytesRead - already <= most) return;
    lift();
    onExceeded(`more than ${most} bytes before a proof`);
  };
  const lift = () => void socket.off('data', count);
  socket.on('data', count);
  return lift;
}

/** Ends a connection that sends more frames a second than `most`: small ones cost far more than their bytes. */
function limitFrames(
  websocket: WebSocket,
  most: number,
  now: () => number,
  onExceeded: (reason: string) => void,
): () => void {
  let since = now();
  let frames = 0;
  const count = () => {
    frames += 1;
    if (frames <= most) return;
    const at = now();
    if (at - since < 1000) {
      frames = Number.NEGATIVE_INFINITY; // once
      onExceeded(`more than ${most} frames a second`);
      return;
    }
    since = at;
    frames = 1;
  };
  for (const event of ['message', 'ping', 'pong'] as const) websocket.on(event, count);
  return count;
}

function unlistenable(host: string, port: number, cause: unknown): LockstepError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const where = `listener at ${inUrl(host)}:${port}`;
  const details = {
    EADDRINUSE: ['a free port', 'one at which another process listens', 'end that process, or choose another port (--port; 0 takes any free one)'],
    EACCES: ['a port that this user may listen at', 'one that is not granted', 'choose a port above 1023 (--port)'],
    EADDRNOTAVAIL: ['an address of this machine', `${host}, which is none`, 'give a name or address of this machine (--host)'],
    ENOTFOUND: ['a name that resolves to this machine', `${host}, which is not known`, 'give a name or address of this machine (--host)'],
  }[code] ?? ['an address to listen at', cause instanceof Error ? cause.message : String(cause), 'choose another (--host, --port)']; // biome-ignore format: a table
  const [expected, got, fix] = details;
  return new LockstepError('E_LISTEN', { where, expected, got, fix, cause });
}

const UNKNOWN = 'unknown';
const isWildcard = (host: string) => host === '0.0.0.0' || host === '::' || host === '';
/** How this machine reaches a listener at `host`. */
const dialled = (host: string) => (isWildcard(host) ? LOOPBACK : host);
const inUrl = (host: string) => (isIPv6(host) ? `[${host}]` : host);
/** IPv4 as itself also where the listener is an IPv6 one. */
const plain = (address: string | undefined) => address?.replace(/^::ffff:(?=\d+\.)/, '') ?? UNKNOWN;

function defined<T extends object>(given: T | undefined): Partial<T> {
  return Object.fromEntries(Object.entries(given ?? {}).filter(([, value]) => value !== undefined)) as Partial<T>;
}
