import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { LockstepError } from 'lockstep';
import { afterEach, describe, expect, it } from 'vitest';
import { Connection } from '../../cluster/connection.ts';
import { type DialOptions, dial } from '../../cluster/dial.ts';
import type { Frame } from '../../cluster/frames.ts';
import { type Arrival, type Listener, type ListenOptions, listen } from '../../cluster/listener.ts';
import { localSocketOf } from '../../cluster/local-socket.ts';

const MAX_PAYLOAD = 8 * 1024 * 1024;
const TOKEN = '0123456789abcdef0123456789abcdef';
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

interface Seen extends Listener {
  readonly arrivals: Arrival[];
  readonly refusals: string[];
}

async function start(options: Partial<ListenOptions> = {}): Promise<Seen> {
  const arrivals: Arrival[] = [];
  const refusals: string[] = [];
  const listener = await listen({
    port: 0,
    maxPayload: MAX_PAYLOAD,
    onConnection: (arrival) => void arrivals.push(arrival),
    onRefused: (address, reason) => void refusals.push(`${address} ${reason}`),
    ...options,
  });
  open.push(() => listener.close());
  return { ...listener, arrivals, refusals };
}

async function dialled(url: string, more: Pick<DialOptions, 'token' | 'localSocket'> = {}): Promise<Connection> {
  const connection = await dial(url, { maxPayload: MAX_PAYLOAD, ...more, onMessage() {}, onClose() {} });
  open.push(() => connection.close('the test is over'));
  return connection;
}

/** Names of local sockets that somebody listens at. */
const names = () => readFileSync('/proc/net/unix', 'latin1').match(/@lockstep-[\w-]+/g) ?? [];
const pathOf = ({ host, port }: Listener) => localSocketOf(host, port, undefined) ?? '';
const local = ({ socket }: Arrival) => socket.remotePort === undefined;

/** Status and text that a request by the local socket is answered with. */
function asked(listener: Listener, headers: Record<string, string>, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
    const key = { 'sec-websocket-key': Buffer.alloc(16, 1).toString('base64') };
    const host = { host: `127.0.0.1:${listener.port}` };
    const asking = request({
      socketPath: pathOf(listener),
      path,
      headers: { ...host, ...upgrade, ...key, ...headers },
    });
    asking.on('response', async (response) => resolve(`${response.statusCode} ${await text(response)}`));
    asking.on('upgrade', (response, socket) => {
      open.push(() => socket.destroy());
      resolve(String(response.statusCode));
    });
    asking.on('error', reject);
    asking.end();
  });
}

describe.skipIf(process.platform !== 'linux')('the local socket', () => {
  it('is the way of whoever dials 127.0.0.1: messages of several megabytes cross it whole, both ways', async () => {
    const came: Record<'here' | 'there', Buffer[]> = { here: [], there: [] };
    const keep = (to: Buffer[]) => (frame: Frame) =>
      void to.push(...frame.regions.map((region) => Buffer.from(region)));
    let end: Connection | undefined;
    const listener = await start({
      onConnection({ websocket, socket, address, maxPayload, joined }) {
        joined();
        expect([address, socket.remotePort]).toEqual(['127.0.0.1', undefined]);
        end = new Connection(websocket, socket, { maxPayload, onMessage: keep(came.there), onClose() {} });
      },
    });
    const other = await dial(listener.url, { maxPayload: MAX_PAYLOAD, onMessage: keep(came.here), onClose() {} });
    open.push(() => other.close('the test is over'));
    const bytes = Buffer.from(Uint8Array.from({ length: 5_000_000 }, (_, i) => (i * 7919) >> 3));
    await Promise.all([
      other.send({ type: 'a' }, [bytes]),
      end?.send({ type: 'b' }, [bytes.subarray(3), bytes.subarray(0, 1)]),
    ]);
    while (came.there.length < 1 || came.here.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(
      came.there[0].equals(bytes) &&
        came.here[0].equals(bytes.subarray(3)) &&
        came.here[1].equals(bytes.subarray(0, 1)),
    ).toBe(true);
    expect(end?.peer).toBe('a process of this machine');
  });

  it('is not there without being wanted, for other names of this machine, or with TLS: these come by TCP', async () => {
    const without = await start({ localSocket: false });
    const named = await start({ host: 'localhost' });
    await dialled(without.url);
    await dialled(named.url);
    const usual = await start();
    await dialled(usual.url, { localSocket: false });
    const arrivals = [without, named, usual].flatMap((listener) => listener.arrivals);
    expect(arrivals.map(local)).toEqual([false, false, false]);
    expect(localSocketOf('localhost', 1, undefined)).toBeUndefined();
    expect(names()).not.toContain(`@lockstep-${without.port}`);
  });

  it('gives way to TCP where nobody listens at it, as at the near end of a tunnel', async () => {
    const listener = await start();
    const tunnel = createServer((near) => {
      const far = connect(listener.port, '127.0.0.1');
      near.pipe(far).pipe(near);
      open.push(() => [near, far].map((socket: Socket) => socket.destroy()));
    });
    await listening(tunnel, { port: 0, host: '127.0.0.1' });
    const { port } = tunnel.address() as { port: number };
    await dialled(`ws://127.0.0.1:${port}`);
    expect(listener.arrivals.map(local)).toEqual([false]);
  });

  it('has a name that only those with the token can tell: nobody else can stand between them and the port', async () => {
    const listener = await start({ token: TOKEN });
    const other = await start({ token: TOKEN, localSocket: false });
    const caught: Socket[] = [];
    for (const { port } of [listener, other]) {
      for (const token of [undefined, TOKEN.replace('0', '1')]) {
        const impostor = createServer((socket) => void caught.push(socket));
        await listening(impostor, { path: localSocketOf('127.0.0.1', port, token) });
      }
    }
    await dialled(listener.url, { token: TOKEN });
    await dialled(other.url, { token: TOKEN });
    expect([...listener.arrivals, ...other.arrivals].map(local)).toEqual([true, false]);
    expect(caught).toEqual([]);
    expect(names().join()).not.toContain(TOKEN);
  });

  it('is given up after dialMs where nobody answers, as TCP is, and when the node is to stop', async () => {
    const { port } = await freed();
    const came: Socket[] = [];
    const mute = createServer((socket) => void came.push(socket));
    await listening(mute, { path: localSocketOf('127.0.0.1', port, undefined) });
    const url = `ws://127.0.0.1:${port}`;
    const options = { maxPayload: MAX_PAYLOAD, onMessage() {}, onClose() {} };
    await expect(dial(url, { ...options, dialMs: 50 })).rejects.toThrow(/handshake has timed out/);
    const stop = new AbortController();
    const dialling = dial(url, { ...options, signal: stop.signal });
    stop.abort();
    await expect(dialling).rejects.toThrow(/a request to stop/);
    expect(await text(came[0])).toContain('GET / HTTP/1.1');
    await Promise.allSettled(came.slice(1).map((socket) => text(socket))); // each has ended
  });

  it('drops whoever comes beyond twice the limit, and says so', async () => {
    const listener = await start({ limits: { connections: 1 } });
    const many = Array.from({ length: 3 }, () => connect(pathOf(listener)));
    open.push(() => many.map((socket) => socket.destroy()));
    await Promise.race(many.map((socket) => text(socket)));
    expect(listener.refusals).toEqual(['127.0.0.1 far too many connections']);
  });

  it('answers as the port does: no pages, no foreign hosts, no other paths, and no more than its limit', async () => {
    const listener = await start({ limits: { connections: 1 } });
    expect(await asked(listener, { origin: 'http://evil.example' })).toMatch(/^403 Origin/);
    expect(await asked(listener, { host: 'evil.example' })).toMatch(/^403 Host/);
    expect(await asked(listener, {}, '/admin')).toMatch(/^404/);
    expect(await asked(listener, {})).toBe('101');
    expect(await asked(listener, {})).toMatch(/^429 1 connection/);
    expect(listener.refusals).toHaveLength(4);
    expect(listener.refusals.every((line) => line.startsWith('127.0.0.1 '))).toBe(true);
    expect(listener.arrivals.map(local)).toEqual([true]);
  });

  it('cuts who opens no WebSocket in time, and leaves nothing when it closes', async () => {
    const listener = await start({ limits: { handshakeMs: 1 } });
    const mute = connect(pathOf(listener));
    expect(await text(mute)).toBe('');
    expect(listener.refusals).toEqual(['127.0.0.1 local socket: no WebSocket after 1 ms']);
    expect(names()).toContain(`@lockstep-${listener.port}`);
    const left = connect(pathOf(listener));
    await listener.close();
    expect(await text(left).catch(() => '')).toBe('');
    expect(names()).not.toContain(`@lockstep-${listener.port}`);
  });

  it('ends the listener if somebody else has its name: nodes would come to them', async () => {
    const { port } = await freed();
    const somebody = createServer();
    await listening(somebody, { path: localSocketOf('127.0.0.1', port, undefined) });
    const error = await listen({ port, maxPayload: 1000, onConnection() {} }).catch((thrown: LockstepError) => thrown);
    expect(error).toMatchObject({
      code: 'E_LISTEN',
      message: expect.stringMatching(`@lockstep-${port}.*--no-local-socket`),
    });
    await listening(createServer(), { port, host: '127.0.0.1' }); // the port is given back
  });
});

/** A port that was free just now. */
async function freed(): Promise<{ port: number }> {
  const listener = await start();
  await listener.close();
  open.pop();
  return listener;
}

async function listening(
  server: Server,
  at: { port: number; host: string } | { path: string | undefined },
): Promise<void> {
  open.push(() => new Promise((resolve) => server.close(resolve)));
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(at, () => resolve());
  });
}
