import type { LockstepError } from '../src/errors.ts';
import type { Session } from '../src/parallel/session.ts';
import type { RoundTimes } from '../src/parallel/timeline.ts';
import type { Identity } from '../src/train/identity.ts';
import type { ClusterEvent, NodePart, NodeRow } from './events.ts';
import type { SavedStates } from './kept-states.ts';
import type { Deadlines } from './options.ts';

/** What a coordinator is given: the run, who may take part, and who wants to hear of what. */
export interface CoordinatorSetup {
  readonly session: Session;
  readonly identity: Identity;
  /** Fencing epoch: higher than that of any coordinator of this run before. */
  readonly fence: number;
  readonly run: string;
  /** It has a run folder. */
  readonly saves: boolean;
  readonly token: string | undefined;
  readonly minNodes: number;
  readonly startNodes: number;
  readonly mixed: boolean;
  /** Training data without its rows, for nodes that have none (stream-data.ts); absent: they are refused. */
  readonly description?: Uint8Array;
  /** Say after some steps what the network takes of them, and what other wire formats would. */
  readonly advise: boolean;
  /** What nodes kept in the run that this one goes on from, and how many it had lost. */
  readonly saved?: SavedStates & { readonly lost: number };
  readonly deadlines: Deadlines;
  /** No step after this one is begun. */
  readonly limit: number;
  onEvent(event: ClusterEvent): void;
  /** How all nodes are, once a second. */
  readonly onNodes?: ((nodes: readonly NodeRow[]) => void) | undefined;
  /** A node has done its part of a round. */
  readonly onPart?: ((part: NodePart) => void) | undefined;
  /** A round is complete. */
  readonly onRound?: ((times: RoundTimes) => void) | undefined;
  /** The run cannot go on: too few nodes for too long, or its limit is reached. */
  onEnd(error: LockstepError | undefined): void;
}
