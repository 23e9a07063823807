import { once } from 'node:events';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { LinkSpeed } from '../../../cluster/faults/link.ts';
import { MESSAGE_FAULTS, type MessageFault } from '../../../cluster/faults/message-fault.ts';
import { FaultyProxy } from '../../../cluster/faults/proxy.ts';
import { messageFrame, payloadOf, WebSocketStream } from '../../../cluster/faults/websocket-stream.ts';
import { philox } from '../../fixtures/philox.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Peers {
  proxy: FaultyProxy;
  client: WebSocket;
  server: WebSocket;
  /** What has come at the server, and how the connection ended. */
  received: string[];
  closed: Promise<number>;
}

/** A client that talks to a server through the proxy. */
async function peers(speed: { up?: LinkSpeed; down?: LinkSpeed } = {}): Promise<Peers> {
  const listener = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 1e6 });
  ends.push(() => new Promise((resolve) => void listener.close(() => resolve())));
  await once(listener, 'listening');
  const proxy = await FaultyProxy.start({ target: { port: (listener.address() as { port: number }).port }, ...speed });
  ends.push(() => proxy.close());
  const arrived = once(listener, 'connection');
  const client = new WebSocket(proxy.url);
  ends.push(() => client.terminate());
  client.on('error', () => {});
  const [server] = (await arrived) as [WebSocket];
  await once(client, 'open');
  const received: string[] = [];
  server.on('message', (data) => received.push(String(data)));
  server.on('error', () => {});
  ends.push(() => server.terminate());
  const closed = new Promise<number>((resolve) => server.on('close', (code) => resolve(code)));
  return { proxy, client, server, received, closed };
}

describe('a proxy', () => {
  it('without faults changes nothing, in both directions, whatever the size', async () => {
    const { proxy, client, server } = await peers();
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 999_999]) {
      const message = Buffer.alloc(size, 'lockstep');
      for (const [from, to] of [[client, server], [server, client]]) {
        const received = once(to, 'message');
        from.send(message);
        expect(Buffer.compare((await received)[0] as Buffer, message)).toBe(0);
      } // biome-ignore format: a loop
    }
    expect(proxy.connections).toBe(1);
    const closed = once(server, 'close');
    client.close(1000, 'bye');
    expect(String((await closed)[1])).toBe('bye');
  });

  it('limits the bandwidth of a direction, and delays it', async () => {
    const { client, server } = await peers({ up: { bytesPerSecond: 2e6, delayMs: 30 }, down: { delayMs: 20 } });
    const began = performance.now();
    const received = once(server, 'message');
    client.send(Buffer.alloc(200_000));
    await received;
    expect(performance.now() - began).toBeGreaterThan(100 + 30 - 2);
    const answered = once(client, 'pong');
    client.ping();
    const pinged = performance.now();
    await answered;
    expect(performance.now() - pinged).toBeGreaterThan(50 - 2);
  });

  it('holds a direction until it is healed, and delivers then in order', async () => {
    const { proxy, client, server, received } = await peers();
    proxy.hold('up');
    for (const text of ['a', 'b', 'c']) client.send(text);
    const down = once(client, 'message'); // the other direction goes on
    server.send('x');
    await down;
    expect(received).toEqual([]);
    const third = new Promise<void>((resolve) => server.on('message', (data) => String(data) === 'c' && resolve()));
    proxy.heal();
    await third;
    expect(received).toEqual(['a', 'b', 'c']);
  });

  it('cuts connections, and takes new ones', async () => {
    const { proxy, client, closed } = await peers();
    const ended = once(client, 'close');
    proxy.cut();
    expect((await ended)[0]).toBe(1006);
    expect(await closed).toBe(1006);
    expect(proxy.connections).toBe(0);
    const again = new WebSocket(proxy.url);
    ends.push(() => again.terminate());
    await once(again, 'open');
    expect(proxy.connections).toBe(1);
  });

  const outcome: Record<MessageFault, [received: string[] | RegExp, code?: number]> = {
    duplicate: [['before', 'the message', 'the message', 'after']],
    drop: [['before', 'after']],
    truncate: [/^before\|(?!the message\|)[the message]*\|after$/],
    flip: [/^before\|.{11}\|after$/s],
    oversize: [['before'], 1006],
    cut: [['before'], 1006],
  };
  it.each(MESSAGE_FAULTS)('damages one message: %s', async (fault) => {
    const { proxy, client, server, received, closed } = await peers();
    const [expected, code] = outcome[fault];
    const happened = proxy.damage(fault, 'up', {
      wanted: (message) => Buffer.concat(message.map(payloadOf)).toString().startsWith('the'),
      random: philox(7),
    });
    const last = new Promise<void>((resolve) => server.on('message', (data) => String(data) === 'after' && resolve()));
    client.send('before');
    client.send('the ', { fin: false }); // in two frames
    client.send('message', { fin: true });
    client.send('after');
    await happened;
    if (code === undefined) await last;
    else expect(await closed).toBe(code);
    if (Array.isArray(expected)) expect(received).toEqual(expected);
    else expect(received.join('|')).toMatch(expected);
    if (fault === 'flip') {
      const bits = [...Buffer.from('the message')].map((byte, i) => byte ^ Buffer.from(received[1], 'latin1')[i]);
      expect(bits.filter((b) => b !== 0).map((b) => b & (b - 1))).toEqual([0]);
    }
  });

  it('gives up faults that never met their message', async () => {
    const { proxy } = await peers();
    const happened = proxy.damage('flip', 'down');
    proxy.withdraw();
    await happened;
  });
});

describe('a WebSocket stream', () => {
  it('is cut into the same frames however it comes', () => {
    const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n';
    const payloads = [0, 1, 125, 126, 300, 65_536].map((n) => new Uint8Array(n).map((_, i) => i));
    const whole = Buffer.concat([Buffer.from(head), ...payloads.map((p, i) => messageFrame(p, i % 2 === 0))]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: whole.length - 1 }), { maxLength: 20 }), (cuts) => {
        const stream = new WebSocketStream();
        const places = [0, ...cuts.sort((a, b) => a - b), whole.length];
        const parts = places.slice(1).flatMap((end, i) => stream.push(whole.subarray(places[i], end)));
        expect(stream.rest()).toHaveLength(0);
        expect(Buffer.from(parts[0] as Uint8Array).toString()).toBe(head);
        const frames = parts.slice(1).map((part) => payloadOf(part as never));
        return frames.length === payloads.length && frames.every((f, i) => Buffer.compare(f, payloads[i]) === 0);
      }),
      { numRuns: 50 },
    );
  });

  it('that is none passes as it is: TLS, a refusal', () => {
    for (const text of ['\u0016\u0003\u0001 and much more of it', 'HTTP/1.1 403 Forbidden\r\n\r\n']) {
      const stream = new WebSocketStream();
      expect(Buffer.concat(stream.push(Buffer.from(text, 'latin1')) as Uint8Array[]).toString('latin1')).toBe(text);
      expect(stream.push(Buffer.from('more'))).toEqual([Buffer.from('more')]);
    }
  });
});
