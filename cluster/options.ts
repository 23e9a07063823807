import type { RoundTimes } from '../src/parallel/timeline.ts';
import type { WireFormat } from '../src/parallel/wire-format.ts';
import type { TrainOptions } from '../src/train/options.ts';
import type { ListenLimits } from './admission.ts';
import type { ClusterEvent, NodeEvent, NodePart, NodeRow } from './events.ts';
import type { ServerTls } from './listener.ts';

/** Deadlines of a coordinator, in milliseconds. */
export interface Deadlines {
  /** A sign of life goes out this often. Default 2,000. */
  readonly heartbeatMs: number;
  /** A node from which nothing has come for so long is lost. Default 10,000. */
  readonly silenceMs: number;
  /** A node may take so long for its shards of a step; 0: twenty times as long as any took so far, and at least a minute. Default 0. */
  readonly stepMs: number;
  /** A peer that has opened a connection proves itself within this. Default 30,000. */
  readonly joinMs: number;
  /** A run with too few nodes waits so long for more, then saves and ends with E_QUORUM. Default 600,000. */
  readonly quorumMs: number;
  /** The first step waits so long for `startNodes`. Default 60,000. */
  readonly startMs: number;
  /** At the end of a run, nodes that were lost so shortly before are waited for, so that they hear of it when they dial again. Default 2,000. */
  readonly farewellMs: number;
}

export const DEADLINES: Deadlines = {
  heartbeatMs: 2_000,
  silenceMs: 10_000,
  stepMs: 0,
  joinMs: 30_000,
  quorumMs: 600_000,
  startMs: 60_000,
  farewellMs: 2_000,
};

/** How to coordinate a run. Nothing of it changes the result, but for a lossy wire format and local steps. `workers`: threads for reduction and optimizer. */
export interface CoordinatorOptions extends TrainOptions {
  /** Name or address to listen at. Default 127.0.0.1. */
  readonly host?: string;
  /** Default 29400; 0 takes any free one. */
  readonly port?: number;
  /** Shared by all; needed beyond loopback. */
  readonly token?: string;
  readonly tls?: ServerTls;
  /** Listen beyond loopback without TLS. Default false. */
  readonly insecure?: boolean;
  /**
   * Nodes of this machine that dial 127.0.0.1 come by a Unix domain socket, which costs less than TCP's loopback. On Linux, without TLS. False: by
   * TCP, as if they were elsewhere, which is what a measurement for other machines wants. Default true.
   */
  readonly localSocket?: boolean;
  /** Steps wait while fewer nodes take part. Default 1. */
  readonly minNodes?: number;
  /** The first step waits for so many, but no longer than `startMs`. Default minNodes. */
  readonly startNodes?: number;
  /**
   * How floats cross the network; all but fp32 round them, so that the result is not the same bytes. 'auto' takes fp32, measures, and says
   * what the others would gain. Default fp32.
   */
  readonly wire?: WireFormat | 'auto';
  /**
   * Nodes make so many steps by themselves, each with an optimizer of its own, before the coordinator takes the mean of how far they came
   * and moves the parameters by its outer optimizer; the result is then not the same bytes. Default 1: every step is one of all.
   */
  readonly syncEvery?: number;
  /**
   * Before that, the first so many steps of the job are rounds of one step each, whose mean is followed at once, without the outer optimizer's
   * rate and momentum (post-local SGD); with syncEvery above 1. Default 0.
   */
  readonly syncWarmup?: number;
  /** Learning rate of the outer optimizer, > 0; with syncEvery above 1. Default 0.7; with topk 1. */
  readonly outerLr?: number;
  /** Its Nesterov momentum, from 0 (plain descent) to below 1. Default 0.9; with topk 0. */
  readonly outerMomentum?: number;
  /** Admit nodes with other kernels: the result is then not the same bytes. Default false. */
  readonly mixed?: boolean;
  /** Send nodes that ask for it the rows of their shards, each row once. Default false: nodes have the data themselves. */
  readonly streamData?: boolean;
  readonly deadlines?: Partial<Deadlines>;
  readonly limits?: Partial<ListenLimits>;
  /** Called once, when nodes can dial. */
  readonly onListening?: (address: { readonly host: string; readonly port: number; readonly url: string }) => void;
  /** After each round: what the main thread, which has the sockets, did when. */
  readonly onRound?: (times: RoundTimes) => void;
  readonly onEvent?: (event: ClusterEvent) => void;
  /** How all nodes are, once a second. */
  readonly onNodes?: (nodes: readonly NodeRow[]) => void;
  /** A node has done its part of a round. */
  readonly onPart?: (part: NodePart) => void;
}

export const DEFAULT_PORT = 29400;
/** See `reconnectMs`. */
export const DEFAULT_RECONNECT_MS = 600_000;

/** How to take part in a run. */
export interface NodeOptions {
  /** Of the coordinator: ws://host:port, or wss://. */
  readonly url: string;
  readonly token?: string;
  readonly tls?: { readonly ca?: string | Uint8Array };
  /** Come by the Unix domain socket of a coordinator of this machine, where it has one; false: by TCP. Default true. */
  readonly localSocket?: boolean;
  /** Threads that compute. Default: all cores. */
  readonly workers?: number | 'auto';
  /** Module of the job. */
  readonly module?: string;
  /** It has no copy of the data: the coordinator sends what its shards need (and must have streamData, too). Default false. */
  readonly streamData?: boolean;
  /** For people. Default: the name of the machine and the process id. */
  readonly name?: string;
  /** The coordinator is dialled again for so long, in milliseconds, before the node gives up with E_CONNECTION. Default 600,000. */
  readonly reconnectMs?: number;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: NodeEvent) => void;
  /** After each round: what the main thread, which has the sockets, did when. */
  readonly onRound?: (times: RoundTimes) => void;
}

/** What a node has done. */
export interface NodeSummary {
  /** Why it ended: what the coordinator said, or that it was to leave. */
  readonly reason: string;
  /** The run ended with an error of the coordinator. */
  readonly failed: boolean;
  readonly shards: number;
  /** Of all connections, with all overhead. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly seconds: number;
  /** CPU time of the main thread, which has the sockets, since its first shards; 0 where the system does not say. */
  readonly mainCpuSeconds: number;
}
