import { RING_READ, RING_WRITE } from './control.ts';

/** Records that may wait for the main thread before rank 0 has to. */
export const RING_CAPACITY = 4096;

/** Doubles before the per-shard sums in a record. */
export const RECORD_FIELDS = [
  'step',
  'samples',
  'lr',
  'gradNorm',
  'clipScale',
  'action',
  'stepMs',
  'gatherMs',
  'computeMs',
  'waitMs',
  'reduceMs',
  'updateMs',
] as const;
export const RECORD_SUMS = RECORD_FIELDS.length;

/**
 * Step records on their way from rank 0 to the main thread: a single-producer, single-consumer ring of f64 in the arena.
 * A full ring makes rank 0 wait: a record is never lost.
 */
export class RecordRing {
  readonly width: number;
  readonly #values: Float64Array;
  readonly #control: Int32Array;

  constructor(values: Float64Array, control: Int32Array) {
    this.#values = values;
    this.#control = control;
    this.width = values.length / RING_CAPACITY;
  }

  /** Producer: offset into `values` where the next record is to be written; waits while the ring is full. */
  reserve(): number {
    const control = this.#control;
    const write = Atomics.load(control, RING_WRITE);
    let read = Atomics.load(control, RING_READ);
    while (((write - read) | 0) >= RING_CAPACITY) {
      Atomics.wait(control, RING_READ, read);
      read = Atomics.load(control, RING_READ);
    }
    return (write & (RING_CAPACITY - 1)) * this.width;
  }

  get values(): Float64Array {
    return this.#values;
  }

  /** Producer: makes the reserved record visible. */
  publish(): void {
    Atomics.add(this.#control, RING_WRITE, 1);
  }

  /** Consumer: hands each waiting record (as an offset into `values`) to `take`, oldest first. Never blocks. */
  drain(take: (values: Float64Array, offset: number) => void): number {
    const control = this.#control;
    const write = Atomics.load(control, RING_WRITE);
    const first = Atomics.load(control, RING_READ);
    let read = first;
    while (read !== write) {
      take(this.#values, (read & (RING_CAPACITY - 1)) * this.width);
      read = (read + 1) | 0;
    }
    if (read !== first) {
      Atomics.store(control, RING_READ, read);
      Atomics.notify(control, RING_READ);
    }
    return (write - first) | 0;
  }
}
