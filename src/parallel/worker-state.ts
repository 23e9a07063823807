import type { ComputedRead } from '../data/contract.ts';
import type { Sampler } from '../data/sampler.ts';
import { accumulatingProgram } from '../graph/accumulate.ts';
import { bindProgram, type Observe } from '../graph/execute.ts';
import { finalGradients } from '../graph/final-gradients.ts';
import type { Block } from '../graph/layout.ts';
import type { Call, Program } from '../graph/program.ts';
import { groupProgram } from '../graph/row-groups.ts';
import { openGemm } from '../kernels/backend.ts';
import type { Gemm } from '../kernels/gemm.ts';
import type { KernelTable } from '../kernels/table.ts';
import { instantiateKernels } from '../kernels/wasm.ts';
import type { ShardRange } from '../membership/assignment.ts';
import type { ResolvedOptimizer } from '../optim/catalogue.ts';
import { type ClipDecision, type ClipInput, clipDecision, NormHistory, newClipDecision } from '../optim/clip.ts';
import { type BoundOptimizer, bindOptimizer } from '../optim/groups.ts';
import { KEY_STRIDE, type WorkerRegions } from './arena.ts';
import { augmentRows } from './augment.ts';
import { BARRIER_WORDS, Barrier } from './barrier.ts';
import { TensorClip } from './clip-gradient.ts';
import { CLAIMED_RANKS, CONTROL_WORDS } from './control.ts';
import { EarlySum } from './early-sum.ts';
import { type Gather, gatherComputed, gatherFile, gatherTable, purposeKey } from './gather.ts';
import { reduceEarly } from './gradient-pass.ts';
import { NoiseSampler } from './noise-sampler.ts';
import { OptimizerRunner } from './optimizer-runner.ts';
import { type IndexedBlock, ownedBlocks } from './pieces.ts';
import { progressWidth, readProgress, writeProgress } from './progress.ts';
import { RECORD_SUMS, RecordRing, RING_CAPACITY } from './record-ring.ts';
import { Recorder, type StepNumbers } from './recorder.ts';
import { earlySumWordsOf, gatheredSums, Rounds, roundWordsOf } from './rounds.ts';
import { RowGradients } from './row-gradients.ts';
import { epochWords, rowListStride } from './row-memory.ts';
import { RunningStatistics } from './running-statistics.ts';
import type { PlacedProgram, Session, SplitName } from './session.ts';
import type { StepAction } from './step.ts';
import {
  type ComputeInstruction,
  planGathered,
  planShare,
  planStep,
  type ShardTarget,
  type StepPlan,
} from './step-plan.ts';
import { TimelinePen } from './timeline.ts';
import { mark, PHASE, TIMING_SLOTS } from './timings.ts';
import { openWindows, samplerOf, type Windows } from './windows.ts';
import { Wire } from './wire.ts';

/** With nonFinite 'skip': bad steps in a row that are skipped; one more stops the run. */
export const MOST_BAD_IN_A_ROW = 10;

/** Where programs without gradients would write them. */
const NO_TARGET = { slot: 0, shard: 0 };

/** A compute instruction bound to this worker's memory. */
export interface BoundCompute {
  /** Each shard with its own views: its stretch of the id list, its key, its sums. */
  readonly shards: readonly BoundShard[];
  /** Rows of the id list into the batch region. */
  readonly gather: Gather;
  /** Forward, loss, backward. */
  run(): void;
}

interface BoundShard {
  readonly shard: number;
  readonly ids: Int32Array;
  readonly places: Int32Array;
  readonly key: Int32Array;
  readonly sums: Float64Array;
}

/** An evaluation program bound to this worker's memory. */
export interface BoundEvaluation {
  readonly gather: Gather;
  run(): void;
}

/** Custom code of the job, already imported. */
export interface CustomCode {
  readonly reads: Readonly<Partial<Record<SplitName, ComputedRead>>>;
  readonly optimizer: ResolvedOptimizer;
}

/** Everything one worker knows and may touch: views of its regions, its kernels, its share of shards and blocks. */
export class WorkerState {
  readonly session: Session;
  readonly rank: number;
  readonly regions: WorkerRegions;
  readonly kernels: KernelTable;
  readonly barrier: Barrier;
  readonly control: Int32Array;
  readonly sampler: Sampler;
  /** Where the training rows are on disk. */
  readonly windows: Windows | undefined;
  readonly optimizer: OptimizerRunner;
  /** Where the shards of a step are computed by other machines, or for them. */
  readonly rounds: Rounds | undefined;
  /** On a node: what is added up while shards are computed, and of which plan. */
  readonly earlySum: EarlySum | undefined;
  planToSum: StepPlan | undefined;
  /** How floats cross the network there. */
  readonly wire: Wire;
  /** Only rank 0 has one; on a node nobody does. */
  readonly recorder: Recorder | undefined;
  /** Length of a flat gradient. */
  readonly gradientSize: number;
  readonly rowGradients: RowGradients;
  readonly noise: NoiseSampler | undefined;
  readonly statistics: RunningStatistics;
  /** The optimizer, fitted to the model. */
  readonly bound: BoundOptimizer;
  readonly tensorClip: TensorClip;
  /** The blocks this worker reduces, and those that are its to mark although nothing happens to them. */
  readonly reducedBlocks: readonly IndexedBlock[];
  readonly frozenBlocks: readonly IndexedBlock[];
  /** Those of all workers that are not frozen. */
  readonly trainedBlocks: readonly Block[];
  readonly ids: Int32Array;
  /** Where those rows lie in windows; empty where they lie in a table. */
  readonly places: Int32Array;
  readonly sums: Float64Array;
  readonly shardSums: Float64Array;
  /** Those of passes after the first, where the optimizer makes several. */
  readonly trialSums: Float64Array;
  readonly evaluationSums: Float64Array;
  readonly norms: Float64Array;
  readonly epochs: Int32Array;
  readonly progress: Float64Array;
  /** Shards of the steps that this node makes by itself, where there are such (local-steps.ts). */
  share: ShardRange | undefined;
  readonly timings = new Float64Array(TIMING_SLOTS);
  readonly timeline: TimelinePen;
  /** This step's decision; the same numbers in every worker. */
  readonly decision: ClipDecision = newClipDecision();
  /** What the decision is made from. */
  readonly totals: ClipInput = { loss: 0, weight: 0, squaredNorm: 0 };

  /** What the recorder writes down, by reference. */
  readonly numbers: StepNumbers;

  /** Where the run stands, as progress.ts keeps it. */
  readonly #standing = { updates: 0, badInARow: 0 };
  readonly #normHistory: NormHistory | undefined;
  readonly #persistent: Float64Array;
  readonly #outcome = { lr: 0, gradNorm: 0, clipScale: 0, skipped: false };
  readonly #gemm: Gemm;
  readonly #custom: CustomCode;
  readonly #allShards: ShardRange;
  readonly #observe: Observe | undefined;
  readonly #plans = new Map<string, StepPlan>();
  readonly #compute = new Map<ComputeInstruction, BoundCompute>();
  readonly #evaluate = new Map<string, BoundEvaluation>();

  /** @param observe sees every kernel call of the programs (scripts/profile). */
  constructor(session: Session, custom: CustomCode, observe?: Observe) {
    const { layout, memory } = session;
    const buffer = memory.buffer;
    const f64 = (at: number, length: number) => new Float64Array(buffer, at, length);
    const i32 = (at: number, length: number) => new Int32Array(buffer, at, length);
    this.session = session;
    this.#allShards = { first: 0, count: session.shards };
    this.#custom = custom;
    this.#observe = observe;
    this.control = i32(layout.control, CONTROL_WORDS);
    this.rank = Atomics.add(this.control, CLAIMED_RANKS, 1);
    this.regions = layout.workers[this.rank];
    this.kernels = instantiateKernels(session.kernels, memory);
    this.#gemm = openGemm(session.backend, memory, this.kernels, this.regions.scratch);
    this.barrier = new Barrier(i32(layout.barrier, BARRIER_WORDS), session.workers, session.spins);
    const flat = session.tensors.filter(({ sparse }) => !sparse);
    this.gradientSize = flat.reduce((end, t) => Math.max(end, t.offset + t.size), 0);

    this.sampler = samplerOf(session);
    this.windows = openWindows(session, i32(layout.barrier, BARRIER_WORDS));
    this.rounds = session.part && new Rounds(session, this.rank, i32(layout.barrier, BARRIER_WORDS));
    if (session.part === 'node') {
      const make = (from: number, to: number) => this.planToSum && reduceEarly(this, this.planToSum, from, to);
      this.earlySum = new EarlySum(earlySumWordsOf(session), this.rank, make, (from) => this.rounds?.final(from));
    }
    const rows = [...session.trainPrograms, ...session.evaluationPrograms].map((p) => p.program.rows);
    this.ids = i32(this.regions.ids, Math.max(1, ...rows));
    this.places = i32(this.regions.places, this.windows ? this.ids.length : 0);
    const width = session.sums.length;
    this.sums = f64(this.regions.sums, width);
    this.shardSums = f64(layout.shardSums, session.shards * width);
    this.evaluationSums = f64(layout.evaluationSums, evaluationShardsOf(session) * width);
    this.timeline = new TimelinePen(buffer, layout.timelines[this.rank]);
    this.norms = f64(layout.norms, session.blocks.length);
    this.epochs = i32(layout.epochs, epochWords(session.blocks, session.rowTables));
    this.trialSums = f64(layout.trialSums, custom.optimizer.def.drive ? session.shards * width : 0);
    this.progress = f64(layout.progress, 2 * progressWidth(session.progressNames));
    this.bound = bindOptimizer(custom.optimizer, session.tensors);
    const frozen = (tensor: number): boolean => this.bound.groups[this.bound.groupOf[tensor]].frozen;
    const owned = ownedBlocks(session, this.rank);
    this.reducedBlocks = owned.filter(({ tensor }) => !frozen(tensor));
    this.frozenBlocks = owned.filter(({ tensor }) => frozen(tensor));
    this.trainedBlocks = session.blocks.filter(({ tensor }) => !frozen(tensor));
    this.optimizer = new OptimizerRunner({
      session,
      rank: this.rank,
      optimizer: this.bound,
      kernels: this.kernels,
      barrier: this.barrier,
      key: purposeKey(session.seed, 'noise'),
      bindGemm: (operands) => this.#gemm.bind(operands),
    });
    this.tensorClip = new TensorClip(this);
    this.wire = new Wire(this);
    this.rowGradients = new RowGradients(this);
    this.noise = session.noiseEvery > 0 ? new NoiseSampler(this, session.noiseEvery) : undefined;
    this.statistics = new RunningStatistics(this);
    this.#normHistory = session.clip.globalNorm === 'auto' ? new NormHistory() : undefined;
    this.#persistent = new Float64Array(session.progressNames.length);
    const { decision, shardSums, optimizer } = this;
    this.numbers = {
      decision,
      shardSums,
      shards: session.shards,
      get lr() {
        return optimizer.lr;
      },
    };
    if (this.rank === 0 && session.part !== 'node') {
      const ring = new RecordRing(f64(layout.ring, RING_CAPACITY * (RECORD_SUMS + width)), this.control);
      this.recorder = new Recorder(ring, this.control);
    }
  }

  /** Takes up a run after `step` whose parameters and slots lie in the arena. */
  resumeAfter(step: number): void {
    this.takeUpOptimizer(step);
    if (this.rank === 0) this.statistics.publish(step); // those of a step that was begun may lie there
  }

  /** The optimizer as it stood after `step`, whose slots and progress lie in the arena. */
  takeUpOptimizer(step: number): void {
    const { progressNames } = this.session;
    const progress = readProgress(this.progress, step, progressNames);
    if (!progress) throw new RangeError(`no optimizer progress after step ${step}`);
    const numbers = progressNames.map((name) => progress.state[name]);
    const own = this.optimizer.persistent.length;
    this.optimizer.restore(progress.updates, numbers.slice(0, own));
    this.#standing.badInARow = progress.badInARow;
    this.#normHistory?.load(numbers.slice(own));
  }

  /** The optimizer has made no update: the slots begin anew, too (initialize.ts). */
  forget(): void {
    this.optimizer.restart();
    this.#standing.badInARow = 0;
    this.#normHistory?.clear();
  }

  /** Notes in shared memory where the optimizer stands after step t. Rank 0 only. */
  saveProgress(t: number): void {
    const { optimizer, decision } = this;
    optimizer.keepState();
    this.#persistent.set(optimizer.persistent);
    this.#normHistory?.save(this.#persistent, optimizer.persistent.length);
    const outcome = this.#outcome;
    outcome.lr = optimizer.lr;
    outcome.gradNorm = decision.gradNorm;
    outcome.clipScale = decision.clipScale;
    outcome.skipped = decision.action === 'skip';
    this.#standing.updates = optimizer.updates;
    writeProgress(this.progress, t, this.#standing, this.#persistent, outcome);
  }

  /** Squared norm of the summed gradient, over the blocks of all workers in their order, then the rows of sparse tables. */
  squaredNorm(): number {
    const { norms } = this;
    let sum = 0;
    for (let i = 0; i < norms.length; i++) sum += norms[i];
    return sum + this.rowGradients.squaredNorm();
  }

  /** Largest global norm in this step. */
  get normLimit(): number | undefined {
    const { globalNorm } = this.session.clip;
    return globalNorm === 'auto' ? this.#normHistory?.limit() : globalNorm;
  }

  /** The update counts: its norm goes to the history that later limits follow from, and no bad step is behind it. */
  rememberUpdate(): void {
    this.#normHistory?.push(this.decision.gradNorm);
    this.#standing.badInARow = 0;
  }

  /** A driver found numbers that are not finite and has put the parameters back: the update that it began is none. */
  break(): StepAction {
    const { decision, optimizer } = this;
    decision.broken = 'gradient';
    decision.gradNorm = Number.NaN;
    decision.clipScale = 0;
    optimizer.cancel();
    this.#stopOrSkip();
    return decision.action;
  }

  /** For all shards, with the partial sums of each apart where there is room, for samples of the gradient noise: the same bytes. */
  planApart(batchRows: number): StepPlan {
    const apart = { ...this.session, accumulate: false, groupRows: {} };
    return this.#plan(`${batchRows}:apart`, () => planStep(apart, this.rank, batchRows));
  }

  /** For the shards of a range; by default for all. */
  planFor(batchRows: number, range: ShardRange = this.#allShards): StepPlan {
    return this.#plan(`${batchRows}:${range.first}+${range.count}`, () =>
      planStep(this.session, this.rank, batchRows, range),
    );
  }

  /** For a step that this process makes by itself: on all shards, or on those of its share. */
  planShare(batchRows: number): StepPlan {
    const { share } = this;
    if (share === undefined) return this.planFor(batchRows);
    return this.#plan(`${batchRows}:share ${share.first}+${share.count}`, () =>
      planShare(this.session, this.rank, batchRows, share),
    );
  }

  /** For the partial sums that the newest round has brought; `batches`: what the step takes (inner-steps.ts). */
  planGathered(batches: readonly number[]): StepPlan {
    const sums = gatheredSums(this.session, roundWordsOf(this.session));
    const key = sums.map(({ first, count }) => `${first}+${count}`).join();
    return this.#plan(`${batches.join()}:gathered ${key}`, () => planGathered(this.session, batches, sums));
  }

  #plan(key: string, make: () => StepPlan): StepPlan {
    let plan = this.#plans.get(key);
    if (!plan) {
      plan = make();
      this.#plans.set(key, plan);
    }
    return plan;
  }

  /** The program that trains a shard of `rows` rows. */
  programOf(rows: number): Program {
    return find(this.session.trainPrograms, rows).program;
  }

  /** The instruction with this worker's addresses; bound when it is first met. */
  compute(instruction: ComputeInstruction): BoundCompute {
    let bound = this.#compute.get(instruction);
    if (!bound) {
      bound = this.#bindCompute(instruction);
      this.#compute.set(instruction, bound);
    }
    return bound;
  }

  evaluation(split: SplitName, rows: number): BoundEvaluation {
    const name = `${split}/${rows}`;
    let bound = this.#evaluate.get(name);
    if (!bound) {
      const placed = find(this.session.evaluationPrograms, rows);
      bound = {
        gather: this.#gather(placed.program, split),
        run: this.#bind(placed, placed.program.calls, NO_TARGET, 0, this.session.layout.evaluated),
      };
      this.#evaluate.set(name, bound);
    }
    return bound;
  }

  /** Clip phase: fills `decision` from its sums. */
  clip(t: number): StepAction {
    clipDecision(this.totals, this.normLimit, this.decision);
    if (this.decision.broken !== 'nothing') this.#stopOrSkip();
    else if (this.decision.action === 'skip') this.#standing.badInARow = 0;
    if (this.decision.action !== 'update') this.optimizer.lr = this.optimizer.lrOf(t);
    return this.decision.action;
  }

  /** The numbers of this step broke. A stop is not committed, so what it counts is forgotten with it. */
  #stopOrSkip(): void {
    const { decision, session } = this;
    const standing = this.#standing;
    decision.action = session.nonFinite === 'skip' && standing.badInARow < MOST_BAD_IN_A_ROW ? 'skip' : 'stop';
    standing.badInARow += 1;
  }

  #bindCompute({ rows, shards: targets, last }: ComputeInstruction): BoundCompute {
    const { session, regions } = this;
    const placed = find(session.trainPrograms, rows);
    const { buffer } = session.memory;
    const width = session.sums.length;
    const dropout = purposeKey(session.seed, 'dropout');
    let row = 0;
    const shards = targets.map((target, j): BoundShard => {
      const key = new Int32Array(buffer, regions.key + KEY_STRIDE * j, 4);
      key.set(dropout);
      const ids = this.ids.subarray(row, row + target.rows);
      const places = this.places.subarray(row, row + target.rows);
      row += target.rows;
      return {
        shard: target.shard,
        ids,
        places,
        key,
        sums: new Float64Array(buffer, regions.sums + 8 * width * j, width),
      };
    });
    const gather = this.#augmented(placed.program, this.#gather(placed.program, 'train'));
    if (targets.length === 1) {
      const [target] = targets;
      const program = target.accumulate ? accumulatingProgram(placed.program, session.tensors) : placed.program;
      const final = this.#finalAfter(last, program.calls);
      return { shards, gather, run: this.#bind(placed, program.calls, target, 0, session.layout.parameters, final) };
    }
    const grouped = groupProgram(
      placed.program,
      (n) => this.programOf(n),
      targets.map((t) => t.rows),
      targets.map((t) => t.accumulate),
      session.tensors,
    );
    const all = grouped.pieces.flatMap(({ calls }) => calls);
    const final = this.#finalAfter(last, all);
    const pieces = grouped.pieces.map(({ shard, calls }) =>
      this.#bind(placed, calls, targets[shard], shard, session.layout.parameters, final),
    );
    const { fixedSums } = grouped;
    return {
      shards,
      gather,
      run() {
        for (let i = 0; i < pieces.length; i++) pieces[i]();
        for (let j = 0; j < shards.length; j++) {
          for (const { index, value } of fixedSums[j]) shards[j].sums[index] = value;
        }
      },
    };
  }

  /** Training rows, randomly changed where the job says so. */
  #augmented(program: Program, gather: Gather): Gather {
    const { session, regions, kernels, ids } = this;
    if (session.augmentations.length === 0) return gather;
    const { batch, scratch } = regions;
    const memory = { buffer: session.memory.buffer as SharedArrayBuffer, batch, scratch, ids, kernels };
    const augment = augmentRows(session.augmentations, program.fields, memory, session.seed);
    return (rows, epoch) => {
      gather(rows, epoch);
      augment(rows, epoch);
    };
  }

  #gather(program: Program, splitName: SplitName): Gather {
    const { session, regions, kernels } = this;
    const split = session.splits[splitName];
    if (!split) throw new RangeError(`no split ${splitName}`);
    const buffer = session.memory.buffer;
    if (split.kind === 'table') return gatherTable(split, program.fields, regions.batch, regions.ids, kernels, buffer);
    if (split.kind === 'streamed')
      return gatherTable(split, program.fields, regions.batch, regions.places, kernels, buffer);
    if (split.kind === 'file') return gatherFile(split, program.fields, buffer, regions.batch, this.ids);
    const read = this.#custom.reads[splitName];
    if (!read) throw new RangeError(`no read function for split ${splitName}`);
    return gatherComputed(split, read, program.fields, buffer, regions.batch, this.ids, session.seed);
  }

  /** Calls of a program with addresses: gradients where `target` says, sums and key of the `member`-th shard of a group. */
  #bind(
    { program, constants }: PlacedProgram,
    calls: Program['calls'],
    { slot, shard }: Pick<ShardTarget, 'slot' | 'shard'>,
    member: number,
    parameters = this.session.layout.parameters,
    final?: ReadonlyMap<Call, number>,
  ): () => void {
    const { session, regions } = this;
    return bindProgram(
      { ...program, calls },
      {
        parameters,
        gradients: regions.partials[slot],
        moments: session.layout.moments + session.momentBytes * shard,
        batch: regions.batch,
        activations: regions.activations,
        constants: session.layout.constants[constants],
        sums: regions.sums + 8 * session.sums.length * member,
        key: regions.key + KEY_STRIDE * member,
        ends: regions.ends + regions.endStride * member,
        rowLists: session.layout.rows.headers + rowListStride(session.rowTables) * shard,
      },
      this.kernels,
      (g) => this.#gemm.bind(g),
      (call, run) => this.#telling(this.#observed(call, run), final?.get(call)),
    );
  }

  /** On a node with one sum: what is final in all of its workers is added up and sent while the rest is computed. */
  #finalAfter(last: boolean | undefined, calls: readonly Call[]): ReadonlyMap<Call, number> | undefined {
    return last && this.earlySum ? finalGradients(calls, this.session.tensors) : undefined;
  }

  #telling(run: () => void, from: number | undefined): () => void {
    const { earlySum } = this;
    if (from === undefined || earlySum === undefined) return run;
    return () => {
      run();
      earlySum.reached(from);
    };
  }

  /** The beginning of the backward pass is marked. */
  #observed(call: Call, run: () => void): () => void {
    const observed = this.#observe?.(call, run) ?? run;
    if (!call.opensBackward) return observed;
    const { timings } = this;
    return () => {
      mark(timings, PHASE.backward);
      observed();
    };
  }
}

function find(programs: readonly PlacedProgram[], rows: number): PlacedProgram & { program: Program } {
  const placed = programs.find((p) => p.program.rows === rows);
  if (!placed) throw new RangeError(`no program for a shard of ${rows} rows`);
  return placed;
}

/** Fixed shards of an evaluation: pieces of about `evaluationRows` rows. */
export function evaluationShards(size: number, evaluationRows: number): number {
  return Math.max(1, Math.ceil(size / evaluationRows));
}

export function evaluationShardsOf(session: Pick<Session, 'splits' | 'evaluationRows'>): number {
  const sizes = [session.splits.val, session.splits.test].map((split) => split?.size ?? 0);
  return Math.max(...sizes.map((size) => evaluationShards(size, session.evaluationRows)));
}
