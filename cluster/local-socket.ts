import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

/*
 * Nodes on the coordinator's own machine come by a Unix domain socket: bytes go from process to process in less CPU time than over TCP's
 * loopback (docs/log.md), whose segments, acknowledgements and pacing have nothing to do there. It stands beside the TCP port, and what is said
 * over it is the same.
 *
 * Its name is in Linux's abstract namespace: no file that could be left over, and, as for the port, one for each network namespace. Anybody may
 * take a name there, also where a port of ours is not this coordinator's own (the near end of a tunnel, an address beside 127.0.0.1), and would stand
 * between node and coordinator. So it is one that only those who have the token can tell.
 */

/** Name of the local socket beside port `port` of `host`, if it can have one: 127.0.0.1 alone, on Linux. */
export function localSocketOf(
  host: string | null | undefined,
  port: number,
  token: string | undefined,
): string | undefined {
  if (process.platform !== 'linux' || host !== '127.0.0.1') return undefined;
  if (token === undefined) return `\0lockstep-${port}`;
  const secret = createHmac('sha256', token).update(`lockstep local socket\0${port}`).digest('hex');
  return `\0lockstep-${port}-${secret.slice(0, 32)}`;
}

/**
 * Listens there as well. Undefined where the system has no such sockets.
 *
 * @throws the system's EADDRINUSE if somebody else has the name: nodes would come to them.
 */
export async function listenLocally(
  path: string,
  maxConnections: number,
  onConnection: (socket: Socket) => void,
  onDrop: () => void,
): Promise<Server | undefined> {
  const server = createServer({ allowHalfOpen: true }, onConnection); // as those of HTTP
  server.maxConnections = maxConnections;
  server.on('drop', onDrop);
  server.listen({ path });
  try {
    await once(server, 'listening');
    server.on('error', () => {}); // a connection that could not be accepted: its node comes by TCP
    return server;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') throw error;
    return undefined;
  }
}
