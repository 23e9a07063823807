import type { WireFormat } from '../parallel/wire-format.ts';
import type { EarlyUploads } from './early-uploads.ts';

/** What is simulated, and what comes of it: plain data. */

/** A network card: what leaves a machine waits for what left before, what comes for what came. */
export interface Link {
  readonly latencyMs: number;
  readonly bytesPerMs: number;
  /** CPU time of a byte in a process that makes the link so slow, on the coordinator's machine. Absent: none. */
  readonly relayMs?: number;
}

/** What a job costs, from measured phases. Times are those of a thread that has the machine for itself, but for those that say otherwise. */
export interface JobCosts {
  /** Rows and shards of a step. */
  readonly batch: number;
  readonly shards: number;
  /** Bytes of a partial sum, and of what comes back, in each format. */
  readonly bytes: Readonly<Record<WireFormat, number>>;
  /** Gather, forward and backward of one shard on one worker. */
  readonly shardMs: number;
  /** How many times as long a thread takes while 1, 2, 3 ... run on cores of their own; beyond its end as at its end. */
  readonly slowdown: readonly number[];
  /** What workers do together, as measured on so many of them; the fewest first. */
  readonly together: readonly Together[];
  readonly wire: WireCosts;
  /** Encoding and decoding all parameters, on one thread. */
  readonly codec: Readonly<Record<WireFormat, { readonly encodeMs: number; readonly decodeMs: number }>>;
  /** Standard deviation of the logarithm of a node's computing time from step to step. */
  readonly jitter: number;
  /** What is sent before the last shards are done; shares are of their computing. Absent: nothing. */
  readonly early?: EarlyUploads;
}

/** What workers of one process do together, beside what each does by itself. */
export interface Together {
  readonly workers: number;
  /** Adding two partial sums; norm, clip and update of all parameters. */
  readonly additionMs: number;
  readonly updateMs: number;
  /** Barriers and whatever else a step has. */
  readonly fixedMs: number;
}

/** What a process's main thread takes, as measured between two processes. */
export interface WireCosts {
  /** Of a byte of parameters and of sums: making frames of it, or reading and placing it. */
  readonly downSendMs: number;
  readonly downReceiveMs: number;
  readonly upSendMs: number;
  readonly upReceiveMs: number;
  /** From one main thread to the other, without a byte, on one machine. */
  readonly messageMs: number;
  /** Between a main thread and its workers, one way. */
  readonly wakeMs: number;
}

/** What nodes send, and how often. */
export interface Exchanged {
  readonly format: WireFormat;
  /** Steps between two exchanges. */
  readonly syncEvery: number;
}

export interface Scenario extends Exchanged {
  readonly nodes: number;
  /** Workers of each node. */
  readonly workers: number;
  readonly link: Link;
  /** `tree`: groups of about the square root of the nodes, each with one that collects for the others. */
  readonly topology: 'star' | 'tree';
  /** Exchanges to simulate. */
  readonly rounds: number;
  /** All nodes are processes of one machine with so many cores; absent: machines of their own, with a core for each worker. */
  readonly sharedCores?: number;
  /** Nodes that take so many times as long. */
  readonly stragglers?: { readonly count: number; readonly factor: number };
  /** Nodes that are lost, or join, in the middle of that exchange. */
  readonly changes?: readonly Change[];
  readonly seed?: number;
}

export interface Change {
  readonly round: number;
  readonly lose?: number;
  readonly join?: number;
}

export interface Simulated {
  /** Rows a second over all exchanges but the first. */
  readonly samplesPerSec: number;
  /** Of single exchanges: a tenth is below the first, a tenth above the second. */
  readonly band: readonly [number, number];
  /** Milliseconds of an exchange by what the last node is at, on average; together they are the exchange. */
  readonly phases: { readonly compute: number; readonly up: number; readonly update: number; readonly down: number };
  /** Shards of each node at the end, in the order of the members, and shards that were computed again because their node was lost. */
  readonly shardsAtEnd: readonly number[];
  readonly repeatedShards: number;
}
