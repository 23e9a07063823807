/** What a coordinator has to say; nothing of it changes the result. */
export type ClusterEvent =
  | { readonly kind: 'listening'; readonly url: string }
  /** `anew`: with local steps, its optimizer begins from nothing while the run goes on: how many have so far. */
  | { readonly kind: 'joined'; readonly node: NodeRow; readonly anew?: number }
  /**
   * `reason` is what a person wants to read; its shards of the step are computed by others. `leftOut`: instead, its local steps of this round are in no mean, and how many
   * rounds of a node were left out so far.
   */
  | {
      readonly kind: 'left';
      readonly node: NodeRow;
      readonly lost: boolean;
      readonly reason: string;
      readonly leftOut?: { readonly steps: number; readonly rounds: number };
    }
  /** What so many nodes kept from round to round (a wire format with error feedback, local steps) is lost, and begins from nothing; `total`: so far. */
  | { readonly kind: 'forgotten'; readonly nodes: number; readonly total: number; readonly reason: string }
  | { readonly kind: 'refused'; readonly name: string; readonly address: string; readonly reason: string }
  /** Fewer nodes than `minNodes`: the step waits. */
  | { readonly kind: 'waiting'; readonly step: number; readonly nodes: number; readonly minNodes: number }
  /** A step takes long: who is late, and since when, in milliseconds. */
  | {
      readonly kind: 'late';
      readonly step: number;
      readonly nodes: readonly { readonly name: string; readonly phase: NodePhase; readonly ms: number }[];
    }
  /** What `--wire auto` has measured and chosen. */
  | { readonly kind: 'wire'; readonly text: string }
  /** Shards move to faster nodes: how many each has. */
  | {
      readonly kind: 'divided';
      readonly step: number;
      readonly shards: readonly { readonly name: string; readonly count: number }[];
    };

/** Where a node is in its part of a step. */
export type NodePhase = 'receiving parameters' | 'computing' | 'sending sums';

/** A node as tables show it. */
export interface NodeRow {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly workers: number;
  /** Shards of a whole step that are its. */
  readonly shards: number;
  /** Of all shards it has computed. */
  readonly shardsDone: number;
  /** Milliseconds of its last part: computing, and from the request to the answer. */
  readonly computeMs: number;
  readonly roundMs: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly roundTripMs: number | undefined;
  /** Milliseconds since anything was heard of it, in which this process ran: a node answers every heartbeat. */
  readonly quietMs: number;
}

/** A node's part of a round, as the coordinator saw it. Times are those of its `performance.now`, in milliseconds. */
export interface NodePart {
  readonly name: string;
  readonly step: number;
  /** From the request, before which its parameters go out, to the last of its sums. */
  readonly start: number;
  readonly end: number;
  /** Of that time its workers computed so long, by its own clock; the rest went into the network. */
  readonly computeMs: number;
  readonly parameterBytes: number;
  readonly sumBytes: number;
}

/** What a node has to say. */
export type NodeEvent =
  | { readonly kind: 'joined'; readonly node: number; readonly run: string }
  /** It dials again after `retryMs`, and gives up after `leftMs`. */
  | { readonly kind: 'disconnected'; readonly reason: string; readonly retryMs: number; readonly leftMs: number }
  | { readonly kind: 'stopped'; readonly reason: string };
