import type { SparseOptimizerKernel } from '../kernels/table.ts';
import { ROW_LIST_STRIDE } from '../kernels/table.ts';
import type { FloatArray } from '../optim/contract.ts';
import { sparseForm } from '../optim/sparse.ts';
import { ROW_BUCKETS, rowListStride } from './row-memory.ts';
import type { WorkerState } from './worker-state.ts';

/** One sparse table, at this worker's addresses. */
interface Table {
  readonly tensor: number;
  readonly width: number;
  readonly frozen: boolean;
  /** Address of its first header, and how many a shard has. */
  readonly lists: number;
  readonly perShard: number;
  /** The merged rows. */
  readonly ids: number;
  readonly rows: number;
  readonly placesAt: number;
  /** [ROW_BUCKETS, 2]: first row and number of rows of each bucket. */
  readonly places: Int32Array;
  readonly norms: Float64Array;
  /** First of its epoch words. */
  readonly epoch: number;
  readonly kernel: SparseOptimizerKernel | undefined;
  readonly group: number;
  readonly param: number;
  readonly slots: readonly { readonly name: string; readonly address: number }[];
}

/**
 * One worker's part in sparse gradients: what gradient-pass.ts, clip-gradient.ts and optimizer-runner.ts are for flat ones, for
 * the tables of which a step names rows only. The rows are cut into buckets by id, the same for any number of workers; a worker
 * merges, measures, clips and updates the buckets that are its own.
 */
export class RowGradients {
  readonly #worker: WorkerState;
  readonly #tables: readonly Table[];
  readonly #stride: number;
  readonly #words: Int32Array;
  /** Mine are first..end-1 of every table. */
  readonly #first: number;
  readonly #end: number;

  constructor(worker: WorkerState) {
    const { session, rank, kernels, bound } = worker;
    const { layout, memory, rowTables, tensors } = session;
    this.#worker = worker;
    this.#stride = rowListStride(rowTables);
    this.#words = new Int32Array(memory.buffer);
    this.#first = Math.floor((rank * ROW_BUCKETS) / session.workers);
    this.#end = Math.floor(((rank + 1) * ROW_BUCKETS) / session.workers);
    this.#tables = rowTables.map(({ tensor, width, lists, firstList }, i): Table => {
      const { ids, rows, places, norms } = layout.rows.tables[i];
      const group = bound.groupOf[tensor];
      const { options, frozen } = bound.groups[group];
      const kernel = sparseForm(bound.def, options)?.kernel;
      return {
        tensor,
        width,
        frozen,
        lists: layout.rows.headers + ROW_LIST_STRIDE * firstList,
        perShard: lists,
        ids,
        rows,
        placesAt: places,
        places: new Int32Array(memory.buffer, places, 2 * ROW_BUCKETS),
        norms: new Float64Array(memory.buffer, norms, ROW_BUCKETS),
        epoch: session.blocks.length + ROW_BUCKETS * i,
        kernel: kernel && kernels[kernel],
        group,
        param: layout.parameters + 4 * tensors[tensor].offset,
        slots: session.slots.map(({ name, offsets }, slot) => ({
          name,
          address: layout.slots[slot] + 4 * offsets[tensor],
        })),
      };
    });
  }

  /** Phase 1, before: shards without rows in this batch have empty lists. */
  clear(shards: readonly number[]): void {
    const { headers } = this.#worker.session.layout.rows;
    for (const shard of shards) {
      for (let at = 0; at < this.#stride; at += ROW_LIST_STRIDE)
        this.#words[(headers + shard * this.#stride + at) >> 2] = 0;
    }
  }

  /** Phase 2: in my buckets, adds the rows of all lists in tree order and takes squared norms. Frozen tables count for nothing. */
  reduce(): void {
    const { kernels, session, regions } = this.#worker;
    for (const { frozen, lists, perShard, placesAt, places, ids, rows, width, norms } of this.#tables) {
      if (frozen) continue;
      kernels.mergeRowLists(
        lists, this.#stride, session.shards, perShard, this.#first, this.#end, ROW_BUCKETS, placesAt, ids, rows, width, regions.rowScratch,
      ); // biome-ignore format: grouped by operand
      for (let b = this.#first; b < this.#end; b++) {
        norms[b] = kernels.squaredNorm(rows + 4 * width * places[2 * b], width * places[2 * b + 1]);
      }
    }
  }

  /** Squared norm over the buckets of all workers, in their order. */
  squaredNorm(): number {
    let sum = 0;
    for (const { norms } of this.#tables) for (let b = 0; b < ROW_BUCKETS; b++) sum += norms[b];
    return sum;
  }

  /** The same for each table by itself: adds to `out`, by tensor. */
  addSquaredNorms(out: Float64Array): void {
    for (const { tensor, norms } of this.#tables) for (let b = 0; b < ROW_BUCKETS; b++) out[tensor] += norms[b];
  }

  /** Phase 4, before the update: my merged rows times scale and the coefficient of their tensor, then between -limit and limit. */
  clip(scale: number, coefficients: Float64Array, limit: number | undefined): void {
    const { kernels } = this.#worker;
    for (const { tensor, rows, width, places, frozen } of this.#tables) {
      if (frozen) continue;
      const factor = scale * coefficients[tensor];
      for (let b = this.#first; b < this.#end; b++) {
        const at = rows + 4 * width * places[2 * b];
        const count = width * places[2 * b + 1];
        if (limit === undefined) kernels.scale(at, at, count, factor);
        else kernels.clampScaled(at, at, count, factor, limit);
      }
    }
  }

  /** Phase 4: the optimizer on my rows, with the scalars that it has prepared. The epoch words are those of step t. */
  update(t: number): void {
    const { epochs, optimizer } = this.#worker;
    for (const table of this.#tables) {
      const { epoch, kernel, width, places, ids, rows, frozen } = table;
      for (let b = this.#first; b < this.#end; b++) {
        const count = frozen ? 0 : places[2 * b + 1];
        if (count > 0) {
          const idsAt = ids + 4 * places[2 * b];
          const rowsAt = rows + 4 * width * places[2 * b];
          Atomics.store(epochs, epoch + b, 2 * t - 1); // torn from here ...
          if (kernel === undefined) this.#updatePlainly(table, idsAt, rowsAt, count);
          else {
            const [first, second] = table.slots;
            const { scalarsAt } = optimizer.groups[table.group];
            kernel(table.param, rowsAt, idsAt, count, width, first?.address ?? 0, second?.address ?? 0, scalarsAt);
          }
        }
        Atomics.store(epochs, epoch + b, 2 * t); // ... to here
      }
    }
  }

  /** My buckets stand after the step that this epoch says, without an update. */
  mark(epoch: number): void {
    for (const table of this.#tables) {
      for (let b = this.#first; b < this.#end; b++) Atomics.store(this.#worker.epochs, table.epoch + b, epoch);
    }
  }

  /** Name of the first table that a shard's lists give rows that are not finite. */
  badTable(shard: number): string | undefined {
    const { session } = this.#worker;
    const bad = this.#tables.find(({ lists, perShard, width, frozen }) => {
      if (frozen) return false;
      return Array.from({ length: perShard }, (_, i) => lists + shard * this.#stride + i * ROW_LIST_STRIDE).some(
        (list) => {
          const [count, , rows] = this.#words.subarray(list >> 2, (list >> 2) + 3);
          return !this.#floats(rows, count * width).every(Number.isFinite);
        },
      );
    });
    return bad && session.tensors[bad.tensor].name;
  }

  /** By a definition without a kernel: the views are as long as the rows, so they are made anew. */
  #updatePlainly({ tensor, width, group, param, slots }: Table, ids: number, rows: number, count: number): void {
    const { session, optimizer, bound } = this.#worker;
    const { size } = session.tensors[tensor];
    const { scalars, options } = optimizer.groups[group];
    const ofTable: Record<string, FloatArray> = {};
    for (const { name, address } of slots) ofTable[name] = this.#floats(address, size);
    bound.def.sparseUpdate?.(
      {
        param: this.#floats(param, size),
        slots: ofTable,
        width,
        ids: this.#words.subarray(ids >> 2, (ids >> 2) + count),
        grad: this.#floats(rows, count * width),
      },
      scalars,
      options,
    );
  }

  #floats(address: number, length: number): Float32Array {
    return new Float32Array(this.#worker.session.memory.buffer, address, length);
  }
}
