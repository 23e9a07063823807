import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoadedData } from '../data/contract.ts';
import { loadData } from '../data/load.ts';
import { LockstepError } from '../errors.ts';
import { accumulatedGemms, accumulatingProgram } from '../graph/accumulate.ts';
import type { Program } from '../graph/program.ts';
import { type BackendChoice, chooseBackend } from '../kernels/backend.ts';
import { accumulatesExactly } from '../kernels/gemm-bits.ts';
import { compileKernels, heapBaseOf } from '../kernels/wasm.ts';
import { type ResolvedOptimizer, resolveOptimizer } from '../optim/catalogue.ts';
import { type BoundOptimizer, bindOptimizer } from '../optim/groups.ts';
import { type ArenaLayout, type ArenaSpec, planArena } from '../parallel/arena.ts';
import { evaluationShards } from '../parallel/evaluation-shards.ts';
import { keptBytes } from '../parallel/kept-state.ts';
import { type OptimizerMemory, optimizerMemory } from '../parallel/optimizer-memory.ts';
import { progressWidth } from '../parallel/progress.ts';
import { RECORD_SUMS } from '../parallel/record-ring.ts';
import { roundWords } from '../parallel/rounds.ts';
import { bufferRange } from '../parallel/running-statistics.ts';
import type { Part } from '../parallel/session.ts';
import { mostRoots, partialSlots, reductionTemporaries } from '../parallel/step-plan.ts';
import { codecOf, encodedBytes, mostEncodedBytes, type WireFormat } from '../parallel/wire-format.ts';
import { checkWindows } from './check-windows.ts';
import { type CompiledJob, compileJob } from './compile.ts';
import { chooseGrouping } from './grouping.ts';
import type { Job } from './job.ts';
import { inRounds, type LocalPlan, type LocalSteps, localNote, planLocalSteps } from './local-steps.ts';
import type { TrainOptions } from './options.ts';
import { dataBytes, namedSplits } from './place.ts';
import { type ResolvedJob, resolveJob } from './resolve-job.ts';
import { batchFor } from './shards.ts';
import { type Trial, trialData, trialJob, trialNote, trialOf } from './trial.ts';
import { resolveWorkers } from './workers.ts';

/** Partial sums stay apart, one for each shard, while a worker's take no more than this. */
const PARTIALS_BUDGET = 64 * 1024 * 1024;

/** Divisions of a batch among nodes for which groups of shards are prepared. A coordinator computes none. */
const NODES_FORESEEN = { alone: [1], node: [1, 2, 3, 4, 5, 6, 7, 8], coordinator: [] } as const;

/** A coordinator has a place for the sum that begins at each shard; a node for the sums in which its shards can end. */
function sumsBetweenNodes(part: Part, shards: number): number {
  return part === 'coordinator' ? shards : mostRoots(shards);
}

/** A coordinator knows its wire format; a node hears of it, and of local steps, when it joins, so it has room for any. */
function wireMemory(part: Part, wire: WireFormat, { blocks, shards }: CompiledJob): Pick<ArenaSpec, 'wire'> {
  if (part === 'node')
    return { wire: { sums: 1, encodedBytes: mostEncodedBytes(blocks), replica: true, residual: true } };
  const codec = codecOf(wire);
  if (!codec) return {};
  return { wire: { sums: shards, encodedBytes: encodedBytes(blocks, codec), replica: codec.takes, residual: false } };
}

/** How a coordinator and its nodes exchange what they compute. */
export interface Exchange {
  /** How floats cross the network. Default fp32. */
  readonly wire?: WireFormat;
  /** Absent: nodes compute the gradients of every step. */
  readonly localSteps?: LocalSteps;
}

/** A job with everything decided and nothing started: data loaded, programs compiled, memory planned. */
export interface RunPlan {
  readonly job: ResolvedJob;
  readonly data: LoadedData;
  readonly compiled: CompiledJob;
  /** The job's. */
  readonly optimizer: ResolvedOptimizer;
  /** The one that runs here (with local steps a coordinator's is another), fitted to the model, and what it needs of the arena. */
  readonly bound: BoundOptimizer;
  readonly needs: OptimizerMemory;
  readonly layout: ArenaLayout;
  readonly workers: number;
  /** See TrainOptions.gradientNoiseEvery; 0: never. */
  readonly noiseEvery: number;
  /** See Session. */
  readonly part?: Part;
  readonly wire: WireFormat;
  /** A coordinator's, where nodes make steps by themselves: `compiled` then counts in rounds. */
  readonly local?: LocalPlan;
  /** See Session. */
  readonly keptBytes: number;
  readonly cores: number;
  readonly partialSlots: number;
  /** See Session. */
  readonly accumulate: boolean;
  readonly groupRows: Readonly<Record<number, number>>;
  readonly groups: readonly string[];
  /** Programs of single shards and of groups. */
  readonly trainPrograms: readonly Program[];
  readonly backend: BackendChoice;
  readonly kernels: WebAssembly.Module;
  /** Each epoch in another order; false in trials, whose rows lie in the order of their steps. */
  readonly shuffle: boolean;
  /** Set when only some batches are run, to try the job out. */
  readonly trial?: Trial;
  /** Training programs first, then evaluation: the order of `layout.constants`. */
  readonly programs: readonly Program[];
  /** Folder that relative paths of the data start from, and the job's module. */
  readonly origin: { readonly baseDir: string; readonly module?: string };
  /** What the user should know: idle cores, missing BLAS, a softmax too many. */
  readonly notes: readonly string[];
}

function baseDirOf({ module }: TrainOptions): string {
  return module ? dirname(fileURLToPath(module)) : process.cwd();
}

/** Reads the data of a job. Relative paths count from the job's module. */
export function loadJobData(job: ResolvedJob, options: TrainOptions): Promise<LoadedData> {
  return loadData(job.data, {
    seed: job.seed,
    baseDir: baseDirOf(options),
    signal: options.signal,
  });
}

/**
 * Loads, compiles and plans; throws every error that can be known before a thread is started.
 *
 * @param given data in the place of the job's own, which is then not read.
 * @param part what this process does in a run on many machines; absent: it is alone.
 * @param exchange how a coordinator keeps its nodes together.
 */
export async function planRun(
  jobOfUser: Job,
  options: TrainOptions = {},
  given?: LoadedData,
  part?: Part,
  { wire = 'fp32', localSteps }: Exchange = {},
): Promise<RunPlan> {
  const trial = trialOf(options);
  const whole = resolveJob(jobOfUser);
  const job = trial ? trialJob(whole, trial) : whole;
  const workers = resolveWorkers(options.workers);
  const noiseEvery = options.gradientNoiseEvery ?? 0;
  const portable = job.deterministic === 'portable';
  const optimizer = resolveOptimizer(job.optimizer);
  const backend = chooseBackend({ portable });
  const { module: kernels } = await compileKernels({ simd: backend.simd });
  const loaded = given ?? (await loadJobData(job, options));
  const data = trial ? trialData(loaded, trial, job) : loaded;
  const untied = compileJob(job, data, optimizer);
  checkWindows(data, untied.batchSize);
  const own = bindOptimizer(optimizer, untied.tensors);
  refuseMiniBatches(own, untied);
  const tied = { ...untied, tensors: untied.tensors.map((t, i) => ({ ...t, group: own.groupOf[i] })) };
  const local = localSteps && planLocalSteps(localSteps, optimizer, own, tied);
  const compiled = local ? inRounds(tied, local) : tied;
  const bound = local ? bindOptimizer(local.resolved, tied.tensors) : own;
  const needs = optimizerMemory(bound, compiled.tensors, compiled.blocks, local ? {} : job.clip);
  const takes = part === 'coordinator' && codecOf(wire)?.takes === true;
  const inner = local && optimizerMemory(own, tied.tensors, tied.blocks, job.clip);
  const slots =
    part === 'coordinator' ? 1 : partialSlots(compiled.shards, workers, 4 * compiled.gradientSize, PARTIALS_BUDGET);
  const accumulating = compiled.trainPrograms.map((program) => accumulatingProgram(program, compiled.tensors));
  const accumulate = accumulatesExactly(
    backend,
    kernels,
    compiled.trainPrograms.flatMap((program) => accumulatedGemms(program, compiled.tensors)),
  );
  const grouping = chooseGrouping(
    compiled,
    { shards: compiled.shards, workers, partialSlots: slots, accumulate },
    backend,
    kernels,
    job.activationBudget,
    NODES_FORESEEN[part ?? 'alone'],
  );
  const trainPrograms = [...new Set([...compiled.trainPrograms, ...grouping.programs])];
  const programs = [...trainPrograms, ...compiled.evaluationPrograms];
  const most = (of: (program: Program) => number) => programs.reduce((m, p) => Math.max(m, of(p)), 0);
  const evaluated = [data.validation, data.test].map((s) => evaluationShards(s?.size ?? 0, compiled.evaluationRows));
  const layout = planArena({
    heapBase: heapBaseOf(kernels),
    workers,
    shards: compiled.shards,
    flatSize: compiled.flatSize,
    gradientSize: compiled.gradientSize,
    bufferFloats: bufferRange(compiled).length,
    momentBytes: compiled.trainPrograms[0].momentBytes,
    rowTables: compiled.rowTables,
    blocks: compiled.blocks.length,
    slots: needs.slots.map(({ floats }) => floats),
    partialSlots: slots,
    blockFloats: compiled.blocks.reduce((m, b) => Math.max(m, b.length), 0),
    temporaries: reductionTemporaries(compiled.shards),
    sums: compiled.sums.length,
    evaluationShards: Math.max(...evaluated),
    batchBytes: most((p) => p.batchBytes),
    activationBytes: Math.max(
      most((p) => p.activationBytes),
      grouping.activationBytes,
      ...accumulating.map((p) => p.activationBytes),
    ),
    endBytes: most((p) => p.endBytes),
    rows: most((p) => p.rows),
    group: grouping.group,
    constantBytes: programs.map((p) => p.constants.length),
    recordWidth: RECORD_SUMS + compiled.sums.length,
    scalars: needs.scalars,
    optimizerSums: needs.partialSums,
    optimizerScratch: needs.scratch,
    transformed: needs.transformed,
    evaluates: needs.evaluates,
    drives: needs.drives,
    noise: noiseEvery > 0,
    tensors: compiled.tensors.length,
    progress: progressWidth(needs.progressNames),
    ...(part && {
      uploads: sumsBetweenNodes(part, compiled.shards),
      roundWords: roundWords({ shards: compiled.shards, workers }),
      reads: true,
    }),
    ...(part && wireMemory(part, wire, compiled)),
    dataBytes: dataBytes(namedSplits(data)),
  });
  const cores = availableParallelism();
  return {
    job,
    data,
    compiled,
    optimizer,
    bound,
    needs,
    layout,
    workers,
    ...(part && { part }),
    wire,
    ...(local && { local }),
    keptBytes: keptBytes(tied.tensors, takes, inner),
    cores,
    partialSlots: slots,
    accumulate,
    groupRows: grouping.groupRows,
    noiseEvery,
    groups: grouping.groups,
    trainPrograms,
    backend,
    kernels,
    shuffle: !trial,
    ...(trial ? { trial } : {}),
    programs,
    origin: { baseDir: baseDirOf(options), ...(options.module ? { module: options.module } : {}) },
    notes: [
      ...(trial ? [trialNote(trial)] : []),
      ...wireNote(wire),
      ...(local ? [localNote(local, tied)] : []),
      ...notes(compiled, workers, cores, backend, part),
      ...diskNote(data),
    ],
  };
}

/** @throws E_OPTION for an optimizer that needs the same batch in every step. */
function refuseMiniBatches({ def }: BoundOptimizer, { calendar, batchSize }: CompiledJob): void {
  const { stepsPerEpoch } = calendar.course;
  if (!def.fullBatch || stepsPerEpoch === 1) return;
  throw new LockstepError('E_OPTION', {
    where: `optimizer ${def.kind}`,
    expected: 'full batches: it compares gradients of one step with those of the next',
    got: `batches of ${batchSize} rows, ${stepsPerEpoch} an epoch`,
    fix: "set batchSize: 'full', or use another optimizer",
  });
}

function wireNote(wire: WireFormat): string[] {
  if (wire === 'fp32') return [];
  return [
    `wire format ${wire}: gradients and parameters are rounded on their way, so the result depends on which nodes take part`,
  ];
}

function diskNote({ train }: LoadedData): string[] {
  if (train.kind !== 'streamed') return [];
  const { blockRows, windowBlocks } = train.blocks;
  return [
    `training rows are read from disk: ${Math.ceil(train.size / blockRows)} blocks of ${blockRows} rows, shuffled in windows of ${windowBlocks} blocks`,
  ];
}

function notes(
  compiled: CompiledJob,
  workers: number,
  cores: number,
  backend: BackendChoice,
  part: Part | undefined,
): string[] {
  const { shards, batchSize } = compiled;
  const lines = [...compiled.warnings];
  if (backend.advice) lines.push(backend.advice);
  if (shards < workers && part === undefined) {
    const wanted = batchFor(workers, compiled.rowsPerSample);
    lines.push(
      `${shards} of ${workers} workers compute gradients: batch ${batchSize} makes ${shards} shard${shards === 1 ? '' : 's'}; ` +
        `${wanted === undefined ? '' : `batchSize ${wanted} or `}shards ${workers} uses all`,
    );
  }
  if (workers > cores) lines.push(`${workers} workers share ${cores} cores: expect no gain over --workers ${cores}`);
  return lines;
}
