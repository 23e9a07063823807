import type { SeatState } from '../src/checkpoint/node-states.ts';
import type { Connection } from './connection.ts';
import type { NodePhase, NodeRow } from './events.ts';
import type { Part } from './round.ts';
import type { RowSender } from './stream-data.ts';

/** A node that takes part, as the coordinator knows it. */
export interface Member {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly workers: number;
  readonly connection: Connection;
  /** Its place in the order of the nodes: the lowest that was free when it came. */
  readonly seat: number;
  /** The step of what it keeps from round to round; 0: nothing. */
  after: number;
  /** What it is to go on from instead, and has not been sent. */
  restore: SeatState | undefined;
  /** The round whose parameters it has; -1: none. */
  round: number;
  /** Bytes of parameters that it was sent for that round. */
  parameterBytes: number;
  /** For one that has no data. */
  readonly rows: RowSender | undefined;
  /** Parts of the round that it is to compute. */
  readonly parts: Part[];
  shardsDone: number;
  computeMs: number;
  roundMs: number;
}

/** What a member is at, as far as it can be seen from here. */
export function phaseOf({ connection, parts }: Member): NodePhase {
  if (connection.queuedBytes > 0) return 'receiving parameters';
  return parts.some(({ received }) => received.size > 0) ? 'sending sums' : 'computing';
}

/** As tables show it. `shards`: of a whole step, that are its. */
export function rowOf(member: Member, shards: number): NodeRow {
  const { id, name, address, workers, shardsDone, computeMs, roundMs, connection } = member;
  const { bytesSent, bytesReceived, roundTripMs, quietMs } = connection;
  const work = { workers, shards, shardsDone, computeMs, roundMs };
  return { id, name, address, ...work, bytesSent, bytesReceived, roundTripMs, quietMs };
}
