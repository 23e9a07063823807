import { connect, type NetConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { ReadingMemory } from '../src/kernels/checksum.ts';

/*
 * Sockets that read into one piece of memory, the same for all of the process: a read brings all that there is, no memory is made for it, and
 * what it brought is still in the cache when it is used.
 */

/** Sockets whose `data` listeners are done with the bytes when they return. Others are given copies. */
const promised = new WeakSet<Socket>();

/** From now on what the socket reads is valid until its `data` event is over. Sockets with reads of their own (TLS) go on as before. */
export function usesReadsAtOnce(socket: Socket): void {
  promised.add(socket);
}

function onreadOf({ bytes: memory }: ReadingMemory, socket: () => Socket) {
  return {
    buffer: memory,
    callback(bytes: number): boolean {
      const read = Buffer.from(memory.buffer, memory.byteOffset, bytes);
      socket().emit('data', promised.has(socket()) ? read : Buffer.from(read));
      return true;
    },
  };
}

/** Connects such a socket. */
export function connectSocket(options: NetConnectOpts, memory: ReadingMemory): Socket {
  const socket: Socket = connect({ ...options, onread: onreadOf(memory, () => socket) });
  return socket;
}

/**
 * Such a socket in the place of one that a server has accepted and that is no longer to be used; each ends with the other. Node has no public
 * way from a server's socket to its handle: where there is none, the same socket.
 */
export function replaceSocket(accepted: Socket, memory: ReadingMemory): Socket {
  const owner = accepted as Socket & { _handle?: { readonly useUserBuffer?: unknown } | null };
  const handle = owner._handle;
  if (typeof handle?.useUserBuffer !== 'function') return accepted;
  owner._handle = null;
  const options = { handle, onread: onreadOf(memory, () => socket) };
  const socket: Socket = new Socket(options as SocketConstructorOpts);
  socket.once('close', () => accepted.destroy());
  accepted.once('close', () => socket.destroy());
  return socket;
}
