import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { hostname, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { LockstepError } from 'lockstep';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Arrival, type Listener, type ListenOptions, listen } from '../../cluster/listener.ts';

const open: { close(): Promise<void> }[] = [];
const sockets: { destroy?(): void; terminate?(): void }[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) {
    socket.destroy?.();
    socket.terminate?.();
  }
  for (const listener of open.splice(0)) await listener.close();
});

interface Seen extends Listener {
  arrivals: Arrival[];
  refusals: string[];
}

async function start(options: Partial<ListenOptions> = {}): Promise<Seen> {
  const arrivals: Arrival[] = [];
  const refusals: string[] = [];
  const listener = await listen({
    port: 0,
    maxPayload: 1000,
    onConnection: (arrival) => void arrivals.push(arrival),
    onRefused: (address, reason) => void refusals.push(`${address} ${reason}`),
    ...options,
  });
  open.push(listener);
  return { ...listener, arrivals, refusals };
}

/** A client that opens, or the status and text with which it was refused. */
function dial(url: string, headers: Record<string, string> = {}, options = {}): Promise<WebSocket | string> {
  const client = new WebSocket(url, { headers, ...options });
  sockets.push(client);
  return new Promise((resolve, reject) => {
    client.on('open', () => resolve(client));
    client.on('unexpected-response', async (_, response) => resolve(`${response.statusCode} ${await text(response)}`));
    client.on('error', reject);
  });
}

/** What the listener answers to these bytes until it ends the connection. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  socket.write(bytes);
  return text(socket);
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as LockstepError,
  );

/** Resolves when `done` holds, asked again at each turn of the event loop. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
}

describe('the listener', () => {
  it('opens a WebSocket at loopback by default, uncompressed, and tells who came', async () => {
    const listener = await start();
    expect(listener.url).toBe(`ws://127.0.0.1:${listener.port}`);
    const client = (await dial(listener.url)) as WebSocket;
    const [{ websocket, address, socket }] = listener.arrivals;
    expect(address).toBe('127.0.0.1');
    expect(socket.bytesRead).toBeGreaterThan(100);
    expect(client.extensions).toBe('');
    const received = once(websocket, 'message');
    client.send(Buffer.from('hello'));
    expect(String((await received)[0])).toBe('hello');
    expect(listener.refusals).toEqual([]);
  });

  it.each([
    [{ origin: 'http://127.0.0.1' }, '403 Origin "http://127.0.0.1": web pages are not served\n'],
    [{ origin: 'null' }, '403 Origin "null": web pages are not served\n'],
    [{ origin: '' }, '403 Origin "": web pages are not served\n'],
    [{ host: 'evil.example' }, '403 Host "evil.example" is not this machine\n'],
    [{ host: '127.0.0.1.evil.example:1' }, '403 Host "127.0.0.1.evil.example:1" is not this machine\n'],
    [{ host: 'localhost@evil.example' }, '403 Host "localhost@evil.example" is not this machine\n'],
    [{ host: 'evil.example/@localhost' }, '403 Host "evil.example/@localhost" is not this machine\n'],
    [{ host: hostname() }, `403 Host "${hostname()}" is not this machine\n`],
  ])('refuses a request with %j', async (headers, answer) => {
    const listener = await start();
    expect(await dial(listener.url, headers)).toBe(answer);
    expect(listener.arrivals).toEqual([]);
    expect(listener.refusals).toEqual([`127.0.0.1 ${answer.slice(4, -1)}`]);
  });

  it.each(['localhost', 'LOCALHOST:1', '127.0.0.1:65535', '[::1]:80', '127.8.8.8'])(
    'opens for the Host %s, under which tunnels reach it', async (host) => {
      const listener = await start();
      expect(await dial(listener.url, { host })).toBeInstanceOf(WebSocket);
    },
  ); // biome-ignore format: a row

  it('answers no other request, and none at another path', async () => {
    const listener = await start();
    const answer = await raw(listener.port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 426 Upgrade Required\r\n/);
    expect(answer).toMatch(/\r\nupgrade: websocket\r\n/i);
    expect(await raw(listener.port, 'GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n')).toMatch(/^HTTP\/1\.1 403 /);
    expect(await raw(listener.port, 'POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://x\r\n\r\n')).toMatch(/^HTTP\/1\.1 403 /); // biome-ignore format: a row
    expect(await raw(listener.port, 'GET / HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw(listener.port, '\u0000\u0001 nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw(listener.port, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(9000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /); // biome-ignore format: a row
    expect(await dial(`${listener.url}/admin`)).toBe('404 path "/admin" where only / is served\n');
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';
    expect(await raw(listener.port, `GET / HTTP/1.1\r\nHost: localhost\r\n${upgrade}\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
    expect(listener.arrivals).toEqual([]);
    expect(listener.refusals).toHaveLength(8);
  });

  it('cuts connections that open no WebSocket in time: silent, slow, or half refused ones', async () => {
    const listener = await start({ limits: { handshakeMs: 50 } });
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n'; // refused by us, or by ws for the key that it lacks
    for (const bytes of [`GET / HTTP/1.1\r\nHost: evil.example\r\n${upgrade}`, `GET / HTTP/1.1\r\nHost: localhost\r\n${upgrade}`, '', 'GET / HTTP/1.1\r\nHo']) {
      const socket: Socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true });
      sockets.push(socket);
      socket.on('error', () => {});
      socket.write(bytes);
      await once(socket.resume(), 'end'); // its own side stays open
    } // biome-ignore format: a loop
    const client = (await dial(listener.url)) as WebSocket;
    await until(() => listener.refusals.length >= 4);
    expect(listener.refusals.filter((r) => /no WebSocket after 50 ms/.test(r)).length).toBe(2);
    expect(client.readyState).toBe(WebSocket.OPEN); // a WebSocket has no such deadline
  });

  it('limits connections, and takes one more when one has gone', async () => {
    const listener = await start({ limits: { connections: 2 } });
    const [first] = await Promise.all([dial(listener.url), dial(listener.url)]);
    expect(await dial(listener.url)).toBe('429 2 connections are open, and no more may be\n');
    (first as WebSocket).terminate();
    await Promise.race(listener.arrivals.map(({ socket }) => once(socket, 'close')));
    expect(await dial(listener.url)).toBeInstanceOf(WebSocket);
  });

  it('lets an address wait whose peers fail to prove themselves, until one does', async () => {
    const listener = await start({ limits: { failedJoins: 2, backoffMs: 3_600_000 } });
    await dial(listener.url);
    listener.arrivals[0].failed('wrong token');
    await dial(listener.url);
    listener.arrivals[1].failed('wrong token');
    expect(await dial(listener.url)).toBe('429 2 failed joins from this address\n');
    expect(listener.refusals).toEqual(['wrong token', 'wrong token', '2 failed joins from this address'].map((r) => `127.0.0.1 ${r}`)); // biome-ignore format: a row
    listener.arrivals[0].joined();
    expect(await dial(listener.url)).toBeInstanceOf(WebSocket);
  });

  it('ends a connection that floods it with frames', async () => {
    const listener = await start({ limits: { framesPerSecond: 20 } });
    const client = (await dial(listener.url)) as WebSocket;
    for (let i = 0; i < 20; i++) client.ping();
    await new Promise((resolve) => client.ping(resolve));
    const [code] = await once(client, 'close');
    expect(code).toBe(1006);
    expect(listener.refusals).toEqual(['127.0.0.1 more than 20 frames a second']);
  });

  it('reads little of a peer that has not proved itself, and all of one that has', async () => {
    const listener = await start({ maxPayload: 2 ** 20, limits: { unprovenBytes: 1000 } });
    const unproven = (await dial(listener.url)) as WebSocket;
    unproven.send(Buffer.alloc(500));
    await once(listener.arrivals[0].websocket, 'message');
    unproven.send(Buffer.alloc(500));
    expect((await once(unproven, 'close'))[0]).toBe(1006);
    expect(listener.refusals).toEqual(['127.0.0.1 more than 1000 bytes before a proof']);
    const proven = (await dial(listener.url)) as WebSocket;
    listener.arrivals[1].joined();
    proven.send(Buffer.alloc(2 ** 20));
    expect((await once(listener.arrivals[1].websocket, 'message'))[0]).toHaveLength(2 ** 20);
  });

  it('reads no message that is longer than its limit', async () => {
    const listener = await start();
    const client = (await dial(listener.url)) as WebSocket;
    client.send(Buffer.alloc(1001));
    expect((await once(client, 'close'))[0]).toBe(1009);
    await expect(start({ maxPayload: 2 ** 31 })).rejects.toThrow(RangeError); // ws would read it as no limit
  });

  it('says which port is taken, and by what right a port or name is not to be had', async () => {
    const { port } = await start();
    const taken = await failure(start({ port }));
    expect(taken).toBeInstanceOf(LockstepError);
    expect(taken).toMatchObject({ code: 'E_LISTEN', message: expect.stringMatching(`127.0.0.1:${port}: .*another process`) }); // biome-ignore format: a row
    const elsewhere = await failure(start({ host: '192.0.2.1', insecure: true }));
    expect(elsewhere).toMatchObject({ code: 'E_LISTEN', message: expect.stringMatching('an address of this machine') });
  });

  it('wants TLS beyond loopback, or to be told that there is none', async () => {
    for (const host of ['0.0.0.0', '::', hostname(), '192.0.2.1']) {
      const error = await failure(start({ host }));
      expect(error).toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/--insecure.*neither secret nor authenticated/) }); // biome-ignore format: a row
    }
    expect((await start({ host: '0.0.0.0', insecure: true })).url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
  });

  it('at all addresses takes the one that was dialled for a Host, and no name', async () => {
    const ours = Object.values(networkInterfaces()).flat().find((a) => a?.family === 'IPv4' && !a.internal)?.address; // biome-ignore format: a row
    const { port } = await start({ host: '0.0.0.0', insecure: true });
    expect(await dial(`ws://127.0.0.1:${port}`, { host: '192.0.2.1' })).toMatch(/^403/);
    expect(await dial(`ws://127.0.0.1:${port}`, { host: 'evil.example' })).toMatch(/^403/);
    if (ours !== undefined) expect(await dial(`ws://${ours}:${port}`)).toBeInstanceOf(WebSocket);
  });

  it('gives the port back and cuts everybody when it closes', async () => {
    const listener = await start();
    const client = (await dial(listener.url)) as WebSocket;
    const silent = connect(listener.port, '127.0.0.1').on('error', () => {});
    await once(silent, 'connect');
    const [gone] = await Promise.all([once(client, 'close'), once(silent, 'close'), listener.close()]);
    expect(gone[0]).toBe(1006);
    const next = createServer().listen(listener.port, '127.0.0.1');
    await once(next, 'listening');
    await new Promise((resolve) => next.close(resolve));
    expect(listener.refusals).toEqual([]);
    await listener.close(); // twice does nothing
  });
});

describe('with TLS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-tls-'));
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' }); // biome-ignore format: a command
  const tls = { cert: readFileSync(cert), key: readFileSync(key) };
  rmSync(folder, { recursive: true });

  it('takes clients that know its authority, at any address, and no plain ones', async () => {
    const listener = await start({ tls, limits: { handshakeMs: 500 } });
    expect(listener.url).toBe(`wss://127.0.0.1:${listener.port}`);
    expect(await dial(listener.url, {}, { ca: tls.cert })).toBeInstanceOf(WebSocket);
    await expect(dial(listener.url)).rejects.toThrow(/self-signed/);
    await expect(dial(listener.url.replace('wss', 'ws'))).rejects.toThrow();
    await expect(dial(listener.url, {}, { ca: tls.cert, maxVersion: 'TLSv1.2' })).rejects.toThrow();
    expect(await dial(listener.url, { origin: 'https://x' }, { ca: tls.cert })).toMatch(/^403/);
    expect((await start({ tls, host: '0.0.0.0' })).url).toMatch(/^wss:/);
    const silent = connect(listener.port, '127.0.0.1').on('error', () => {});
    sockets.push(silent);
    await once(silent, 'close'); // at the deadline of the handshake
    expect(listener.arrivals).toHaveLength(1);
  });

  it('refuses what is no certificate with its key', async () => {
    expect(await failure(start({ tls: { cert: 'x', key: 'y' } }))).toMatchObject({ code: 'E_OPTION' });
    expect(await failure(start({ tls: { cert: tls.cert, key: tls.cert } }))).toMatchObject({ code: 'E_OPTION' });
  });
});

it('answers HTTP clients that keep their connection open, and closes it', async () => {
  const { port } = await start();
  const client = request({ port, host: '127.0.0.1', agent: false }).end();
  const [response] = await once(client, 'response');
  expect(response.statusCode).toBe(426);
  expect(response.headers.connection).toBe('close');
  expect(await text(response)).toBe('a request that opens no WebSocket\n');
});
