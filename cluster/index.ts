export type { ClusterEvent, NodeEvent, NodePart, NodeRow } from './events.ts';
export { runNode } from './node.ts';
export type { CoordinatorOptions, Deadlines, NodeOptions, NodeSummary } from './options.ts';
export { runCoordinator } from './run.ts';
