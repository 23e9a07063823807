import type { Calendar } from '../parallel/calendar.ts';
import type { WorkerStep } from '../parallel/timeline.ts';
import type { RunHeader } from '../record/contract.ts';

/** A row of the page's node table: one machine's process with its workers. Whoever runs nodes says how they are, as often as it likes. */
export interface NodeStatus {
  readonly name: string;
  readonly state: 'working' | 'silent' | 'lost' | 'left';
  readonly workers: number;
  readonly shards: number;
  /** Since it was heard of last. */
  readonly heartbeatAgeMs?: number;
  /** Over the wire since the start, seen from the node; none where nothing is sent. */
  readonly sentBytes?: number;
  readonly receivedBytes?: number;
  /** What makes others wait: 'worker 1: 30 % more time to compute than the median'. */
  readonly straggler?: string;
}

/** When a node computed in its part of a step, in milliseconds on the machine's clock; the rest of the time is the network's. */
export interface PartStep {
  readonly node: string;
  readonly step: number;
  readonly start: number;
  readonly computeFrom: number;
  readonly computeTo: number;
  readonly end: number;
}

/** What a worker of this process, or a node, did in a step. */
export type TimedStep = WorkerStep | PartStep;

/** Where a run stands, for its badge. */
export type ViewState =
  | 'waiting'
  | 'reading'
  | 'running'
  | 'pausing'
  | 'paused'
  | 'stopping'
  | 'ended'
  | 'failed'
  | 'interrupted';

/** What is known of a run that has no header: a trial of a comparison. */
export interface ViewFacts {
  readonly name: string;
  /** Runs of one group share a colour. */
  readonly group?: string;
  readonly header?: RunHeader;
  readonly totalSteps: number;
  /** Absent where nobody knows of epochs. */
  readonly calendar?: Calendar;
  /** Not shown until somebody ticks it. */
  readonly hidden?: boolean;
  /** Names of the training metrics. */
  readonly metrics: readonly string[];
}
