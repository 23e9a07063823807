import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { Connection, type ConnectionEnd, type ConnectionOptions, socketLimits } from '../../cluster/connection.ts';
import { dial } from '../../cluster/dial.ts';
import { FaultyProxy } from '../../cluster/faults/proxy.ts';
import { encodeFrame, type Frame, FrameError } from '../../cluster/frames.ts';

const MAX_PAYLOAD = 8 * 1024 * 1024;

/** One end as a test sees it: what came, copied, and how it ended. */
class End {
  readonly frames: { header: unknown; regions: Buffer[] }[] = [];
  readonly ended: Promise<ConnectionEnd>;
  readonly options: ConnectionOptions;
  #waiting: (() => void)[] = [];

  constructor(options: Partial<ConnectionOptions> = {}) {
    let end: (end: ConnectionEnd) => void = () => {};
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.options = {
      maxPayload: MAX_PAYLOAD,
      onMessage: (frame: Frame) => {
        this.frames.push({ header: frame.header, regions: frame.regions.map((region) => Buffer.from(region)) });
        for (const wake of this.#waiting.splice(0)) wake();
      },
      onClose: end,
      ...options,
    };
  }

  async got(count: number): Promise<typeof this.frames> {
    while (this.frames.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.frames;
  }
}

let http: Server;
let server: WebSocketServer;
let url: string;
const open: (Connection | Socket)[] = [];

beforeEach(async () => {
  http = createServer();
  server = new WebSocketServer({ server: http, ...socketLimits(MAX_PAYLOAD) });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/`;
});

afterEach(async () => {
  for (const client of server.clients) client.terminate();
  for (const each of open.splice(0)) each instanceof Connection ? each.close('the test is over') : each.destroy();
  await new Promise((resolve) => http.close(resolve));
});

async function accepted(end: End): Promise<Connection> {
  const [ws, request] = (await once(server, 'connection')) as [WebSocket, { socket: Socket }];
  return new Connection(ws, request.socket, end.options);
}

/** Both ends of a connection, over `through` where it is given. */
async function pair(
  {
    near = {},
    far = {},
    mask,
  }: { near?: Partial<ConnectionOptions>; far?: Partial<ConnectionOptions>; mask?: 'random' } = {},
  at = url,
) {
  const client = new End(near);
  const coordinator = new End(far);
  const [node, peer] = await Promise.all([dial(at, { ...client.options, mask }), accepted(coordinator)]);
  open.push(node, peer);
  return { node, peer, client, coordinator };
}

/** A connection whose far end is a plain WebSocket of the test's. */
async function toPlain(near: Partial<ConnectionOptions> = {}) {
  const client = new End(near);
  const [node, [plain]] = await Promise.all([
    dial(url, client.options),
    once(server, 'connection') as Promise<[WebSocket]>,
  ]);
  open.push(node);
  plain.on('error', () => {});
  return { node, plain, client };
}

describe('a connection', () => {
  it('carries frames both ways, in order, with regions of shared memory as they were', async () => {
    const memory = new WebAssembly.Memory({ initial: 40, maximum: 40, shared: true });
    const floats = new Float32Array(memory.buffer, 64, 600_001).map((_, i) => Math.sin(i));
    new Float32Array(memory.buffer, 64, 600_001).set(floats);
    const region = new Uint8Array(memory.buffer, 64, floats.byteLength);
    for (const mask of [undefined, 'random'] as const) {
      const { node, peer, client, coordinator } = await pair({ mask });
      const sending: Promise<void>[] = [];
      for (let i = 0; i < 4; i++) {
        sending.push(node.send({ type: 'sums', i }, [region, region.subarray(0, 3), region.subarray(1, 1000)]));
        sending.push(peer.send({ type: 'parameters', i }, [region]));
      }
      await Promise.all(sending);
      const up = await coordinator.got(4);
      const down = await client.got(4);
      expect(up.map(({ header }) => header)).toEqual([0, 1, 2, 3].map((i) => ({ type: 'sums', i })));
      expect(down.map(({ header }) => header)).toEqual([0, 1, 2, 3].map((i) => ({ type: 'parameters', i })));
      const expected = Buffer.from(region);
      for (const { regions } of up) {
        expect(regions[0].equals(expected)).toBe(true);
        expect(regions.slice(1).map((r) => r.length)).toEqual([3, 999]);
        expect(regions[2].equals(expected.subarray(1, 1000))).toBe(true);
      }
      for (const { regions } of down) expect(regions[0].equals(expected)).toBe(true);
      expect(Buffer.from(region).equals(expected)).toBe(true); // a mask never changes what is sent
      const payload = 4 * floats.byteLength;
      expect(node.bytesSent).toBeGreaterThan(payload);
      expect(node.bytesSent).toBeLessThan(payload + 8_000);
      expect(peer.bytesReceived).toBe(node.bytesSent);
      expect([node.messagesSent, node.messagesReceived, node.queuedBytes]).toEqual([4, 4, 0]);
    }
  });

  it('leaves each region in the memory into which ws assembled it, and gives that back when it was handled', async () => {
    const sent = [new Uint8Array(1 << 20).fill(1), new Uint8Array(1 << 20).fill(2)];
    const seen: { regions: Uint8Array[]; lengths: number[] }[] = [];
    const finish: (() => void)[] = [];
    const { node, peer } = await pair({
      far: {
        onMessage({ regions }) {
          seen.push({ regions, lengths: regions.map((region) => region.buffer.byteLength) });
          wake();
          return seen.length === 1 ? undefined : new Promise<void>((resolve) => finish.push(resolve));
        },
      },
    });
    let wake: () => void = () => {};
    const next = () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      });
    for (const number of [1, 2]) {
      const arrived = next();
      await node.send({ number }, sent);
      await arrived;
    }
    expect(seen.map(({ lengths }) => lengths)).toEqual([Array(2).fill(1 << 20), Array(2).fill(1 << 20)]);
    expect(seen[0].regions.map(({ length }) => length)).toEqual([0, 0]); // handled when it returned
    expect(seen[1].regions.map((region) => Buffer.compare(region, sent[0]))).toEqual([0, 1]); // a promise is not settled
    finish[0]();
    await new Promise(setImmediate);
    expect(seen[1].regions.map(({ length }) => length)).toEqual([0, 0]);
    expect(peer.open).toBe(true);
  });

  it('gives back no memory in which a later message begins, whatever the cuts', async () => {
    const { node, coordinator } = await pair();
    const lengths = Array.from({ length: 200 }, (_, i) => [(i * 7919) % 90_000, (i * 104_729) % 40_000]);
    lengths.forEach((of, number) => {
      void node.send(
        { number },
        of.map((length, i) => new Uint8Array(length).fill(number + i)),
      );
    });
    const frames = await coordinator.got(lengths.length);
    frames.forEach(({ header, regions }, number) => {
      expect(header).toEqual({ number });
      expect(regions.map(({ length }) => length)).toEqual(lengths[number]);
      expect(regions.every((region, i) => region.every((byte) => byte === ((number + i) & 255)))).toBe(true);
    });
  });

  it('answers a ping with its payload, though messages behind it were handled while the answer could not leave', async () => {
    const { node, plain } = await toPlain();
    const pongs: string[] = [];
    const answered = new Promise<void>((resolve) => {
      plain.on('pong', (data) => {
        pongs.push(data.toString());
        if (pongs.length === 50) resolve();
      });
    });
    plain.pause(); // nothing more leaves the node than what the kernel takes
    const sent = Promise.all([1, 2, 3, 4].map((i) => node.send({ i }, [new Uint8Array(7 << 20)])));
    const before = node.messagesReceived;
    for (let i = 0; i < 50; i++) {
      plain.ping(`payload ${i}`);
      plain.send(Buffer.concat(encodeFrame({ i }, [new Uint8Array(100_000)])));
    }
    while (node.messagesReceived < before + 50) await new Promise(setImmediate);
    plain.resume();
    await Promise.all([sent, answered]);
    expect(pongs).toEqual(Array.from({ length: 50 }, (_, i) => `payload ${i}`));
  });

  it('ends as failed when a handler that takes its time rejects', async () => {
    const { node, coordinator } = await pair({ far: { onMessage: () => Promise.reject(new Error('no room')) } });
    await node.send({}, [new Uint8Array(4)]);
    expect(await coordinator.ended).toMatchObject({ kind: 'failed', reason: 'no room' });
  });

  it('says at both ends how and why it was closed, after all that was sent before', async () => {
    const { node, peer, client, coordinator } = await pair();
    void node.send({ type: 'leave' }, [new Uint8Array(3 << 20)]);
    node.close('nothing left to do');
    expect(await coordinator.ended).toEqual({ kind: 'closed', by: 'peer', reason: 'nothing left to do' });
    expect(await client.ended).toEqual({ kind: 'closed', by: 'us', reason: 'nothing left to do' });
    expect(coordinator.frames).toHaveLength(1);
    expect([node.open, peer.open]).toEqual([false, false]);
    expect(peer.end?.reason).toBe('nothing left to do');
    await expect(node.send({})).rejects.toMatchObject({ code: 'E_CONNECTION' });
    node.close('again');
  });

  it('cuts a long reason between characters', async () => {
    const { node, coordinator } = await pair();
    node.close('ü'.repeat(200));
    expect((await coordinator.ended).reason).toBe('ü'.repeat(61));
  });

  it('refuses what is no frame, and what is too long, and says so', async () => {
    const cases: [(plain: WebSocket) => void, RegExp][] = [
      [(plain) => plain.send('hello'), /a binary message, got a text message/],
      [(plain) => plain.send(Buffer.from([0xc1])), /msgpack map, got 0xc1/],
      [(plain) => plain.send(Buffer.alloc(0)), /msgpack map, got nothing/],
      [(plain) => plain.send(Buffer.alloc(MAX_PAYLOAD + 1)), /Max payload size exceeded/],
      [
        (plain) => {
          for (let i = 0; i < 2000; i++) plain.send(Buffer.alloc(1), { fin: false });
        },
        /Too many message fragments/,
      ],
    ];
    for (const [send, reason] of cases) {
      const { plain, client } = await toPlain();
      const closed = once(plain, 'close');
      send(plain);
      const end = await client.ended;
      expect(end.kind).toBe('invalid');
      expect(end.reason).toMatch(reason);
      expect(client.frames).toEqual([]);
      await closed;
    }
  });

  it('ends as invalid when the handler refuses a frame, as failed when it breaks', async () => {
    for (const [error, kind, code] of [
      [new FrameError(0, 'another', 'this'), 'invalid', 1002],
      [new TypeError('broken'), 'failed', 1011],
    ] as const) {
      let calls = 0;
      const { plain, client } = await toPlain({
        onMessage: () => {
          calls += 1;
          throw error;
        },
      });
      plain.send(encodeFrame({})[0]);
      plain.send(encodeFrame({})[0]);
      const [closeCode] = await once(plain, 'close');
      expect(closeCode).toBe(code);
      expect(await client.ended).toMatchObject({ kind, by: 'us', error });
      expect(calls).toBe(1);
    }
  });

  it('notices that the peer is gone, and rejects what was not sent', async () => {
    const { node, plain, client } = await toPlain();
    plain.pause();
    const sends = Array.from({ length: 5 }, () => node.send({ type: 'sums' }, [new Uint8Array(4 << 20)]));
    const settled = Promise.allSettled(sends);
    (plain as unknown as { _socket: Socket })._socket.resetAndDestroy();
    expect((await client.ended).kind).toBe('lost');
    const results = await settled;
    expect(results.at(-1)).toMatchObject({ status: 'rejected', reason: { code: 'E_CONNECTION' } });
    expect(node.queuedBytes).toBe(0);
  });

  it('takes a peer that says nothing for lost, and one that answers pings not', async () => {
    const tcp = createTcpServer((socket) => {
      open.push(socket);
      // Answers the upgrade by the real server, then goes silent in both directions.
      const upstream = connect(Number(new URL(url).port), '127.0.0.1');
      open.push(upstream);
      socket.pipe(upstream);
      upstream.once('data', (answer) => {
        socket.write(answer);
        socket.unpipe(upstream);
        upstream.pause();
      });
    }).listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const through = `ws://127.0.0.1:${(tcp.address() as AddressInfo).port}/`;
    const { client } = await pair({ near: { heartbeatMs: 20, silenceMs: 100 } }, through);
    const quiet = await pair({ near: { heartbeatMs: 20, silenceMs: 100 } });
    const end = await client.ended;
    expect(end).toMatchObject({ kind: 'silent', by: 'us' });
    expect(end.reason).toMatch(/nothing came for \d+ ms/);
    while (quiet.node.roundTripMs === undefined) await new Promise(setImmediate);
    expect(quiet.node.open).toBe(true);
    tcp.close();
  });

  it('hears of a peer that takes longer than that to receive what it is sent', async () => {
    const speed = { bytesPerSecond: 2 << 20 };
    const slow = await FaultyProxy.start({ target: { port: Number(new URL(url).port) }, up: speed, down: speed });
    const beats = { heartbeatMs: 50, silenceMs: 400 };
    const { peer, client } = await pair({ near: beats, far: beats }, slow.url);
    for (let i = 0; i < 8; i++) void peer.send({}, [new Uint8Array(256 << 10)]); // a second
    await client.got(8);
    expect(peer.open).toBe(true);
    await slow.close();
  });

  it('does not count as silence that it did not run itself, and finds silence though it runs late', async () => {
    const stand = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    const { node, peer } = await pair({ near: { heartbeatMs: 20, silenceMs: 100 } });
    stand(300); // both ends
    while (node.roundTripMs === undefined) await new Promise(setImmediate);
    expect(node.open).toBe(true);
    // Every beat comes late from now on, and nothing from the other end.
    peer.pause();
    const busy = setInterval(() => stand(60), 0);
    try {
      while (node.end === undefined) await new Promise(setImmediate);
    } finally {
      clearInterval(busy);
    }
    expect(node.end).toMatchObject({ kind: 'silent', by: 'us' });
  });

  it('tears down after closeMs when the peer does not answer the close', async () => {
    const { node, plain, client } = await toPlain({ closeMs: 50 });
    plain.pause();
    node.close('enough');
    expect(await client.ended).toEqual({ kind: 'closed', by: 'us', reason: 'enough' });
  });

  it('makes the peer wait while it is paused', async () => {
    const { node, peer, client, coordinator } = await pair({ far: { heartbeatMs: 20, silenceMs: 40 } });
    peer.pause();
    let sent = 0;
    const sends = Array.from({ length: 8 }, async () => {
      await node.send({}, [new Uint8Array(4 << 20)]);
      sent += 1;
    });
    await new Promise((resolve) => setTimeout(resolve, 100)); // more than a silence deadline of the one that is paused
    expect(sent).toBeLessThan(8);
    expect(node.queuedBytes).toBeGreaterThan(4 << 20);
    expect(peer.open).toBe(true);
    peer.resume();
    await Promise.all(sends);
    await coordinator.got(8);
    peer.pause();
    peer.close('done while paused');
    expect(await client.ended).toEqual({ kind: 'closed', by: 'peer', reason: 'done while paused' });
    expect(await coordinator.ended).toMatchObject({ by: 'us', reason: 'done while paused' });
  });

  it('refuses to queue beyond its limits, but one message of any size', async () => {
    const { node, peer } = await pair({ near: { maxQueuedBytes: 1 << 20, maxQueuedMessages: 2 } });
    peer.pause();
    void node.send({}, [new Uint8Array(6 << 20)]);
    await expect(node.send({}, [new Uint8Array(1)])).rejects.toThrow(/at most 1048576 bytes waiting to be sent/);
    peer.resume();
    while (node.queuedBytes > 0) await new Promise(setImmediate);
    void node.send({});
    void node.send({});
    await expect(node.send({})).rejects.toThrow(/at most 2 messages waiting/);
  });
});

describe('dial', () => {
  const handlers = () => ({ ...new End().options, maxPayload: 1000 });

  it('says what it found instead of a coordinator', async () => {
    const nobody = createTcpServer().listen(0, '127.0.0.1');
    await once(nobody, 'listening');
    const { port } = nobody.address() as AddressInfo;
    await new Promise((resolve) => nobody.close(resolve));
    await expect(dial(`ws://127.0.0.1:${port}/`, handlers())).rejects.toThrow(
      /a coordinator that answers, got .*ECONNREFUSED/,
    );
    await expect(dial('not a url', handlers())).rejects.toMatchObject({ code: 'E_CONNECTION' });
    const plain = createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
    await once(plain, 'listening');
    const web = `ws://127.0.0.1:${(plain.address() as AddressInfo).port}/`;
    await expect(dial(web, handlers())).rejects.toThrow(/404/);
    await new Promise((resolve) => plain.close(resolve));
  });

  it('gives up after dialMs, and when it is told to stop', async () => {
    const mute = createTcpServer((socket) => open.push(socket)).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const at = `ws://127.0.0.1:${(mute.address() as AddressInfo).port}/`;
    await expect(dial(at, { ...handlers(), dialMs: 50 })).rejects.toThrow(/handshake has timed out/);
    const stop = new AbortController();
    const dialing = dial(at, { ...handlers(), signal: stop.signal });
    stop.abort();
    await expect(dialing).rejects.toThrow(/a request to stop/);
    await expect(dial(at, { ...handlers(), signal: stop.signal })).rejects.toThrow(/a request to stop/);
    mute.close();
  });
});
