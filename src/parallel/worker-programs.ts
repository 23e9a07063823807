import type { ComputedRead } from '../data/contract.ts';
import { accumulatingProgram } from '../graph/accumulate.ts';
import { bindProgram, type Observe } from '../graph/execute.ts';
import { finalGradients } from '../graph/final-gradients.ts';
import type { Call, Program } from '../graph/program.ts';
import { groupProgram } from '../graph/row-groups.ts';
import type { Gemm } from '../kernels/gemm.ts';
import type { KernelTable } from '../kernels/table.ts';
import { KEY_STRIDE, type WorkerRegions } from './arena.ts';
import { augmentRows } from './augment.ts';
import type { EarlySum } from './early-sum.ts';
import { type Gather, gatherComputed, gatherFile, gatherTable, purposeKey } from './gather.ts';
import { rowListStride } from './row-memory.ts';
import type { PlacedProgram, Session, SplitName } from './session.ts';
import type { ComputeInstruction, ShardTarget } from './step-plan.ts';
import { mark, PHASE } from './timings.ts';

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

/** What programs need of their worker. */
export interface ProgramSeat {
  readonly session: Session;
  readonly regions: WorkerRegions;
  readonly kernels: KernelTable;
  readonly gemm: Gemm;
  /** Rows of the shards that are computed next, and where they lie in windows. */
  readonly ids: Int32Array;
  readonly places: Int32Array;
  /** The job's own functions that read rows. */
  readonly reads: Readonly<Partial<Record<SplitName, ComputedRead>>>;
  readonly timings: Float64Array;
  readonly earlySum: EarlySum | undefined;
  /** Sees every kernel call (scripts/profile). */
  readonly observe: Observe | undefined;
}

/** The compiled programs of a job, bound to one worker's memory: each when it is first met. */
export class WorkerPrograms {
  readonly #seat: ProgramSeat;
  readonly #compute = new Map<ComputeInstruction, BoundCompute>();
  readonly #evaluate = new Map<string, BoundEvaluation>();

  constructor(seat: ProgramSeat) {
    this.#seat = seat;
  }

  /** The program that trains a shard of `rows` rows. */
  programOf(rows: number): Program {
    return find(this.#seat.session.trainPrograms, rows).program;
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
      const placed = find(this.#seat.session.evaluationPrograms, rows);
      bound = {
        gather: this.#gather(placed.program, split),
        run: this.#bind(placed, placed.program.calls, NO_TARGET, 0, this.#seat.session.layout.evaluated),
      };
      this.#evaluate.set(name, bound);
    }
    return bound;
  }

  #bindCompute({ rows, shards: targets, last }: ComputeInstruction): BoundCompute {
    const { session, regions } = this.#seat;
    const placed = find(session.trainPrograms, rows);
    const { buffer } = session.memory;
    const width = session.sums.length;
    const dropout = purposeKey(session.seed, 'dropout');
    let row = 0;
    const shards = targets.map((target, j): BoundShard => {
      const key = new Int32Array(buffer, regions.key + KEY_STRIDE * j, 4);
      key.set(dropout);
      const ids = this.#seat.ids.subarray(row, row + target.rows);
      const places = this.#seat.places.subarray(row, row + target.rows);
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
    const { session, regions, kernels, ids } = this.#seat;
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
    const { session, regions, kernels, reads } = this.#seat;
    const split = session.splits[splitName];
    if (!split) throw new RangeError(`no split ${splitName}`);
    const buffer = session.memory.buffer;
    if (split.kind === 'table') return gatherTable(split, program.fields, regions.batch, regions.ids, kernels, buffer);
    if (split.kind === 'streamed')
      return gatherTable(split, program.fields, regions.batch, regions.places, kernels, buffer);
    if (split.kind === 'file') return gatherFile(split, program.fields, buffer, regions.batch, this.#seat.ids);
    const read = reads[splitName];
    if (!read) throw new RangeError(`no read function for split ${splitName}`);
    return gatherComputed(split, read, program.fields, buffer, regions.batch, this.#seat.ids, session.seed);
  }

  /** Calls of a program with addresses: gradients where `target` says, sums and key of the `member`-th shard of a group. */
  #bind(
    { program, constants }: PlacedProgram,
    calls: Program['calls'],
    { slot, shard }: Pick<ShardTarget, 'slot' | 'shard'>,
    member: number,
    parameters = this.#seat.session.layout.parameters,
    final?: ReadonlyMap<Call, number>,
  ): () => void {
    const { session, regions } = this.#seat;
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
      this.#seat.kernels,
      (g) => this.#seat.gemm.bind(g),
      (call, run) => this.#telling(this.#observed(call, run), final?.get(call)),
    );
  }

  /** On a node with one sum: what is final in all of its workers is added up and sent while the rest is computed. */
  #finalAfter(last: boolean | undefined, calls: readonly Call[]): ReadonlyMap<Call, number> | undefined {
    return last && this.#seat.earlySum ? finalGradients(calls, this.#seat.session.tensors) : undefined;
  }

  #telling(run: () => void, from: number | undefined): () => void {
    const { earlySum } = this.#seat;
    if (from === undefined || earlySum === undefined) return run;
    return () => {
      run();
      earlySum.reached(from);
    };
  }

  /** The beginning of the backward pass is marked. */
  #observed(call: Call, run: () => void): () => void {
    const observed = this.#seat.observe?.(call, run) ?? run;
    if (!call.opensBackward) return observed;
    const { timings } = this.#seat;
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
