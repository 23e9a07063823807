import { Worker } from 'node:worker_threads';
import { Connection, dial } from '../../cluster/connection.ts';
import { listen } from '../../cluster/listener.ts';
import { readFromCoordinator, readFromNode, type ToCoordinator, type ToNode } from '../../cluster/messages.ts';
import { PIECE_BYTES, piecesOf, placePiece } from '../../cluster/transfer.ts';
import { median } from '../compare/statistics.ts';
import { LockstepError } from '../errors.ts';
import { threadCpuSeconds } from '../parallel/cpu-time.ts';
import type { WireCosts } from './scenario.ts';

/**
 * What the sockets of a coordinator and of a node cost on this machine, from the messages that they exchange in a step, between two real
 * processes without anything to compute: parameters down, sums up, and a request with its answer.
 */
export interface ProbeTask {
  readonly url: string;
  /** Of the parameters, and of a sum. */
  readonly bytes: number;
}

/** Exchanges before those that count: code is compiled. */
const WARM_UP = 20;
/** Vectors in each direction, at least and at most. */
const [FEWEST, MOST] = [8, 200];
const MESSAGES = 200;
/** The kinds of `compute` of a probe, as numbers of shards: answer, send a sum, say how much CPU time went by, forget what caches hold. */
const [ANSWER, SEND, REPORT, FORGET] = [1, 2, 3, 4];
/** What workers go through in a step: more than the caches of a core, of which main threads then find none of their own. */
const WORKING_SET = 8 * 1024 * 1024;
const STAMP = { fence: 0, round: 0 };

/** The coordinator's side: `ask` has a node process call `answerProbe`. `seconds`: for each direction, about. */
export async function probeLink(
  bytes: number,
  seconds: number,
  ask: (task: ProbeTask) => Promise<unknown>,
): Promise<WireCosts> {
  const vector = new SharedArrayBuffer(bytes);
  let heard: (computeMs: number) => void = () => undefined;
  let connected: (connection: Connection) => void = () => undefined;
  let lost: (reason: string) => void = () => undefined;
  const gone = new Promise<never>((_, reject) => {
    lost = (reason) => reject(probeLost(reason));
  });
  gone.catch(() => undefined); // whoever waits for an answer hears of it
  const connection = new Promise<Connection>((resolve) => {
    connected = resolve;
  });
  const listener = await listen({
    port: 0,
    maxPayload: 4 * PIECE_BYTES,
    onConnection({ websocket, socket, joined }) {
      joined();
      connected(
        new Connection(websocket, socket, {
          onMessage(frame) {
            const message = readFromNode(frame);
            if (message.type === 'sums') placePiece(vector, 0, bytes, { offset: message.offset, bytes: message.regions[0] }); // biome-ignore format: one line
            if (message.type === 'done') heard(message.computeMs);
          },
          onClose: ({ reason }) => lost(reason),
        }),
      );
    },
  });
  try {
    const asked = ask({ url: listener.url, bytes });
    asked.then(
      () => lost('it did not dial'),
      (error: unknown) => lost(String(error)),
    );
    const node = await Promise.race([connection, gone]);
    const exchange = (count: number, withParameters: boolean): Promise<number> => {
      const answer = new Promise<number>((resolve) => {
        heard = resolve;
      });
      if (withParameters) {
        for (const piece of piecesOf(vector, 0, bytes)) {
          const header: ToNode = { type: 'parameters', ...STAMP, offset: piece.offset };
          void node.send(header, [piece.bytes]);
        }
      }
      const header: ToNode = { type: 'compute', ...STAMP, epoch: 0, step: 1, first: 0, count, parameterBytes: bytes, after: 0 }; // biome-ignore format: a record
      void node.send(header);
      return Promise.race([answer, gone]);
    };
    const messageMs = await timeMessages(() => exchange(ANSWER, false));
    const caches = new Caches();
    const cold = async (): Promise<void> => {
      await exchange(FORGET, false);
      caches.forget();
    };
    const cpuMs = async (): Promise<readonly [here: number, there: number]> => [
      caches.cpuMs(),
      await exchange(REPORT, false),
    ];
    const [downSendMs, downReceiveMs] = await costOf(seconds, bytes, cold, () => exchange(ANSWER, true), cpuMs);
    const [upReceiveMs, upSendMs] = await costOf(seconds, bytes, cold, () => exchange(SEND, false), cpuMs);
    node.close('probed');
    await asked;
    return { downSendMs, downReceiveMs, upSendMs, upReceiveMs, messageMs, wakeMs: await wakeMs() };
  } finally {
    await listener.close();
  }
}

function probeLost(reason: string): LockstepError {
  return new LockstepError('E_CONNECTION', {
    where: 'probe of sockets',
    expected: 'a node process that answers to the end',
    got: reason,
    fix: 'run it again; if it stays, --verbose shows more',
  });
}

/** Of several probes. */
export function medianCosts(probes: readonly WireCosts[]): WireCosts | undefined {
  if (probes.length === 0) return undefined;
  const of = (name: keyof WireCosts) => median(probes.map((costs) => costs[name]));
  const bytes = { downSendMs: of('downSendMs'), downReceiveMs: of('downReceiveMs'), upSendMs: of('upSendMs'), upReceiveMs: of('upReceiveMs') }; // biome-ignore format: a record
  return { ...bytes, messageMs: of('messageMs'), wakeMs: of('wakeMs') };
}

/** One way. */
async function timeMessages(exchange: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < MESSAGES; i++) {
    const start = performance.now();
    await exchange();
    times.push(performance.now() - start);
  }
  return median(times) / 2;
}

/** CPU milliseconds of a byte here and there; by the clock where the system does not tell. */
async function costOf(
  seconds: number,
  bytes: number,
  cold: () => Promise<void>,
  exchange: () => Promise<number>,
  cpuMs: () => Promise<readonly [here: number, there: number]>,
): Promise<readonly [here: number, there: number]> {
  for (let i = 0; i < WARM_UP; i++) await exchange();
  const begun = performance.now();
  await exchange();
  const count = Math.max(FEWEST, Math.min(MOST, Math.round((1000 * seconds) / (performance.now() - begun))));
  const before = await cpuMs();
  let clockMs = 0;
  for (let i = 0; i < count; i++) {
    await cold();
    const start = performance.now();
    await exchange();
    clockMs += performance.now() - start;
  }
  const after = await cpuMs();
  const per = (i: 0 | 1) => {
    const told = Number.isFinite(after[0]); // by both or by none
    return (told ? after[i] - before[i] : clockMs / 2) / (count * bytes);
  };
  return [per(0), per(1)];
}

/** Empties the caches of this core, as workers do that compute on it, and leaves the time for that out of the account. */
class Caches {
  readonly #memory = new Float64Array(WORKING_SET / 8);
  #leftOutMs = 0;

  forget(): void {
    const before = 1000 * threadCpuSeconds();
    for (let i = 0; i < this.#memory.length; i += 8) this.#memory[i] += 1; // a cache line
    this.#leftOutMs += 1000 * threadCpuSeconds() - before;
  }

  /** Of this thread; NaN where the system does not tell. */
  cpuMs(): number {
    return 1000 * threadCpuSeconds() - this.#leftOutMs;
  }
}

/** The node's side, until the coordinator closes. */
export async function answerProbe({ url, bytes }: ProbeTask): Promise<void> {
  const vector = new SharedArrayBuffer(bytes);
  const caches = new Caches();
  const regions = Array.from({ length: 5 }, () => new Uint8Array(0));
  let closed: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    closed = resolve;
  });
  await dial(url, {
    maxPayload: 4 * PIECE_BYTES,
    onMessage(frame, peer) {
      const message = readFromCoordinator(frame);
      if (message.type === 'parameters') placePiece(vector, 0, bytes, { offset: message.offset, bytes: message.regions[0] }); // biome-ignore format: one line
      if (message.type !== 'compute') return;
      if (message.count === SEND) {
        for (const piece of piecesOf(vector, 0, bytes)) {
          const header: ToCoordinator = { type: 'sums', ...STAMP, epoch: 0, first: 0, count: 1, offset: piece.offset };
          void peer.send(header, [piece.bytes]);
        }
      }
      if (message.count === FORGET) caches.forget();
      const cpuMs = message.count === REPORT ? caches.cpuMs() : 0;
      const computeMs = Number.isFinite(cpuMs) ? Math.max(0, cpuMs) : 0;
      const header: ToCoordinator = { type: 'done', ...STAMP, epoch: 0, first: 0, count: 1, sums: [], computeMs };
      void peer.send(header, regions);
    },
    onClose: () => closed(),
  });
  await over;
}

const WAKES = 400;
/** A worker that answers each number by the same, as workers and main thread do: by words in shared memory. */
const ECHO = `
  const { workerData: words } = require('node:worker_threads');
  for (let n = 1; n <= ${WAKES}; n++) {
    while (Atomics.load(words, 0) < n) Atomics.wait(words, 0, n - 1);
    Atomics.store(words, 1, n);
    Atomics.notify(words, 1);
  }
`;

/** How long a main thread and its workers take to wake each other, one way. */
async function wakeMs(): Promise<number> {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(ECHO, { eval: true, workerData: words });
  const times: number[] = [];
  for (let n = 1; n <= WAKES; n++) {
    const start = performance.now();
    Atomics.store(words, 0, n);
    Atomics.notify(words, 0);
    const change = Atomics.waitAsync(words, 1, n - 1);
    if (change.async) await change.value;
    times.push(performance.now() - start);
  }
  await worker.terminate();
  return median(times) / 2;
}
