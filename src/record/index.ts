export type { EvaluationRecord, PhaseTimings, RunHeader, Sink, StepRecord } from './contract.ts';
export { History } from './history.ts';
export { JsonlSink, METRICS_FILE } from './jsonl.ts';
