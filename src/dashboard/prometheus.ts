import type { Board } from './board.ts';
import type { NodeStatus } from './contract.ts';
import type { RunView } from './run-view.ts';

/** The text format that Prometheus scrapes (https://prometheus.io/docs/instrumenting/exposition_formats). */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** The run that is trained here, as metrics; base units in the names. Pure. */
export function prometheusText(board: Board): string {
  const { run } = board;
  if (!run) return '';
  const { totals } = run;
  const last: Record<string, number | undefined> = totals.steps > 0 ? run.last() : {};
  const header = run.runHeader;
  const gauge = (name: string, help: string, ...samples: Sample[]) => family(name, 'gauge', help, samples);
  const counter = (name: string, help: string, ...samples: Sample[]) => family(name, 'counter', help, samples);
  const nodes = distinct(board.nodes);
  const one = (value: number | undefined): Sample[] => (value === undefined ? [] : [[{}, value]]);
  return [
    gauge('lockstep_info', 'What runs; always 1.', [
      {
        run: run.name,
        version: header?.versions.lockstep ?? '',
        gemm: header?.kernels.gemm ?? '',
        simd: header?.kernels.simd ?? '',
      },
      1,
    ]),
    gauge('lockstep_up', '1 while steps are made, 0 when the run is paused or over.', [
      {},
      run.state === 'running' ? 1 : 0,
    ]),
    gauge('lockstep_workers', 'Threads that compute.', ...one(header?.workers)),
    gauge('lockstep_shards', 'Slices of the global batch.', ...one(header?.shards)),
    gauge('lockstep_parameters', 'Parameters of the model.', ...one(header?.parameters)),
    gauge('lockstep_step', 'Last committed step.', ...one(run.lastStep)),
    gauge('lockstep_loss', 'Training loss of the last step.', ...one(last.loss)),
    gauge('lockstep_metric', 'Training metrics of the last step.', ...metricsOf(run, last)),
    gauge('lockstep_evaluation', 'Latest evaluation, by metric.', ...samplesOf('metric', run.latest)),
    gauge('lockstep_learning_rate', 'Learning rate of the last step.', ...one(last.lr)),
    gauge('lockstep_gradient_norm', 'Global norm of the gradient before clipping, last step.', ...one(last.gradNorm)),
    counter('lockstep_steps_total', 'Steps committed by this process.', [{}, totals.steps]),
    counter('lockstep_samples_total', 'Training rows seen by this process.', [{}, totals.samples]),
    counter('lockstep_clipped_steps_total', 'Steps whose gradient was clipped.', [{}, totals.clipped]),
    counter('lockstep_step_seconds_total', 'Time spent in steps.', [{}, totals.seconds]),
    counter(
      'lockstep_phase_seconds_total',
      'Time of the phases of a step on rank 0.',
      ...samplesOf('phase', totals.phases),
    ),
    counter('lockstep_events_total', 'What happened beside steps.', ...samplesOf('event', totals.events)),
    gauge(
      'lockstep_node_workers',
      'Workers of each node.',
      ...nodes.map(({ name, workers }): Sample => [{ node: name }, workers]),
    ),
    gauge(
      'lockstep_node_up',
      '1 while a node takes part, 0 when it is lost or has left.',
      ...nodes.map(({ name, state }): Sample => [{ node: name }, state === 'working' || state === 'silent' ? 1 : 0]),
    ),
    gauge(
      'lockstep_node_heartbeat_age_seconds',
      'Time since a node was heard of.',
      ...nodes.flatMap(({ name, heartbeatAgeMs }): Sample[] =>
        heartbeatAgeMs === undefined ? [] : [[{ node: name }, heartbeatAgeMs / 1000]],
      ),
    ),
    counter('lockstep_node_sent_bytes_total', 'Bytes that a node has sent.', ...bytesOf(nodes, 'sentBytes')),
    counter(
      'lockstep_node_received_bytes_total',
      'Bytes that a node has received.',
      ...bytesOf(nodes, 'receivedBytes'),
    ),
  ].join('');
}

function metricsOf(run: RunView, last: Readonly<Record<string, number | undefined>>): Sample[] {
  return run.metricNames.flatMap((metric): Sample[] => {
    const value = last[metric];
    return value === undefined ? [] : [[{ metric }, value]];
  });
}

/** Two nodes may have one name, two series not. */
function distinct(nodes: readonly NodeStatus[]): readonly NodeStatus[] {
  const seen = new Map<string, number>();
  return nodes.map((node) => {
    const count = (seen.get(node.name) ?? 0) + 1;
    seen.set(node.name, count);
    return count === 1 ? node : { ...node, name: `${node.name} #${count}` };
  });
}

function bytesOf(nodes: readonly NodeStatus[], key: 'sentBytes' | 'receivedBytes'): Sample[] {
  return nodes.flatMap(({ name, [key]: bytes }): Sample[] => (bytes === undefined ? [] : [[{ node: name }, bytes]]));
}

function samplesOf(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => [{ [label]: name }, value]);
}

function family(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string {
  if (samples.length === 0) return '';
  const lines = samples.map(([labels, value]) => `${name}${labelsText(labels)} ${numberText(value)}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}
