import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { WebSocket, WebSocketServer } from 'ws';
import { socketLimits } from '../../cluster/connection.ts';
import { dial } from '../../cluster/dial.ts';
import { decodeFrame, encodeFrame } from '../../cluster/frames.ts';
import { runCoordinator, runNode } from '../../cluster/index.ts';
import { PROTOCOL, readFromCoordinator } from '../../cluster/messages.ts';
import { answer, makeNonce } from '../../cluster/security.ts';
import { toExactJson } from '../../src/checkpoint/exact-json.ts';
import { arrays } from '../../src/data/index.ts';
import { crossEntropy, defineJob, dense, sequential, sgd, train } from '../../src/index.ts';
import { identityOf } from '../../src/train/identity.ts';
import { openRun } from '../../src/train/open-run.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { below, type Message, mutated, pick, type Random, randomOf } from './mutate.ts';

/**
 * Throws mutated frames at both ends of real connections while a real run goes on: at a coordinator from peers that have proved
 * themselves or not, at nodes from a coordinator that has lost its mind. Nothing may crash or grow, and the run must end in the bytes of
 * an undisturbed one.
 */
export interface FuzzReport {
  /** Thrown at each end. */
  readonly atCoordinator: number;
  readonly atNode: number;
  readonly connections: number;
  /** Times that a whole node let a mindless coordinator tell it what to do. */
  readonly visits: number;
  /** Bytes of heap and buffers, after a collection, at a fifth of the way and at the end. */
  readonly memory: readonly [number, number];
  readonly steps: number;
  readonly sameBytes: boolean;
}

/** Connections at a time. */
const ATTACKERS = 4;

/** A node waits longer after each that has brought nothing. */
const MOST_VISITS = 4;

const TOKEN = 'a-token-that-the-fuzzer-knows-0123456789';

/** Many in an epoch, so that the books of the run stay short. */
const ROWS = 64 * 500;

const jobOf = (steps: number) =>
  defineJob({
    data: {
      train: arrays({
        x: { data: Float32Array.from({ length: ROWS * 8 }, (_, i) => Math.sin(i)), shape: [ROWS, 8] },
        y: { data: Int32Array.from({ length: ROWS }, (_, i) => (i * 7) % 3), shape: [ROWS], size: 3 },
      }),
    },
    model: sequential(dense(16, 'tanh'), dense(3)),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.01 }),
    batchSize: 64,
    shards: 4,
    steps,
  });

export async function fuzzWire(
  frames: number,
  seed: number,
  onProgress: (done: number, memory: number) => void = () => {},
): Promise<FuzzReport> {
  const random = randomOf(seed);
  const memory: number[] = [];
  const half = Math.ceil(frames / 2);
  let done = 0;
  const count = (thrown: number) => {
    const [before, after] = [Math.floor((10 * done) / frames), Math.floor((10 * (done + thrown)) / frames)];
    done += thrown;
    if (after === before) return;
    const bytes = settledMemory();
    if (after === 2 || done >= frames) memory.push(bytes);
    onProgress(done, bytes);
  };
  const attacked = await attackCoordinator(random, half, count);
  const atNode = await attackNodes(random, half, count);
  return {
    atCoordinator: attacked.thrown,
    atNode: atNode.thrown,
    connections: attacked.connections + atNode.connections,
    visits: atNode.visits,
    memory: [memory[0], memory[memory.length - 1]],
    steps: attacked.steps,
    sameBytes: attacked.sameBytes,
  };
}

// ---- at the coordinator

async function attackCoordinator(random: Random, frames: number, count: (thrown: number) => void) {
  const identity = await identityOfJob();
  const stop = new AbortController();
  let thrown = 0;
  let connections = 0;
  let node: Promise<unknown> | undefined;
  let attack: Promise<void> | undefined;
  const many = { failedJoins: Number.MAX_SAFE_INTEGER, connectionsPerSecond: 1e9 };
  const result = await runCoordinator(jobOf(1_000_000), {
    port: 0,
    workers: 1,
    token: TOKEN,
    signal: stop.signal,
    limits: many,
    onListening: ({ url }) => {
      let joined: () => void = () => {};
      const taken = new Promise<void>((resolve) => {
        joined = resolve;
      });
      const onEvent = ({ kind }: { kind: string }) => kind === 'joined' && joined();
      node = runNode(jobOf(1_000_000), { url, workers: 1, token: TOKEN, name: 'honest', onEvent });
      attack = (async () => {
        await taken;
        const attacker = async () => {
          while (thrown < frames) {
            const volley = await attackOnce(random, url, identity);
            thrown += volley;
            connections += 1;
            count(volley);
          }
        };
        await Promise.all(Array.from({ length: ATTACKERS }, attacker));
      })().finally(() => stop.abort());
    },
  });
  await attack;
  await node;
  const alone = await train(jobOf(result.step), { workers: 1 });
  return { thrown, connections, steps: result.step, sameBytes: alone.parametersSha256 === result.parametersSha256 };
}

/** One connection: perhaps a good hello, some frames of another time, one that is wrong. Gives how many were thrown. */
async function attackOnce(random: Random, url: string, identity: Uint8Array): Promise<number> {
  const ws = new WebSocket(url, { perMessageDeflate: false, generateMask: (mask) => mask.fill(0) });
  ws.on('error', () => {});
  const closed = new Promise<void>((resolve) => ws.once('close', () => resolve()));
  const joins = random() < 0.5;
  let thrown = 0;
  const attack = (fence: number, round: number, epoch: number) => {
    const stamp = { fence, round, epoch };
    const volley = joins ? 1 + below(random, 40) : 1;
    for (let i = 0; i < volley - 1; i++) {
      // Of another time: dropped, and the connection goes on.
      const late = { ...stamp, fence: fence + 1 + below(random, 3) };
      ws.send(frameOf(pick(random, fromNode(random, late))));
    }
    const last = pick(
      random,
      joins ? fromNode(random, stamp) : [...fromNode(random, stamp), helloOf(identity, 'no', 'no')],
    );
    throwAt(random, ws, mutated(random, last));
    thrown = volley;
    ws.close();
  };
  let challenged = false;
  ws.on('message', (data) => {
    const { header } = decodeFrame(data as Buffer) as { header: Record<string, number> & { type: string } };
    if (header.type === 'challenge' && !challenged) {
      challenged = true;
      if (!joins) return attack(1, 1, 1);
      const nonce = makeNonce();
      const mac = answer(TOKEN, 'node', PROTOCOL, Buffer.from(String(header.nonce), 'hex'), nonce);
      ws.send(frameOf(helloOf(identity, hex(nonce), hex(mac))));
    } else if (header.type === 'compute' && thrown === 0) attack(header.fence, header.round, header.epoch);
    else if (header.type === 'welcome' && random() < 0.8) attack(header.fence, 0, 0);
  });
  const patience = setTimeout(() => ws.terminate(), 200); // shards may never come: the honest node has them all
  await closed;
  clearTimeout(patience);
  return Math.max(1, thrown);
}

const helloOf = (identity: Uint8Array, nonce: string, mac: string): Message => ({
  header: { type: 'hello', protocol: PROTOCOL, name: 'fuzzer', workers: 1, wants: 'part', nonce, mac },
  regions: [identity],
});

/** What a node sends after it has joined. */
function fromNode(random: Random, stamp: Record<string, number>): Message[] {
  const shards = { first: below(random, 5), count: below(random, 5) };
  return [
    {
      header: { type: 'sums', ...stamp, ...shards, offset: 4 * below(random, 3) },
      regions: [new Uint8Array(4 * below(random, 200))],
    },
    {
      header: { type: 'done', ...stamp, ...shards, sums: [0, 1, 2], computeMs: 1 },
      regions: [new Uint8Array(16), new Uint8Array(), new Uint8Array(), new Uint8Array(), new Uint8Array()],
    },
    {
      header: { type: 'done', ...stamp, first: 0, count: 4, sums: [0, 4], computeMs: 1 },
      regions: Array.from({ length: 5 }, () => new Uint8Array(64)),
    },
    {
      header: { type: 'kept', fence: stamp.fence, after: below(random, 3), offset: 4 * below(random, 3) },
      regions: [new Uint8Array(4 * below(random, 200))],
    },
  ];
}

// ---- at nodes

async function attackNodes(random: Random, frames: number, count: (thrown: number) => void) {
  const http = createServer();
  const server = new WebSocketServer({ server: http, ...socketLimits(1 << 24) });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/`;
  let thrown = 0;
  let connections = 0;
  let honest = false;
  let visits = 0;
  server.on('connection', (ws) => {
    ws.on('error', () => {});
    if (honest) {
      visits += 1;
      mindless(random, ws).catch(() => ws.terminate());
    } else {
      const volley = 1 + below(random, 20);
      for (let i = 0; i < volley - 1; i++) ws.send(frameOf(pick(random, fromCoordinator(random))));
      throwAt(random, ws, mutated(random, pick(random, fromCoordinator(random))));
      ws.close();
      thrown += volley;
      count(volley);
    }
  });
  // Bare ends of connections, which take a volley each as fast as they can dial ...
  while (thrown < frames) {
    await new Promise<void>((resolve) => {
      dial(url, {
        maxPayload: 1 << 20,
        closeMs: 500,
        onMessage: (frame) => void readFromCoordinator(frame),
        onClose: () => resolve(),
      }).catch(() => resolve());
      connections += 1;
    });
  }
  // ... and whole nodes.
  honest = true;
  const leave = new AbortController();
  const node = runNode(jobOf(10), {
    url,
    workers: 1,
    token: TOKEN,
    signal: leave.signal,
    onEvent: (event) => {
      if (event.kind === 'disconnected' && ++connections && visits >= MOST_VISITS) leave.abort();
    },
  }).catch((error: Error) => error);
  await node;
  for (const client of server.clients) client.terminate();
  await new Promise((resolve) => http.close(resolve));
  return { thrown, connections, visits };
}

/** A coordinator that lets a node in and then talks nonsense. */
async function mindless(random: Random, ws: WebSocket): Promise<void> {
  const nonce = makeNonce();
  ws.send(frameOf({ header: { type: 'challenge', protocol: PROTOCOL, nonce: hex(nonce) }, regions: [] }));
  const [data] = (await once(ws, 'message')) as [Buffer];
  const { header } = decodeFrame(data) as { header: { nonce: string } };
  const mac = hex(answer(TOKEN, 'coordinator', PROTOCOL, Buffer.from(header.nonce, 'hex'), nonce));
  const fence = Date.now();
  ws.send(
    frameOf({
      header: {
        type: 'welcome',
        mac,
        fence,
        node: 1,
        run: 'fuzz',
        wire: pick(random, ['fp32', 'bf16', 'int8', 'int4', 'topk']),
        syncEvery: pick(random, [1, 1, 3]),
        syncWarmup: pick(random, [0, 0, 5]),
        heartbeatMs: 1000,
        silenceMs: 5000,
      },
      regions: [],
    }),
  );
  for (let i = 0; i < 200; i++) ws.send(frameOf(pick(random, fromCoordinator(random))));
  for (let i = 0; i < 3; i++) ws.send(mutated(random, pick(random, fromCoordinator(random, fence))));
  ws.close();
}

/** What a coordinator sends to a node that has joined. */
function fromCoordinator(random: Random, fence = 0): Message[] {
  const stamp = { fence, round: below(random, 3) };
  return [
    {
      header: { type: 'parameters', ...stamp, offset: 4 * below(random, 100) },
      regions: [new Uint8Array(4 * below(random, 100))],
    },
    {
      header: { type: 'update', ...stamp, offset: 4 * below(random, 100) },
      regions: [new Uint8Array(4 * below(random, 100))],
    },
    {
      header: { type: 'data', fence },
      regions: [new Uint8Array(4 * below(random, 4)), new Uint8Array(36 * below(random, 4))],
    },
    { header: { type: 'rows', ...stamp, table: below(random, 2) }, regions: [new Uint8Array(8), new Uint8Array(32)] },
    {
      header: {
        type: 'compute',
        ...stamp,
        epoch: 0,
        step: 1 + below(random, 9),
        first: below(random, 9),
        count: below(random, 9),
        parameterBytes: 4 * below(random, 300),
        after: below(random, 3),
      },
      regions: [],
    },
    { header: { type: 'save', fence }, regions: [] },
    {
      header: { type: 'kept', fence, after: below(random, 3), offset: 4 * below(random, 2) },
      regions: [new Uint8Array(4 * below(random, 200))],
    },
  ];
}

// ---- what both need

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const frameOf = ({ header, regions }: Message) => Buffer.concat(encodeFrame(header, regions));

/** As one message, in fragments of any size, as text, or with other bytes straight into the socket. */
function throwAt(random: Random, ws: WebSocket, frame: Uint8Array): void {
  const way = random();
  if (way < 0.1) ws.send(Buffer.from(frame).toString('latin1'));
  else if (way < 0.2) (ws as unknown as { _socket: Socket })._socket.write(frame);
  else if (way < 0.5 && frame.length > 2) {
    const cut = 1 + below(random, frame.length - 1);
    ws.send(frame.subarray(0, cut), { fin: false });
    ws.send(frame.subarray(cut), { fin: true });
  } else ws.send(frame);
}

/** A node's identity, as a real one proves it. */
async function identityOfJob(): Promise<Uint8Array> {
  const plan = await planRun(jobOf(1_000_000), { workers: 1 }, undefined, 'node');
  const run = await openRun(plan, undefined);
  await run.pool.close();
  return new TextEncoder().encode(toExactJson(identityOf(plan, run.proof ?? '')));
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function settledMemory(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
