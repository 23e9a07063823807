import { Connection } from '../../cluster/connection.ts';
import { dial } from '../../cluster/dial.ts';
import type { Places } from '../../cluster/frame-reader.ts';
import { listen } from '../../cluster/listener.ts';
import {
  headerFromCoordinator,
  headerFromNode,
  readFromCoordinator,
  readFromNode,
  type ToCoordinator,
  type ToNode,
} from '../../cluster/messages.ts';
import { PIECE_BYTES, piecesOf, placeOf } from '../../cluster/transfer.ts';
import { LockstepError } from '../errors.ts';
import { ReadingMemory } from '../kernels/checksum.ts';
import { READING_BYTES } from '../kernels/table.ts';
import { compileKernels, heapBaseOf } from '../kernels/wasm.ts';
import { threadCpuSeconds } from '../parallel/cpu-time.ts';

/** What a node process is asked to do: exchange the messages of a step with a coordinator, and compute nothing. */
export interface ProbeTask {
  readonly url: string;
  /** Of the parameters, and of a sum. */
  readonly bytes: number;
}

/** Has a node process call `answerProbe`. */
export type AskProbe = (task: ProbeTask) => Promise<unknown>;

export interface ProbeOptions {
  /** Address by which the node is to come to a port of this machine, where that is not its own. */
  readonly lead?: ((port: number) => Promise<string>) | undefined;
  /** Ends it as if the node were lost: over a slow link a vector takes long. */
  readonly signal?: AbortSignal | undefined;
}

/** A coordinator's side of the messages of a step. */
export interface ProbeExchange {
  /** A request with its answer, without a vector. */
  message(): Promise<void>;
  /** Parameters down. */
  down(): Promise<void>;
  /** A sum up. */
  up(): Promise<void>;
  /** Caches of both sides forget what they hold, which counts for nothing. */
  forget(): Promise<void>;
  /** CPU milliseconds of both main threads; NaN where the system does not tell. */
  cpuMs(): Promise<readonly [here: number, there: number]>;
}

/** The kinds of `compute` of a probe, as numbers of shards: answer, send a sum, say how much CPU time went by, forget what caches hold. */
const [ANSWER, SEND, REPORT, FORGET] = [1, 2, 3, 4];
/** What may wait to be sent: a vector does as a whole, as in a step. */
const queueFor = (bytes: number) => ({
  maxQueuedBytes: 2 * bytes + 16 * 1024 * 1024,
  maxQueuedMessages: 4096 + Math.ceil(bytes / PIECE_BYTES),
});
/** What workers go through in a step: more than the caches of a core, of which main threads then find none of their own. */
const WORKING_SET = 8 * 1024 * 1024;
const STAMP = { fence: 0, round: 0 };

/** Exchanges vectors of so many bytes with a real node process as long as `use` takes. */
export async function exchangeVectors<T>(
  bytes: number,
  ask: AskProbe,
  use: (exchange: ProbeExchange) => Promise<T>,
  { lead, signal }: ProbeOptions = {},
): Promise<T> {
  const arena = await openArena(bytes);
  let heard: (computeMs: number) => void = () => undefined;
  let connected: (connection: Connection) => void = () => undefined;
  let lost: (reason: string) => void = () => undefined;
  const gone = new Promise<never>((_, reject) => {
    lost = (reason) => reject(probeLost(reason));
  });
  gone.catch(() => undefined); // whoever waits for an answer hears of it
  const stop = (): void => lost('an abort');
  signal?.addEventListener('abort', stop);
  const connection = new Promise<Connection>((resolve) => {
    connected = resolve;
  });
  const listener = await listen({
    port: 0,
    localSocket: false, // machines of their own have none
    maxPayload: 4 * PIECE_BYTES,
    memory: arena.reading,
    onConnection({ websocket, socket, maxPayload, joined }) {
      joined();
      connected(
        new Connection(websocket, socket, {
          maxPayload,
          ...queueFor(bytes),
          memory: arena.reading,
          places: placesIn(arena, (header) => {
            const message = headerFromNode(header);
            return message.type === 'sums' ? message.offset : undefined;
          }),
          onMessage(frame) {
            const message = readFromNode(frame);
            if (message.type === 'done') heard(message.computeMs);
          },
          onClose: ({ reason }) => lost(reason),
        }),
      );
    },
  });
  try {
    if (signal?.aborted) stop();
    const asked = ask({ url: lead ? await lead(listener.port) : listener.url, bytes });
    asked.then(
      () => lost('it did not dial'),
      (error: unknown) => lost(String(error)),
    );
    const node = await Promise.race([connection, gone]);
    const send = (count: number, withParameters = false): Promise<number> => {
      const answer = new Promise<number>((resolve) => {
        heard = resolve;
      });
      if (withParameters) {
        for (const piece of piecesOf(arena.buffer, arena.at, bytes)) {
          const header: ToNode = { type: 'parameters', ...STAMP, offset: piece.offset };
          void node.send(header, [piece.bytes]);
        }
      }
      const header: ToNode = { type: 'compute', ...STAMP, epoch: 0, step: 1, first: 0, count, parameterBytes: bytes, after: 0 }; // biome-ignore format: a record
      void node.send(header);
      return Promise.race([answer, gone]);
    };
    const caches = new Caches();
    const result = await use({
      message: async () => void (await send(ANSWER)),
      down: async () => void (await send(ANSWER, true)),
      up: async () => void (await send(SEND)),
      forget: async () => {
        await send(FORGET);
        caches.forget();
      },
      cpuMs: async () => [caches.cpuMs(), await send(REPORT)],
    });
    node.close('probed');
    await asked;
    return result;
  } finally {
    signal?.removeEventListener('abort', stop);
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

/** As the arena of a run: a vector, and beside it what sockets read into, so that bytes take the way that they take in a step. */
interface ProbeArena {
  readonly buffer: ArrayBufferLike;
  readonly at: number;
  readonly bytes: number;
  readonly reading: ReadingMemory;
}

async function openArena(bytes: number): Promise<ProbeArena> {
  const { module } = await compileKernels({ portable: true });
  const reading = Math.ceil(heapBaseOf(module) / 64) * 64;
  const at = reading + READING_BYTES;
  const pages = Math.ceil((at + bytes) / 65_536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return { buffer: memory.buffer, at, bytes, reading: ReadingMemory.in(module, memory, reading) };
}

/** Pieces go to where they belong in the vector; `offsetOf` says of a header where, if it has one. */
const placesIn =
  ({ buffer, at, bytes }: ProbeArena, offsetOf: (header: unknown) => number | undefined): Places =>
  (header, region, length) => {
    const offset = region === 0 ? offsetOf(header) : undefined;
    return offset === undefined
      ? undefined
      : { bytes: placeOf(buffer, at, bytes, { offset, length }), current: () => true };
  };

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
  const arena = await openArena(bytes);
  const caches = new Caches();
  const regions = Array.from({ length: 5 }, () => new Uint8Array(0));
  let closed: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    closed = resolve;
  });
  await dial(url, {
    maxPayload: 4 * PIECE_BYTES,
    ...queueFor(bytes),
    memory: arena.reading,
    places: placesIn(arena, (header) => {
      const message = headerFromCoordinator(header);
      return message.type === 'parameters' ? message.offset : undefined;
    }),
    onMessage(frame, peer) {
      const message = readFromCoordinator(frame);
      if (message.type !== 'compute') return;
      if (message.count === SEND) {
        for (const piece of piecesOf(arena.buffer, arena.at, bytes)) {
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
