import { LockstepError } from '../errors.ts';
import { GEMM_SCRATCH_BYTES, READING_BYTES } from '../kernels/table.ts';
import { BARRIER_WORDS } from './barrier.ts';
import { CONTROL_WORDS } from './control.ts';
import { noiseBytes } from './noise-sampler.ts';
import { RING_CAPACITY } from './record-ring.ts';
import { placeRows, ROW_BUCKETS, type RowRegions, type RowTable, rowScratchBytes } from './row-memory.ts';
import { TIMELINE_BYTES } from './timeline.ts';

/**
 * The arena: one shared WebAssembly.Memory of a node, cut into regions. Pure planning: sizes in, byte addresses out.
 * Everything a step touches is placed here once; a step allocates nothing.
 */
export interface ArenaSpec {
  /** First free byte: AssemblyScript keeps its static data below. */
  readonly heapBase: number;
  readonly workers: number;
  readonly shards: number;
  /** Elements of the flat parameter vector, padding included. */
  readonly flatSize: number;
  /** Elements of a flat gradient. Default: flatSize. */
  readonly gradientSize?: number;
  /** Floats of running statistics. Default 0. */
  readonly bufferFloats?: number;
  /** Bytes of the moments of a shard that they follow. Default 0. */
  readonly momentBytes?: number;
  /** Tables with sparse gradients. Default none. */
  readonly rowTables?: readonly RowTable[];
  readonly blocks: number;
  /** Elements of each optimizer slot. */
  readonly slots: readonly number[];
  /** Partial-sum slots of each worker. */
  readonly partialSlots: number;
  /** Length of the longest block, in floats. */
  readonly blockFloats: number;
  readonly temporaries: number;
  /** Numbers in `sums` of a shard, training and evaluation. */
  readonly sums: number;
  readonly evaluationShards: number;
  /** Bytes that the largest program needs. */
  readonly batchBytes: number;
  readonly activationBytes: number;
  /** Of each shard of a group: see Region 'ends'. */
  readonly endBytes: number;
  /** Rows of the largest shard or group of shards. */
  readonly rows: number;
  /** Most shards that a worker computes together. */
  readonly group: number;
  /** Constants of each program. */
  readonly constantBytes: readonly number[];
  /** Doubles of one record. */
  readonly recordWidth: number;
  /** Doubles of the scalars of the optimizer. */
  readonly scalars: number;
  /** Doubles of its table of partial sums. Default 0. */
  readonly optimizerSums?: number;
  /** Floats of its scratch memory, for each worker. Default 0. */
  readonly optimizerScratch?: number;
  /** Floats of a gradient that it transforms, for each worker. Default 0. */
  readonly transformed?: number;
  /** A second vector of parameters, to evaluate with. Default false. */
  readonly evaluates?: boolean;
  /** Sums of further passes over the batch within a step. Default false. */
  readonly drives?: boolean;
  /** Parameter tensors. Default 0. */
  readonly tensors?: number;
  /** Doubles of the optimizer's progress after a step: see progress.ts. */
  readonly progress: number;
  /** Partial sums that come from other nodes, or go to them. Default 0: this process is alone. */
  readonly uploads?: number;
  /** Words of rounds (rounds.ts). Default 0. */
  readonly roundWords?: number;
  /** Sockets read into the arena. Default false. */
  readonly reads?: boolean;
  /** For lossy wire formats (wire.ts). Default: none. */
  readonly wire?: WireSpec;
  /** Samples of the gradient noise are taken. Default false. */
  readonly noise?: boolean;
  /** Bytes of the data sets. */
  readonly dataBytes: number;
}

export interface WireSpec {
  /** Encoded sums. */
  readonly sums: number;
  /** Of an encoded vector. */
  readonly encodedBytes: number;
  /** Which f32 vectors go with them. */
  readonly replica: boolean;
  readonly residual: boolean;
}

export interface WorkerRegions {
  readonly partials: readonly number[];
  readonly activations: number;
  readonly batch: number;
  /** For each shard of a group, `endStride` bytes apart. */
  readonly ends: number;
  readonly endStride: number;
  /** f64 [group, sums] of the shards being computed. */
  readonly sums: number;
  /** Four i32 for each shard of a group, KEY_STRIDE apart: seed low, seed high, step, shard. */
  readonly key: number;
  readonly ids: number;
  /** Where the rows lie in the windows of a split on disk. */
  readonly places: number;
  readonly scratch: number;
  /** Block-sized temporaries of the reduction. */
  readonly temporaries: readonly number[];
  readonly scalars: number;
  readonly optimizerScratch: number;
  readonly transformed: number;
  /** For merging lists of rows. */
  readonly rowScratch: number;
}

export interface WireRegions {
  /** Sums of other nodes by their first shard, or the one of this node, encoded. */
  readonly sums: readonly number[];
  /** Parameters, or what they have changed by, encoded. */
  readonly down: number;
  /** The parameters that all nodes hold; on a node, while it makes local steps from them. */
  readonly replica: number;
  /** What this node's sums have left unsaid. */
  readonly residual: number;
}

export interface ArenaLayout {
  readonly barrier: number;
  readonly control: number;
  /** f64 [shards, sums]. */
  readonly shardSums: number;
  /** The moments of each shard, as programs write them. */
  readonly moments: number;
  /** f32 [2, buffers]: running statistics after even and odd steps. */
  readonly running: number;
  /** f64 [evaluationShards, sums]. */
  readonly evaluationSums: number;
  /** f64 squared norm of each block. */
  readonly norms: number;
  /** i32 epoch word of each block, then of each bucket of the sparse tables. */
  readonly epochs: number;
  /** f64 [shards, sums] of the passes after the first, where the optimizer makes several a step; else `shardSums`. */
  readonly trialSums: number;
  /** f64 smallest clip coefficient of each tensor. */
  readonly clipScales: number;
  /** f64 [2, rows, sums]: the optimizer's partial sums, two tables used in turn. */
  readonly optimizerSums: number;
  /** f64 [2, progress]: the optimizer's progress after even and odd steps. */
  readonly progress: number;
  readonly ring: number;
  /** See noise-sampler.ts. */
  readonly noise: number;
  /** Ring of each worker's phases: see timeline.ts. */
  readonly timelines: readonly number[];
  readonly parameters: number;
  readonly slots: readonly number[];
  /** Parameters to evaluate with: `parameters` unless the optimizer keeps others. */
  readonly evaluated: number;
  /** The reduced gradient. */
  readonly reduced: number;
  /** Words of rounds. */
  readonly rounds: number;
  /** Partial sums of other nodes by their first shard, or this node's sums for the coordinator. */
  readonly uploads: readonly number[];
  /** READING_BYTES into which sockets read. */
  readonly reading: number;
  /** What lossy wire formats need beside them. */
  readonly wire: WireRegions;
  /** Sparse gradients. */
  readonly rows: RowRegions;
  readonly constants: readonly number[];
  readonly workers: readonly WorkerRegions[];
  readonly data: number;
  readonly bytes: number;
  /** Name and size of each region, for `summary` and errors. */
  readonly regions: readonly { name: string; bytes: number }[];
}

const ALIGNMENT = 64;
const NO_WIRE: WireSpec = { sums: 0, encodedBytes: 0, replica: false, residual: false };
/** Bytes between the keys of two shards of a group. */
export const KEY_STRIDE = 16;
/** wasm32 addresses 4 GiB. */
export const MAX_ARENA_BYTES = 65536 * 65536;

export function planArena(spec: ArenaSpec): ArenaLayout {
  let top = align(spec.heapBase);
  const regions: { name: string; bytes: number }[] = [];
  const take = (bytes: number): number => {
    const address = top;
    top = align(top + bytes);
    return address;
  };
  const region = <T>(name: string, place: () => T): T => {
    const before = top;
    const placed = place();
    regions.push({ name, bytes: top - before });
    return placed;
  };
  const vector = 4 * spec.flatSize;
  const gradient = 4 * (spec.gradientSize ?? spec.flatSize);
  const { rowTables = [] } = spec;

  const control = region('control and barrier', () => ({
    barrier: take(4 * BARRIER_WORDS),
    control: take(4 * CONTROL_WORDS),
    shardSums: take(8 * spec.shards * spec.sums),
    moments: take(spec.shards * (spec.momentBytes ?? 0)),
    running: take(2 * 4 * (spec.bufferFloats ?? 0)),
    evaluationSums: take(8 * spec.evaluationShards * spec.sums),
    norms: take(8 * spec.blocks),
    epochs: take(4 * spec.blocks + 4 * ROW_BUCKETS * rowTables.length),
    progress: take(2 * 8 * spec.progress),
    trialSums: take(spec.drives ? 8 * spec.shards * spec.sums : 0),
    clipScales: take(8 * (spec.tensors ?? 0)),
    optimizerSums: take(8 * (spec.optimizerSums ?? 0)),
    noise: take(spec.noise ? noiseBytes(spec.workers, spec.shards) : 0),
    rounds: take(4 * (spec.roundWords ?? 0)),
  }));
  const ring = region('record ring', () => take(8 * RING_CAPACITY * spec.recordWidth));
  const timelines = region('timeline', () => Array.from({ length: spec.workers }, () => take(TIMELINE_BYTES)));
  const parameters = region('parameters', () => take(vector));
  const slots = region('optimizer slots', () => spec.slots.map((floats) => take(4 * floats)));
  const evaluated = spec.evaluates ? region('parameters to evaluate with', () => take(vector)) : parameters;
  const reduced = region('reduced gradient', () => take(gradient));
  const { uploads: sums = 0 } = spec;
  const placeSums = () => Array.from({ length: sums }, () => take(gradient));
  const uploads = sums > 0 ? region('partial sums between nodes', placeSums) : [];
  const reading = spec.reads ? region('reads from sockets', () => take(READING_BYTES)) : 0;
  const placeWire = ({ sums: encoded, encodedBytes, replica, residual } = spec.wire ?? NO_WIRE): WireRegions => ({
    sums: Array.from({ length: encoded }, () => take(encodedBytes)),
    down: take(encodedBytes),
    replica: take(replica ? gradient : 0),
    residual: take(residual ? gradient : 0),
  });
  const wire = spec.wire ? region('wire format', placeWire) : placeWire();
  const placeLists = () => placeRows(rowTables, spec.shards, take);
  const rows = rowTables.length > 0 ? region('gradients of looked-up rows', placeLists) : placeLists();
  const constants = region('program constants', () => spec.constantBytes.map(take));
  const workers = region(`workers (${spec.workers}): partial sums, activations, batch, scratch`, () =>
    Array.from({ length: spec.workers }, () => ({
      partials: Array.from({ length: spec.partialSlots }, () => take(gradient)),
      activations: take(spec.activationBytes),
      batch: take(spec.batchBytes),
      ends: take(spec.endBytes * spec.group),
      endStride: spec.endBytes,
      sums: take(8 * spec.sums * spec.group),
      key: take(KEY_STRIDE * spec.group),
      ids: take(4 * spec.rows),
      places: take(4 * spec.rows),
      scratch: take(GEMM_SCRATCH_BYTES),
      temporaries: Array.from({ length: spec.temporaries }, () => take(4 * spec.blockFloats)),
      scalars: take(8 * spec.scalars),
      optimizerScratch: take(4 * (spec.optimizerScratch ?? 0)),
      transformed: take(4 * (spec.transformed ?? 0)),
      rowScratch: take(rowScratchBytes(rowTables, spec.shards)),
    })),
  );
  const data = region('data', () => take(spec.dataBytes));
  if (top > MAX_ARENA_BYTES) throw tooLarge(top, spec, regions);
  return {
    ...control,
    ring,
    timelines,
    parameters,
    slots,
    evaluated,
    reduced,
    uploads,
    reading,
    wire,
    rows,
    constants,
    workers,
    data,
    bytes: top,
    regions,
  };
}

/** Largest number of workers whose regions fit beside the shared ones. */
export function workersThatFit(layout: ArenaLayout): number {
  const workers = layout.workers.length;
  const ofWorkers = regionBytes(layout, 'workers');
  return Math.max(0, Math.floor((MAX_ARENA_BYTES - (layout.bytes - ofWorkers)) / (ofWorkers / workers)));
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Reserves the memory; E_MEMORY when the system has not that much. */
export function createArena(layout: ArenaLayout): WebAssembly.Memory {
  const pages = Math.ceil(layout.bytes / 65536);
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (cause) {
    throw new LockstepError('E_MEMORY', {
      where: 'arena',
      expected: `${formatBytes(layout.bytes)} of shared memory (${describeRegions(layout.regions)})`,
      got: 'an allocation failure',
      fix: 'use fewer workers, a smaller model or batch, or a machine with more memory',
      cause,
    });
  }
}

function tooLarge(bytes: number, spec: ArenaSpec, regions: ArenaLayout['regions']): LockstepError {
  const perWorker = (regions.find((r) => r.name.startsWith('workers'))?.bytes ?? 0) / spec.workers;
  const fit = Math.floor((MAX_ARENA_BYTES - (bytes - perWorker * spec.workers)) / perWorker);
  return new LockstepError('E_MEMORY', {
    where: 'arena',
    expected: `at most ${formatBytes(MAX_ARENA_BYTES)} (what 32-bit WebAssembly addresses)`,
    got: `${formatBytes(bytes)}: ${describeRegions(regions)}`,
    fix:
      fit >= 1
        ? `use at most ${fit} worker${fit === 1 ? '' : 's'}, or more shards (smaller activations)`
        : 'use a smaller model, a smaller batch or more shards (smaller activations), or less data in memory',
  });
}

function describeRegions(regions: ArenaLayout['regions']): string {
  return regions
    .filter((r) => r.bytes >= 1024 * 1024)
    .map((r) => `${r.name} ${formatBytes(r.bytes)}`)
    .join(', ');
}

function regionBytes(layout: ArenaLayout, prefix: string): number {
  return layout.regions.find((r) => r.name.startsWith(prefix))?.bytes ?? 0;
}

function align(n: number): number {
  return Math.ceil(n / ALIGNMENT) * ALIGNMENT;
}
