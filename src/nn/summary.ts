import type { Shape } from '../graph/tensor.ts';
import type { LayerRow } from './contract.ts';

/** A range of memory with a name, as the arena lays it out. */
export interface SummaryRegion {
  readonly name: string;
  readonly bytes: number;
}

export interface SummaryInput {
  readonly layers: readonly LayerRow[];
  /** Rows that the model was traced with: axis 0 of the shapes. */
  readonly rows: number;
  /** Floating-point operations of one step over the global batch, forward and backward. */
  readonly flopsPerStep?: number;
  readonly regions?: readonly SummaryRegion[];
  /** Largest number of workers whose regions fit. */
  readonly maxWorkers?: number;
}

/** What `renderSummary` prints, as numbers. */
export interface Summary {
  readonly layers: readonly {
    readonly name: string;
    readonly kind: string;
    /** As text, with the rows as `batch`: [batch, 512]. */
    readonly output: string;
    readonly parameters: number;
  }[];
  readonly parameters: number;
  /** Of the parameters, in f32. */
  readonly parameterBytes: number;
  /** Numbers that layers keep and nobody trains: running statistics. */
  readonly buffers: number;
  readonly flopsPerStep?: number;
  readonly regions: readonly SummaryRegion[];
  readonly totalBytes: number;
  readonly maxWorkers?: number;
}

/** The rows and totals of a model's summary. Pure. A shared layer is one row, with the shape of its first call. */
export function summarize(input: SummaryInput): Summary {
  const { layers, rows, flopsPerStep, regions = [], maxWorkers } = input;
  const parameters = layers.reduce((sum, layer) => sum + layer.parameters, 0);
  return {
    layers: layers.map(({ name, kind, outputShape, parameters }) => ({
      name,
      kind,
      output: batchShape(outputShape, rows),
      parameters,
    })),
    parameters,
    parameterBytes: 4 * parameters,
    buffers: layers.reduce((sum, layer) => sum + (layer.buffers ?? 0), 0),
    flopsPerStep,
    regions,
    totalBytes: regions.reduce((sum, { bytes }) => sum + bytes, 0),
    maxWorkers,
  };
}

function batchShape(shape: Shape, rows: number): string {
  const multiple = (shape[0] ?? 0) / rows;
  const first = multiple === 1 ? 'batch' : Number.isInteger(multiple) && multiple > 0 ? `${multiple}*batch` : shape[0];
  return `[${[...(shape.length === 0 ? [] : [first]), ...shape.slice(1)].join(', ')}]`;
}

/** The summary as lines of plain text: a table of layers, then totals and memory. */
export function renderSummary(summary: Summary): string {
  const { layers, parameters, parameterBytes, buffers, flopsPerStep, regions, totalBytes, maxWorkers } = summary;
  const rows = layers.map((layer) => [layer.name, layer.kind, layer.output, count(layer.parameters)]);
  const lines = [
    ...table([['layer', 'kind', 'output', 'parameters'], ...rows], true),
    '',
    `parameters: ${count(parameters)} (${formatBytes(parameterBytes)})`,
  ];
  if (buffers > 0) lines.push(`running statistics, not trained: ${count(buffers)} (${formatBytes(4 * buffers)})`);
  if (flopsPerStep !== undefined) lines.push(`FLOP a step: ${metric(flopsPerStep)}`);
  if (regions.length > 0) {
    const memory = [...regions, { name: 'total', bytes: totalBytes }];
    lines.push('', 'memory', ...table(memory.map((region) => [`  ${region.name}`, formatBytes(region.bytes)])));
  }
  if (maxWorkers !== undefined) lines.push(`largest number of workers that fits: ${count(maxWorkers)}`);
  return lines.join('\n');
}

/** Columns of equal width, the last one to the right; a rule under the header. */
function table(rows: readonly (readonly string[])[], header = false): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row.map((cell, i) => (i === row.length - 1 ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  '),
  );
  return header ? [lines[0], '-'.repeat(lines[0].length), ...lines.slice(1)] : lines;
}

/** 535818 -> 535,818. */
function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** 16672358 -> 15.9 MiB. */
export function formatBytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let scaled = value;
  for (; scaled >= 1024 && unit < units.length - 1; unit++) scaled /= 1024;
  return `${unit === 0 ? scaled : scaled.toFixed(1)} ${units[unit]}`;
}

/** 411508224 -> 411.5 M. */
function metric(value: number): string {
  const units = ['', ' K', ' M', ' G', ' T', ' P'];
  let unit = 0;
  let scaled = value;
  for (; scaled >= 1000 && unit < units.length - 1; unit++) scaled /= 1000;
  return `${unit === 0 ? scaled : scaled.toFixed(1)}${units[unit]}`;
}
