import { type Row, type RowMode, STEP_PHASES, type StepPhase } from './contract.ts';
import { type Explanation, sentence, workersOf } from './explain.ts';
import { stepsFactor } from './noise-scale.ts';
import type { Series } from './predict.ts';
import { headlineOf, type JobScaling } from './report.ts';

/** Words and cells of a scaling report, for terminal and page alike. Pure. */

const MODES = {
  strong: 'strong: one batch, against the fastest single worker of any S',
  'equal-shards': 'strong: one batch, against one worker with the same S (the same bytes)',
  weak: 'weak: the batch grows with the workers',
} satisfies Record<RowMode, string>;

export const modeTitle = (mode: RowMode): string => MODES[mode];

export const ROW_COLUMNS = [
  'nodes',
  'workers',
  'batch',
  'S',
  'ms a step',
  'samples/s',
  'rounds',
  'efficiency',
  'parameters',
];

export function rowCells(row: Row): string[] {
  const { nodes, workers, batch, shards, stepMs, samplesPerSec, spread, efficiency, parametersSha256 } = row;
  return [
    String(nodes),
    String(workers),
    String(batch),
    String(shards),
    milliseconds(stepMs),
    thousands(samplesPerSec),
    `${thousands(spread[0])} to ${thousands(spread[1])}`,
    efficiency.toFixed(3),
    parametersSha256.slice(0, 12),
  ];
}

/** The result in one line. */
export function headline(job: JobScaling): string | undefined {
  const row = headlineOf(job);
  if (row === undefined) return undefined;
  const { workers, nodes, batch, shards, efficiency, reference } = row;
  const total = workers * nodes;
  if (total === 1) return undefined;
  const where = nodes === 1 ? `${workers} workers` : `${nodes} nodes of ${workers} workers`;
  return `${where}: ${(efficiency * total).toFixed(2)} times as fast as the fastest single worker (S ${reference.shards}) at batch ${batch}, S ${shards}: efficiency ${efficiency.toFixed(3)}`;
}

export function rowsByMode(job: JobScaling): { readonly mode: RowMode; readonly rows: readonly Row[] }[] {
  return (['strong', 'equal-shards', 'weak'] as const)
    .map((mode) => ({ mode, rows: job.rows.filter((row) => row.mode === mode) }))
    .filter(({ rows }) => rows.length > 0);
}

/** What the phases are called in tables. */
export const PHASE_NAMES = {
  receive: 'receive',
  gather: 'gather',
  forward: 'forward',
  backward: 'backward',
  waitGradients: 'wait for gradients',
  reduce: 'reduce',
  waitNorms: 'wait for norms',
  update: 'update',
  serialise: 'make frames',
  send: 'send',
  waitParameters: 'wait for parameters',
} satisfies Record<StepPhase, string>;

/** The phases that any worker of these points has. */
export function phasesOfAll(explanations: readonly Explanation[]): StepPhase[] {
  return STEP_PHASES.filter((name) => explanations.some((e) => e.perWorker.some(({ ms }) => ms[name] > 0)));
}

/** "coordinator 0", "node 2/1", "0". */
export function workerName(nodes: number, node: number, rank: number): string {
  if (nodes === 1) return String(rank);
  return node === 0 ? `coordinator ${rank}` : `node ${node}/${rank}`;
}

/** A line for each worker of each point. */
export function phaseTable({ explanations }: JobScaling): { readonly columns: string[]; readonly rows: string[][] } {
  const names = phasesOfAll(explanations);
  return {
    columns: ['workers', 'batch', 'S', 'worker', 'ms a step', ...names.map((name) => PHASE_NAMES[name])],
    rows: explanations.flatMap(({ workers, nodes, batch, shards, perWorker }) =>
      perWorker.map(({ node, rank, stepMs, ms }) => [
        nodes === 1 ? String(workers) : `${nodes} x ${workers}`,
        String(batch),
        String(shards),
        workerName(nodes, node, rank),
        milliseconds(stepMs),
        ...names.map((name) => milliseconds(ms[name])),
      ]),
    ),
  };
}

export function explanationLines(job: JobScaling): string[] {
  const { explanations, amdahl, peaks, recordingShare } = job;
  const lines = explanations.map((e) => `batch ${e.batch}, S ${e.shards}, ${sentence(e)}; limit: ${e.limit}`);
  lines.push(
    `a core here: matrix products ${peaks.gflops.toFixed(0)} GFLOP/s, memory ${peaks.bandwidth.toFixed(0)} GB/s`,
  );
  for (const e of explanations) {
    if (e.workers * e.nodes === 1) continue;
    lines.push(
      `${workersOf(e)}, batch ${e.batch}: reduction at ${share(e.reduceShare)}, update at ${share(e.updateShare)} of a core's memory bandwidth; the slowest worker computes ${share(e.imbalance)} longer than the mean`,
    );
  }
  if (recordingShare !== undefined) lines.push(`writing the phases down takes ${share(recordingShare)} of a step`);
  if (amdahl) {
    const most = Number.isFinite(amdahl.largestSpeedup)
      ? `at most ${amdahl.largestSpeedup.toFixed(1)} times`
      : 'no limit seen';
    lines.push(
      `Amdahl: ${share(amdahl.serialShare)} of the one-worker step (${milliseconds(amdahl.serialMs)} ms) does not divide: ${most}`,
    );
  }
  return lines;
}

export const SERIES_COLUMNS = [
  'topology',
  'format',
  'nodes',
  'workers',
  'batch',
  'samples/s',
  'one step in ten outside',
  'efficiency',
  'compute',
  'up',
  'update',
  'down',
];

export function seriesCells({ series }: JobScaling): string[][] {
  return series.flatMap(({ rows }) =>
    rows.map((p) => [
      p.topology,
      p.format,
      String(p.nodes),
      String(p.workers),
      String(p.batch),
      thousands(p.samplesPerSec),
      `${thousands(p.band[0])} to ${thousands(p.band[1])}`,
      p.efficiency.toFixed(2),
      ...(['compute', 'up', 'update', 'down'] as const).map((name) => milliseconds(p.phases[name])),
    ]),
  );
}

const LIMITS = {
  compute: 'computing',
  up: 'sums on their way up',
  update: 'the update',
  down: 'parameters on their way down',
  shards: 'no shards are left to be given',
} satisfies Record<Series['limit'], string>;

/** "star over 1gbit/0.5ms: stop at 6 nodes (...); bf16 moves it to 11". */
export function stopLines({ series, whatIf }: JobScaling): string[] {
  const most = Math.max(...whatIf.nodes);
  return [...new Set(series.map(({ topology }) => topology))].map((topology) => {
    const [first, ...others] = series.filter((s) => s.topology === topology);
    const place = ({ stopAt }: Series) => (stopAt >= most ? `all ${most}` : String(stopAt));
    const nodes = first.stopAt >= most ? `all ${most} nodes pay` : `stop at ${first.stopAt} ${first.stopAt === 1 ? 'node' : 'nodes'}`; // biome-ignore format: one line
    const why = first.stopAt >= most ? '' : `, for then it is ${first.limit === 'shards' ? `that ${LIMITS.shards}` : `mostly ${LIMITS[first.limit]}`}`; // biome-ignore format: one line
    const moved = others
      .filter(({ stopAt }) => stopAt !== first.stopAt)
      .map((s) => `${s.format} moves it to ${place(s)}`);
    const same = others.length > 0 && moved.length === 0 ? `; ${others.map(({ format }) => format).join(', ')}: the same` : ''; // biome-ignore format: one line
    const changed = first.rows.find(({ repeatedShards }) => repeatedShards > 0);
    const lost = changed
      ? `; ${changed.repeatedShards} shards of lost nodes computed again, ${changed.shardsAtEnd.length} nodes at the end`
      : '';
    const by = `${topology === 'tree' ? 'two-level tree (simulated only)' : topology}, ${first.format}`;
    return `${by} over ${whatIf.link.name}: ${nodes}${why}${moved.length > 0 ? `; ${moved.join(', ')}` : same}${lost}`;
  });
}

export function errorLines({ errors, link }: JobScaling): string[] {
  const over = link ? ` over ${link.name}` : '';
  const found = link
    ? [
        `${link.name} is in truth ${Number(((8 * link.bytesPerMs) / 1000).toPrecision(3))} mbit/s and ${milliseconds(link.latencyMs)} ms between two processes that compute nothing: with these it is predicted`,
      ]
    : [];
  const lines = errors.map(
    ({ workers, nodes, measured, predicted, error }) =>
      `predicted against measured, ${nodes === 1 ? '' : `${nodes} nodes${over} x `}${workers} ${workers === 1 ? 'worker' : 'workers'}: ${thousands(predicted)} against ${thousands(measured)} samples/s (${error >= 0 ? '+' : ''}${share(error)})`,
  );
  return lines.length > 0 ? [...found, ...lines] : lines;
}

export function noiseLines({ noise }: JobScaling): string[] {
  if (noise === undefined) return [];
  const { criticalBatch, error, samples, steps, rowsPerWorker, workers, costShare, everyOf } = noise;
  const cost = `${samples} samples; one every ${everyOf} steps costs ${(100 * Math.max(0, costShare)).toFixed(2)} % of the time`;
  if (!Number.isFinite(criticalBatch)) {
    return [
      `critical batch: the gradient of the first ${steps} steps is lost in its noise: larger batches pay for as long as was looked (${cost})`,
    ];
  }
  return [
    `critical batch in the first ${steps} steps: ${thousands(criticalBatch)} rows, give or take ${thousands(error)} (${cost}); it grows as training goes on`,
    `at ${Math.round(rowsPerWorker)} rows a worker up to ${workers} ${workers === 1 ? 'worker shortens' : 'workers shorten'} the training by half of their share or more; ` +
      `now ${stepsFactor(criticalBatch, rowsPerWorker).toFixed(1)} times the fewest steps on one worker, ${stepsFactor(criticalBatch, rowsPerWorker * 2).toFixed(1)} on two with twice the batch`,
  ];
}

export function milliseconds(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms >= 1 ? ms.toFixed(2) : ms.toFixed(4);
}

export function thousands(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return Number(value.toPrecision(4)).toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 1 : 0 });
}

function share(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = Math.abs(value) < 0.001 ? 3 : Math.abs(value) < 0.1 ? 1 : 0;
  return `${(100 * value).toFixed(digits)} %`;
}
