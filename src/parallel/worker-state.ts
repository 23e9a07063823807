import type { ComputedRead } from '../data/contract.ts';
import type { Sampler } from '../data/sampler.ts';
import type { Observe } from '../graph/execute.ts';
import type { Block } from '../graph/layout.ts';
import { openGemm } from '../kernels/backend.ts';
import type { KernelTable } from '../kernels/table.ts';
import { instantiateKernels } from '../kernels/wasm.ts';
import type { ResolvedOptimizer } from '../optim/catalogue.ts';
import { type ClipDecision, type ClipInput, clipDecision, NormHistory, newClipDecision } from '../optim/clip.ts';
import { type BoundOptimizer, bindOptimizer } from '../optim/groups.ts';
import type { WorkerRegions } from './arena.ts';
import { BARRIER_WORDS, Barrier } from './barrier.ts';
import { TensorClip } from './clip-gradient.ts';
import { CLAIMED_RANKS, CONTROL_WORDS } from './control.ts';
import { EarlySum } from './early-sum.ts';
import { evaluationShardsOf } from './evaluation-shards.ts';
import { purposeKey } from './gather.ts';
import { reduceEarly } from './gradient-pass.ts';
import { NoiseSampler } from './noise-sampler.ts';
import { OptimizerRunner } from './optimizer-runner.ts';
import { type IndexedBlock, ownedBlocks } from './pieces.ts';
import { progressWidth, readProgress, writeProgress } from './progress.ts';
import { RECORD_SUMS, RecordRing, RING_CAPACITY } from './record-ring.ts';
import { Recorder, type StepNumbers } from './recorder.ts';
import { earlySumWordsOf, Rounds } from './rounds.ts';
import { RowGradients } from './row-gradients.ts';
import { epochWords } from './row-memory.ts';
import { RunningStatistics } from './running-statistics.ts';
import type { Session, SplitName } from './session.ts';
import type { StepAction } from './step.ts';
import type { StepPlan } from './step-plan.ts';
import { TimelinePen } from './timeline.ts';
import { TIMING_SLOTS } from './timings.ts';
import { openWindows, samplerOf, type Windows } from './windows.ts';
import { Wire } from './wire.ts';
import { WorkerPlans } from './worker-plans.ts';
import { WorkerPrograms } from './worker-programs.ts';

/** With nonFinite 'skip': bad steps in a row that are skipped; one more stops the run. */
export const MOST_BAD_IN_A_ROW = 10;

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
  /** What to compute in a step, and the programs that do. */
  readonly plans: WorkerPlans;
  readonly programs: WorkerPrograms;
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

  /** @param observe sees every kernel call of the programs (scripts/profile). */
  constructor(session: Session, custom: CustomCode, observe?: Observe) {
    const { layout, memory } = session;
    const buffer = memory.buffer;
    const f64 = (at: number, length: number) => new Float64Array(buffer, at, length);
    const i32 = (at: number, length: number) => new Int32Array(buffer, at, length);
    this.session = session;
    this.control = i32(layout.control, CONTROL_WORDS);
    this.rank = Atomics.add(this.control, CLAIMED_RANKS, 1);
    this.regions = layout.workers[this.rank];
    this.kernels = instantiateKernels(session.kernels, memory);
    const gemm = openGemm(session.backend, memory, this.kernels, this.regions.scratch);
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
    this.plans = new WorkerPlans(session, this.rank);
    const { regions, kernels, ids, places, timings, earlySum } = this;
    const seat = { session, regions, kernels, gemm, ids, places, reads: custom.reads, timings, earlySum, observe };
    this.programs = new WorkerPrograms(seat);
    this.optimizer = new OptimizerRunner({
      session,
      sampler: this.sampler,
      rank: this.rank,
      optimizer: this.bound,
      kernels: this.kernels,
      barrier: this.barrier,
      key: purposeKey(session.seed, 'noise'),
      bindGemm: (operands) => gemm.bind(operands),
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

  /** What this process computes by itself in a pass of step t. */
  planOf(t: number, pass: number): StepPlan {
    const rows = this.sampler.batchRows(t);
    return pass === 0 && this.noise?.takes(t) ? this.plans.apart(rows) : this.plans.own(rows);
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
}
