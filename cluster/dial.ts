import type { ClientRequestArgs } from 'node:http';
import type { Socket, TcpNetConnectOpts } from 'node:net';
import { WebSocket } from 'ws';
import { LockstepError } from '../src/errors.ts';
import { ReadingMemory } from '../src/kernels/checksum.ts';
import { CONNECTION_DEFAULTS, Connection, type ConnectionOptions, messageOf, socketLimits } from './connection.ts';
import { localSocketOf } from './local-socket.ts';
import { connectSocket } from './socket-reads.ts';

export interface DialOptions extends ConnectionOptions {
  /**
   * Clients mask what they send, against broken HTTP proxies that would take it for a request. `zero` (default) costs nothing and
   * protects from nothing; with `random` each byte is copied once more.
   */
  mask?: 'zero' | 'random';
  /** Certificates that may sign the coordinator's, for wss:. */
  ca?: string | Buffer;
  /** Come by the coordinator's local socket where it has one. Default true. */
  localSocket?: boolean | undefined;
  /** Tells the name of the coordinator's local socket (local-socket.ts); a proof of it is the caller's. */
  token?: string | undefined;
  dialMs?: number;
  signal?: AbortSignal;
}

/** Opens a connection. Rejects with E_CONNECTION when there is nobody, no WebSocket, or no answer within `dialMs`. */
export function dial(url: string, options: DialOptions): Promise<Connection> {
  const {
    maxPayload,
    memory = ReadingMemory.default,
    mask = 'zero',
    ca,
    localSocket = true,
    token,
    dialMs = CONNECTION_DEFAULTS.dialMs,
    signal,
  } = options;
  return new Promise((resolve, reject) => {
    const fail = (got: string, cause?: unknown) =>
      reject(
        new LockstepError('E_CONNECTION', {
          where: url,
          expected: 'a coordinator that answers',
          got,
          fix: 'start the coordinator first, and look at its address and port',
          cause,
        }),
      );
    if (signal?.aborted) return fail('a request to stop', signal.reason);
    let ws: WebSocket;
    try {
      ws = new WebSocket(url, {
        ...socketLimits(maxPayload),
        ...(new URL(url).protocol === 'ws:' && { createConnection: connectionsInto(memory, localSocket, token) }),
        handshakeTimeout: dialMs,
        ...(ca === undefined ? {} : { ca }),
        ...(mask === 'zero' ? { generateMask: (bytes: Buffer) => bytes.fill(0) } : {}),
      });
    } catch (cause) {
      return fail(messageOf(cause), cause);
    }
    let socket: Socket | undefined;
    const abort = () => ws.terminate();
    signal?.addEventListener('abort', abort, { once: true });
    const failed = (error: Error) => {
      signal?.removeEventListener('abort', abort);
      fail(signal?.aborted ? 'a request to stop' : messageOf(error), error);
    };
    ws.once('upgrade', (response) => {
      socket = response.socket;
    });
    ws.on('error', failed);
    ws.once('open', () => {
      signal?.removeEventListener('abort', abort);
      ws.off('error', failed);
      if (socket === undefined) {
        ws.terminate();
        fail('a connection without a socket');
      } else resolve(new Connection(ws, socket, { ...options, peer: options.peer ?? url }, mask));
    });
  });
}

/**
 * A coordinator on this machine by its local socket, where it has one: others by TCP. TLS has reads of its own. The request's `path` would be
 * one in the file system to a socket.
 */
const connectionsInto =
  (memory: ReadingMemory, byLocal: boolean, token: string | undefined): ClientRequestArgs['createConnection'] =>
  (options, created) => {
    const { host, port, timeout } = options as TcpNetConnectOpts;
    const tcp = () =>
      connectSocket({ ...(options as TcpNetConnectOpts), path: undefined } as TcpNetConnectOpts, memory);
    const path = byLocal ? localSocketOf(host, Number(port), token) : undefined;
    if (path === undefined) return tcp();
    const local = connectSocket({ path, ...(timeout !== undefined && { timeout }) }, memory);
    const elsewhere = () => created(null, tcp());
    local.once('error', elsewhere);
    local.once('connect', () => {
      local.off('error', elsewhere);
      created(null, local);
    });
    return undefined;
  };
