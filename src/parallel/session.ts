import type { FieldInfo } from '../data/contract.ts';
import type { Block } from '../graph/layout.ts';
import type { Program, TensorEntry } from '../graph/program.ts';
import type { BackendChoice } from '../kernels/backend.ts';
import type { ClipOptions } from '../optim/clip.ts';
import type { OptimizerDescription } from '../optim/contract.ts';
import type { RateChange } from '../optim/schedules.ts';
import type { SlotVector } from '../optim/slots.ts';
import type { ArenaLayout } from './arena.ts';
import type { PlacedAugmentation } from './augment.ts';
import type { TensorCounts } from './histogram.ts';
import type { Pace } from './inner-steps.ts';
import type { BadShard } from './inspect.ts';
import type { RowTable } from './row-memory.ts';
import type { RunningStatistic } from './running-statistics.ts';
import type { StreamedAddress, StreamedColumn, StreamedSparse } from './windows.ts';
import type { WireFormat } from './wire-format.ts';

/** Where workers import custom code from: a module URL and the path of the value in its exports ('default.data.train.read'). */
export interface ModuleRef {
  readonly module: string;
  readonly path: string;
}

/** A column of a table in the arena. */
export interface ColumnAddress {
  readonly name: string;
  readonly address: number;
  /** Elements a row. */
  readonly width: number;
  /** Elements from one row to the next, where that is not the width: rows overlap. */
  readonly stride?: number;
  /** u8 elements that become f32 by x * scale + shift; else 4-byte words copied as they are. */
  readonly bytes: boolean;
  readonly scale: number;
  readonly shift: number;
}

/** A column of sparse rows in the arena: addresses of its three lists. */
export interface SparseAddress {
  readonly name: string;
  readonly width: number;
  /** Places for values; in windows, of both halves. */
  readonly nonZero: number;
  readonly pointers: number;
  readonly indices: number;
  readonly values: number;
}

export type SplitAddress =
  | {
      readonly kind: 'table';
      readonly size: number;
      readonly columns: readonly ColumnAddress[];
      readonly sparse?: readonly SparseAddress[];
    }
  /** Training rows on disk: windows of them lie in the arena. */
  | ({
      readonly kind: 'streamed';
      readonly size: number;
      readonly columns: readonly (ColumnAddress & StreamedColumn)[];
      readonly sparse?: readonly (SparseAddress & StreamedSparse)[];
    } & StreamedAddress)
  /** Other rows on disk: read when they are needed. */
  | {
      readonly kind: 'file';
      readonly size: number;
      readonly fd: number;
      readonly columns: readonly (Omit<ColumnAddress, 'address'> & Omit<StreamedColumn, 'address'>)[];
      readonly sparse?: readonly (Pick<SparseAddress, 'name' | 'width'> & Omit<StreamedSparse, 'windowValues'>)[];
    }
  | {
      readonly kind: 'computed';
      readonly size: number;
      readonly fields: readonly FieldInfo[];
      readonly read: ModuleRef;
      readonly ids?: Int32Array;
    };

/** A program with the index of its constants region. */
export interface PlacedProgram {
  readonly program: Program;
  readonly constants: number;
}

export type SplitName = 'train' | 'val' | 'test';

/** Everything a worker needs, as plain data: the compiled job and where it lies in memory. */
export interface Session {
  readonly id: string;
  readonly memory: WebAssembly.Memory;
  readonly kernels: WebAssembly.Module;
  readonly backend: BackendChoice;
  readonly layout: ArenaLayout;
  readonly workers: number;
  /** Polls of a barrier before it sleeps. */
  readonly spins: number;
  readonly seed: number;
  readonly shards: number;
  readonly batchSize: number;
  /** Training rows in another order each epoch; false: in the order of the table. */
  readonly shuffle: boolean;
  /** Of the job. */
  readonly totalSteps: number;
  readonly tensors: readonly TensorEntry[];
  readonly blocks: readonly Block[];
  /** What layers keep beside the parameters, behind them in the flat vector. */
  readonly buffers: readonly TensorEntry[];
  readonly statistics: readonly RunningStatistic[];
  /** Of the moments of a shard. */
  readonly momentBytes: number;
  /** Tables with sparse gradients. */
  readonly rowTables: readonly RowTable[];
  readonly partialSlots: number;
  /** The GEMM accumulates exactly: sibling shards of one worker share a partial sum. */
  readonly accumulate: boolean;
  /** What this process does in a run on many machines; absent: it is alone. A coordinator has the optimizer, nodes compute gradients. */
  readonly part?: Part;
  /** A coordinator's: how floats cross the network. Absent: fp32. */
  readonly wire?: WireFormat;
  /** A coordinator's: its steps are rounds of steps of the job, which nodes make by themselves (inner-steps.ts). Absent: they are the same. */
  readonly pace?: Pace;
  /** See warmup-rate.ts. */
  readonly proportional?: boolean;
  /** A coordinator's: bytes of what each of its nodes keeps from round to round (kept-state.ts). Absent: nothing. */
  readonly keptBytes?: number;
  /** Groups of neighbouring shards that keep every bit: rows of each, joined by commas. */
  readonly groups: readonly string[];
  /** Most rows of neighbouring shards that a worker computes together, by rows of the batch; 0 or absent: each shard by itself. */
  readonly groupRows: Readonly<Record<number, number>>;
  /** For every shard size, and for the sums of shard sizes that groups have. */
  readonly trainPrograms: readonly PlacedProgram[];
  readonly evaluationPrograms: readonly PlacedProgram[];
  /** Names of the f64 sums of a shard: 'loss', 'weight', metrics. */
  readonly sums: readonly string[];
  readonly evaluationRows: number;
  readonly splits: Readonly<Partial<Record<SplitName, SplitAddress>>>;
  /** Random changes to the rows of the training split. */
  readonly augmentations: readonly PlacedAugmentation[];
  readonly optimizer: OptimizerDescription;
  /** Module of a custom optimizer definition. */
  readonly customOptimizer?: ModuleRef;
  /** The optimizer's slots: one flat vector each, at `layout.slots`. */
  readonly slots: readonly SlotVector[];
  /** Names of the optimizer's persistent numbers, as progress.ts keeps them. */
  readonly progressNames: readonly string[];
  readonly nonFinite: 'stop' | 'skip';
  /** Steps between two samples of the gradient noise; 0: none. */
  readonly noiseEvery: number;
  readonly clip: ClipOptions;
}

export type Part = 'coordinator' | 'node';

/** What a worker is asked to do. */
export type WorkerTask =
  /** `committed` 0: parameters and slots are initialised; else they lie in the arena as of that step. */
  | { readonly kind: 'open'; readonly session: Session; readonly committed: number }
  /** Copies parameters, slots and buffers to `staging` or back; each worker its part. */
  | { readonly kind: 'snapshot' | 'restore'; readonly session: string; readonly staging: SharedArrayBuffer }
  | {
      readonly kind: 'train';
      readonly session: string;
      readonly from: number;
      readonly to: number;
      /** What a schedule that looks at the history has decided, by the step from which on it holds. */
      readonly rateChanges: readonly RateChange[];
    }
  | { readonly kind: 'evaluate'; readonly session: string; readonly split: SplitName }
  /** Computes the shards that the main thread gives, round by round, until it says to leave. */
  | { readonly kind: 'serve'; readonly session: string }
  /** The gradient of one fixed shard at the parameters as they are, as a hash. */
  | { readonly kind: 'prove'; readonly session: string }
  /** Counts the values of parameters and gradients after `step`, the last that was trained. */
  | { readonly kind: 'count'; readonly session: string; readonly step: number }
  /** Looks for the shard whose numbers broke in `step`, which was not committed. */
  | { readonly kind: 'inspect'; readonly session: string; readonly step: number };

export interface WorkerReport {
  readonly rank: number;
  /** CPU time of this thread since the session was opened. */
  readonly cpuSeconds: number;
  /** Why a training segment ended early. */
  readonly stopped?: 'nonFinite';
  /** What 'prove' computed: of rank 0. */
  readonly proof?: string;
  /** What 'count' counted in this worker's blocks. */
  readonly counts?: readonly TensorCounts[];
  /** What 'inspect' found among this worker's shards. */
  readonly bad?: BadShard;
}

/** An error as data: classes do not survive the way between threads. */
export interface WorkerFailure {
  readonly rank: number;
  readonly aborted: boolean;
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
  readonly detail?: { where: string; expected: string; got: string; fix: string };
}

export type WorkerAnswer = { readonly report: WorkerReport } | { readonly failure: WorkerFailure };
