import type { Board } from './board.ts';
import type { NodeStatus } from './contract.ts';
import type { RunView } from './run-view.ts';

/** The text format that Prometheus scrapes (https://prometheus.io/docs/instrumenting/exposition_formats). */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** The run that is trained here, or those that are shown, as metrics; base units in the names. Of several runs each series says whose it is. Pure. */
export function prometheusText(board: Board): string {
  const runs = distinct(board.told);
  if (runs.length === 0) return '';
  const family = (type: 'gauge' | 'counter', name: string, help: string, of: (run: RunView) => readonly Sample[]) =>
    familyText(
      name,
      type,
      help,
      runs.flatMap(([label, run]) => of(run).map(([labels, value]): Sample => [{ ...labels, ...(runs.length > 1 && { run: label }) }, value])), // biome-ignore format: one line
    );
  const gauge = family.bind(undefined, 'gauge');
  const counter = family.bind(undefined, 'counter');
  return [
    gauge('lockstep_info', 'What runs; always 1.', infoOf),
    gauge('lockstep_up', '1 while steps are made, 0 when the run is paused or over.', (run) =>
      one(run.state === 'running' ? 1 : 0),
    ),
    gauge('lockstep_workers', 'Threads that compute.', (run) => one(run.runHeader?.workers)),
    gauge('lockstep_shards', 'Slices of the global batch.', (run) => one(run.runHeader?.shards)),
    gauge('lockstep_parameters', 'Parameters of the model.', (run) => one(run.runHeader?.parameters)),
    gauge('lockstep_step', 'Last committed step.', (run) => one(run.lastStep)),
    gauge('lockstep_loss', 'Training loss of the last step.', (run) => one(lastOf(run).loss)),
    gauge('lockstep_metric', 'Training metrics of the last step.', metricsOf),
    gauge('lockstep_evaluation', 'Latest evaluation, by metric.', (run) => samplesOf('metric', run.latest)),
    gauge('lockstep_learning_rate', 'Learning rate of the last step.', (run) => one(lastOf(run).lr)),
    gauge('lockstep_gradient_norm', 'Global norm of the gradient before clipping, last step.', (run) =>
      one(lastOf(run).gradNorm),
    ),
    counter('lockstep_steps_total', 'Steps committed by this process.', ({ totals }) => one(totals.steps)),
    counter('lockstep_samples_total', 'Training rows seen by this process.', ({ totals }) => one(totals.samples)),
    counter('lockstep_clipped_steps_total', 'Steps whose gradient was clipped.', ({ totals }) => one(totals.clipped)),
    counter('lockstep_step_seconds_total', 'Time spent in steps.', ({ totals }) => one(totals.seconds)),
    counter('lockstep_phase_seconds_total', 'Time of the phases of a step on rank 0.', ({ totals }) =>
      samplesOf('phase', totals.phases),
    ),
    counter('lockstep_events_total', 'What happened beside steps.', ({ totals }) => samplesOf('event', totals.events)),
    ...nodeFamilies(distinct(board.nodes)),
  ].join('');
}

type Named<T> = readonly (readonly [name: string, of: T])[];

/** How the nodes of the run that is trained here are. */
function nodeFamilies(nodes: Named<NodeStatus>): string[] {
  const family = (
    type: 'gauge' | 'counter',
    name: string,
    help: string,
    of: (node: NodeStatus) => number | undefined,
  ) =>
    familyText(
      name,
      type,
      help,
      nodes.flatMap(([label, node]) => one(of(node)).map(([, value]): Sample => [{ node: label }, value])),
    );
  return [
    family('gauge', 'lockstep_node_workers', 'Workers of each node.', ({ workers }) => workers),
    family('gauge', 'lockstep_node_up', '1 while a node takes part, 0 when it is lost or has left.', ({ state }) =>
      state === 'working' || state === 'silent' ? 1 : 0,
    ),
    family('gauge', 'lockstep_node_heartbeat_age_seconds', 'Time since a node was heard of.', ({ heartbeatAgeMs }) =>
      heartbeatAgeMs === undefined ? undefined : heartbeatAgeMs / 1000,
    ),
    family('counter', 'lockstep_node_sent_bytes_total', 'Bytes that a node has sent.', ({ sentBytes }) => sentBytes),
    family(
      'counter',
      'lockstep_node_received_bytes_total',
      'Bytes that a node has received.',
      ({ receivedBytes }) => receivedBytes,
    ),
  ];
}

const one = (value: number | undefined): Sample[] => (value === undefined ? [] : [[{}, value]]);

function lastOf(run: RunView): Record<string, number | undefined> {
  return run.totals.steps > 0 ? run.last() : {};
}

function infoOf({ name, runHeader: header }: RunView): Sample[] {
  const { lockstep: version = '' } = header?.versions ?? {};
  const { gemm = '', simd = '' } = header?.kernels ?? {};
  return [[{ run: name, version, gemm, simd }, 1]];
}

function metricsOf(run: RunView): Sample[] {
  const last = lastOf(run);
  return run.metricNames.flatMap((metric): Sample[] => {
    const value = last[metric];
    return value === undefined ? [] : [[{ metric }, value]];
  });
}

/** Two runs or nodes may have one name, two series not. */
function distinct<T extends { readonly name: string }>(all: readonly T[]): Named<T> {
  const seen = new Map<string, number>();
  return all.map((of) => {
    const count = (seen.get(of.name) ?? 0) + 1;
    seen.set(of.name, count);
    return [count === 1 ? of.name : `${of.name} #${count}`, of] as const;
  });
}

function samplesOf(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => [{ [label]: name }, value]);
}

function familyText(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string {
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
