import type { SeatState } from '../checkpoint/node-states.ts';

/**
 * What the nodes of a run on many machines keep from round to round. The one who has their connections (cluster/kept-states.ts) fetches
 * it for checkpoints; what could not be fetched when it was needed is lost, and counted.
 */
export interface NodeStates {
  /** States lost so far, before a resume too. */
  readonly lost: number;
  /** What is reachable of the state as of a step. Between two steps; never rejects. */
  collect(step: number): Promise<readonly SeatState[]>;
}
