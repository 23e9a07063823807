import type { Sampler } from '../data/sampler.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { GemmOperands } from '../kernels/gemm.ts';
import type { KernelTable } from '../kernels/table.ts';
import type { OptimizerKernel, StepInfo, View } from '../optim/contract.ts';
import type { BoundOptimizer } from '../optim/groups.ts';
import { lrAt, type RateChange, rateFactor } from '../optim/schedules.ts';
import type { Barrier } from './barrier.ts';
import { GemmCache } from './gemm-cache.ts';
import { sumRows, sumWidth } from './optimizer-memory.ts';
import { ownedPieces, type Piece, rowsOfGroups } from './pieces.ts';
import type { Session } from './session.ts';
import { warmupRate } from './warmup-rate.ts';

type Numbers = Record<string, number>;
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** One group of parameters at work. */
interface Group {
  readonly options: object;
  readonly lrScale: number;
  readonly frozen: boolean;
  readonly info: Mutable<Required<StepInfo<object>>>;
  readonly state: Numbers;
  /** f64 in the arena, where kernels read them. */
  readonly scalars: Float64Array;
  readonly scalarsAt: number;
  readonly kernel: OptimizerKernel | undefined;
  readonly sums: Float64Array;
  /** Its rows in the table of partial sums. */
  readonly rows: Int32Array;
}

/** What the runner needs of its worker. */
export interface RunnerSeat {
  readonly session: Session;
  readonly sampler: Pick<Sampler, 'batchRows'>;
  readonly rank: number;
  readonly optimizer: BoundOptimizer;
  readonly kernels: KernelTable;
  readonly barrier: Barrier;
  /** Key of the noise. */
  readonly key: ArrayLike<number>;
  bindGemm(operands: GemmOperands): () => void;
}

/**
 * One worker's hand on the central optimizer: computes a step's scalars (the same in every worker) and runs the update on
 * the pieces that this worker owns, by the fused kernel where the definition names one, else by its plain `update`.
 */
export class OptimizerRunner {
  /** Learning rate of the last step: that of group 0. */
  lr = 0;
  readonly pieces: readonly Piece[];
  readonly groups: readonly Group[];
  /** Numbers that persist, in the order of stateNames, as `keepState` found them. */
  readonly persistent: Float64Array;
  /** Updates so far; a skipped step is none. */
  #updates = 0;
  #rateChanges: readonly RateChange[] = [];
  readonly #seat: RunnerSeat;
  readonly #buffer: ArrayBufferLike;
  /** By the address of the gradient, then as `pieces`. */
  readonly #views = new Map<number, readonly View[]>();
  /** By piece; 0 for slots that there are not. */
  readonly #slotAddresses: readonly (readonly number[])[];
  readonly #table: Float64Array;
  readonly #width: number;
  /** Row of each piece in each of the two tables. */
  readonly #rows: readonly (readonly Float64Array[])[];
  readonly #caches: readonly GemmCache[];
  #turn = 0;

  constructor(seat: RunnerSeat) {
    const { session, rank, optimizer, kernels } = seat;
    const { layout, tensors, blocks } = session;
    const { def } = optimizer;
    const regions = layout.workers[rank];
    this.#seat = seat;
    this.#buffer = session.memory.buffer;
    this.pieces = ownedPieces(optimizer, session, rank);
    this.#width = sumWidth(optimizer);
    const doubles = 2 * sumRows(optimizer, tensors, blocks) * this.#width;
    this.#table = new Float64Array(this.#buffer, layout.optimizerSums, doubles);
    const rows = rowsOfGroups(optimizer, session);
    this.groups = optimizer.groups.map(({ options, lrScale, frozen }, g) => {
      const scalarsAt = regions.scalars + 8 * g * def.scalarNames.length;
      const kernel = def.kernel?.(options);
      return {
        options,
        lrScale,
        frozen,
        info: { step: 0, lr: 0, gradScale: 1, weight: 1, options },
        state: { ...def.state },
        scalars: new Float64Array(this.#buffer, scalarsAt, def.scalarNames.length),
        scalarsAt,
        kernel: kernel && kernels[kernel],
        sums: new Float64Array(def.measures ?? 0),
        rows: rows[g],
      };
    });
    this.persistent = new Float64Array(this.groups.length * Object.keys(def.state ?? {}).length);
    this.#slotAddresses = this.pieces.map((piece) => [
      ...this.#slotsOf(piece).map(({ address }) => address),
      0,
      0,
      0,
      0,
    ]);
    this.#rows = [0, doubles / 2].map((start) =>
      this.pieces.map(({ row }) => this.#table.subarray(start + row * this.#width, start + (row + 1) * this.#width)),
    );
    this.#caches = this.pieces.map(() => new GemmCache(seat.bindGemm));
  }

  get updates(): number {
    return this.#updates;
  }

  /** Learning rate of step t, for group 0. */
  lrOf(t: number): number {
    const { optimizer, session, sampler } = this.#seat;
    const rate = lrAt(optimizer.schedule, t, session.totalSteps) * rateFactor(this.#rateChanges, t);
    return rate * warmupRate(session, sampler, t);
  }

  /** What a schedule that looks at the history (reduceOnPlateau) has decided so far. */
  followRateChanges(changes: readonly RateChange[]): void {
    this.#rateChanges = changes;
  }

  /** Begins update number `updates` + 1, as step t. */
  begin(t: number, gradScale: number, weight: number): void {
    this.#updates += 1;
    this.lr = this.lrOf(t);
    for (const { info, lrScale } of this.groups) {
      info.step = this.#updates;
      info.lr = this.lr * lrScale;
      info.gradScale = gradScale;
      info.weight = weight;
    }
  }

  /** The update that was begun is not carried out. */
  cancel(): void {
    this.#updates -= 1;
  }

  /** Once an update: sums over all parameters where the optimizer measures, then the scalars of every group. */
  prepare(gradient: number): void {
    const { def } = this.#seat.optimizer;
    const { measure } = def;
    if (measure !== undefined && this.groups.some(({ frozen }) => !frozen)) {
      const views = this.views(gradient);
      this.#partialSums((i, row) => {
        const { info, state } = this.groups[this.pieces[i].group];
        measure.call(def, views[i], row, info, state);
      });
      this.#seat.barrier.wait(); // all partial sums are complete
      for (const group of this.groups) this.#addRows(group.rows, group.sums);
      this.#turn = 1 - this.#turn;
    }
    for (const { info, scalars, state, sums } of this.groups) def.scalars(info, scalars, state, sums);
  }

  /** The numbers that persist, as they are now. */
  keepState(): void {
    let at = 0;
    for (const { state } of this.groups) for (const name in state) this.persistent[at++] = state[name];
  }

  /** The update of piece number i; `gradient` is the address of the flat gradient. */
  update(i: number, gradient: number): void {
    const { optimizer, session } = this.#seat;
    const { def } = optimizer;
    const piece = this.pieces[i];
    const { kernel, scalars, scalarsAt, options, info } = this.groups[piece.group];
    const at = 4 * piece.offset;
    let grad = gradient + at;
    let views = gradient;
    if (def.transform !== undefined) {
      grad = session.layout.workers[this.#seat.rank].transformed;
      views = TRANSFORMED;
      def.transform(this.views(gradient)[i], this.views(TRANSFORMED)[i].grad, scalars, info);
    }
    if (kernel === undefined) {
      this.#caches[i].restart();
      def.update(this.views(views)[i], scalars, options);
    } else {
      const slots = this.#slotAddresses[i];
      kernel(session.layout.parameters + at, grad, slots[0], slots[1], slots[2], piece.length, scalarsAt, slots[3]);
    }
    def.after?.(this.views(views)[i], scalars, options);
  }

  /** Sums over the pieces of all workers, in row order, of what `partial` adds; a collective call. */
  sum(partial: (i: number, out: Float64Array) => void, out: Float64Array): void {
    if (out.length > this.#width) throw new RangeError(`an optimizer sums at most ${this.#width} numbers at once`);
    this.#partialSums(partial);
    this.#seat.barrier.wait();
    out.fill(0);
    for (const { rows } of this.groups) this.#addRows(rows, out, false);
    this.#turn = 1 - this.#turn;
  }

  /** The largest of what `of` gives for the pieces of all workers; a collective call. */
  max(of: (i: number) => number): number {
    this.#partialSums((i, row) => {
      row[0] = of(i);
    });
    this.#seat.barrier.wait();
    const start = this.#turn * (this.#table.length / 2);
    let most = Number.NEGATIVE_INFINITY;
    for (const { rows } of this.groups) {
      for (let r = 0; r < rows.length; r++) most = Math.max(most, this.#table[start + rows[r] * this.#width]);
    }
    this.#turn = 1 - this.#turn;
    return most;
  }

  /** Writes the parameters to evaluate with, for the pieces and frozen blocks of this worker. */
  writeEvaluated(frozen: readonly { readonly offset: number; readonly length: number }[]): void {
    const { optimizer, session, kernels } = this.#seat;
    const { evalParameters } = optimizer.def;
    const { layout } = session;
    if (evalParameters === undefined) return;
    const views = this.views(layout.reduced);
    this.pieces.forEach(({ offset, length, group }, i) => {
      const out = new Float32Array(this.#buffer, layout.evaluated + 4 * offset, length);
      const { options, state } = this.groups[group];
      evalParameters.call(optimizer.def, views[i], out, options, state);
    });
    for (const { offset, length } of frozen) {
      kernels.copy(layout.evaluated + 4 * offset, layout.parameters + 4 * offset, length);
    }
  }

  /** Goes back to where a run begins. */
  restart(): void {
    const initial = Object.values(this.#seat.optimizer.def.state ?? {});
    this.restore(
      0,
      this.groups.flatMap(() => initial),
    );
  }

  /** Goes on from there; `state` by the names of stateNames. */
  restore(updates: number, state: readonly number[]): void {
    this.#updates = updates;
    this.persistent.set(state);
    let at = 0;
    for (const { state: own } of this.groups) for (const name in own) own[name] = state[at++];
  }

  /** Views of the pieces with the flat gradient at an address. Made once. */
  views(gradient: number): readonly View[] {
    let views = this.#views.get(gradient);
    if (views === undefined) {
      views = this.pieces.map((piece, i) => this.#view(piece, gradient, this.#caches[i]));
      this.#views.set(gradient, views);
    }
    return views;
  }

  #view(piece: Piece, gradient: number, cache: GemmCache): View {
    const { session, rank, optimizer, kernels, key } = this.#seat;
    const { layout } = session;
    const tensor = session.tensors[piece.tensor];
    const first = piece.offset - tensor.offset;
    const f32 = (address: number, length: number) => new Float32Array(this.#buffer, address, length);
    const own = layout.workers[rank];
    const scratch = optimizer.def.scratch?.(tensor, this.groups[piece.group].options) ?? 0;
    const gradAt = gradient === TRANSFORMED ? own.transformed : gradient + 4 * piece.offset;
    return {
      param: f32(layout.parameters + 4 * piece.offset, piece.length),
      grad: f32(gradAt, piece.length),
      slots: Object.fromEntries(this.#slotsOf(piece).map(({ name, address, length }) => [name, f32(address, length)])),
      tensor,
      first,
      ...(scratch > 0 && { scratch: f32(own.optimizerScratch, scratch) }),
      normal: (out, step) =>
        kernels.randomNormal(out.byteOffset, out.length, key[0], key[1], piece.tensor, step, 0, first, 0, 1),
      gemm: cache.gemm,
    };
  }

  /** Where the slots of a piece lie, in the order of the definition. */
  #slotsOf(piece: Piece): { name: string; address: number; length: number }[] {
    const { session, optimizer } = this.#seat;
    const tensor = session.tensors[piece.tensor];
    const specs = optimizer.def.slots(this.groups[piece.group].options, tensor);
    return Object.entries(specs).map(([name, { shape }]) => {
      const index = session.slots.findIndex((slot) => slot.name === name);
      const start = session.layout.slots[index] + 4 * session.slots[index].offsets[piece.tensor];
      return shape === undefined
        ? { name, address: start + 4 * (piece.offset - tensor.offset), length: piece.length }
        : { name, address: start, length: sizeOf(shape) };
    });
  }

  /** Each piece adds to a row of its own in the table whose turn it is. */
  #partialSums(partial: (i: number, row: Float64Array) => void): void {
    const rows = this.#rows[this.#turn];
    for (let i = 0; i < rows.length; i++) {
      rows[i].fill(0);
      partial(i, rows[i]);
    }
  }

  #addRows(rows: Int32Array, out: Float64Array, anew = true): void {
    if (anew) out.fill(0);
    const start = this.#turn * (this.#table.length / 2);
    for (let r = 0; r < rows.length; r++) {
      const at = start + rows[r] * this.#width;
      for (let i = 0; i < out.length; i++) out[i] += this.#table[at + i];
    }
  }
}

/** Stands for the address of the gradient where each piece's lies in the worker's own region. */
const TRANSFORMED = -1;
