import type { StepRecord } from './contract.ts';

/** Columns of every record; metrics follow, one column each. */
const COLUMNS = [
  'step', 'epoch', 'loss', 'lr', 'gradNorm', 'clipScale', 'samples',
  'stepMs', 'gatherMs', 'computeMs', 'waitMs', 'reduceMs', 'updateMs',
] as const; // biome-ignore format: a table
const AT = Object.fromEntries(COLUMNS.map((name, i) => [name, i])) as Record<(typeof COLUMNS)[number], number>;

/** Steps a chunk: some 120 KiB. Chunks are never moved or copied as the history grows. */
const CHUNK_STEPS = 1024;

/**
 * Every committed step in typed arrays: 8 bytes a number, no object a step, so that a long run does not fill the JavaScript
 * heap. Records are made when somebody looks at them.
 */
export class History {
  readonly #metrics: readonly string[];
  readonly #width: number;
  readonly #chunks: Float64Array[] = [];
  #length = 0;

  /** @param metrics Names of the training metrics; a record that lacks one reads NaN there, others are not kept. */
  constructor(metrics: readonly string[]) {
    this.#metrics = [...metrics];
    this.#width = COLUMNS.length + metrics.length;
  }

  get length(): number {
    return this.#length;
  }

  push(record: StepRecord): void {
    const row = this.#length % CHUNK_STEPS;
    if (row === 0) this.#chunks.push(new Float64Array(CHUNK_STEPS * this.#width));
    const chunk = this.#chunks[this.#chunks.length - 1];
    const at = row * this.#width;
    const { timings } = record;
    chunk[at + AT.step] = record.step;
    chunk[at + AT.epoch] = record.epoch;
    chunk[at + AT.loss] = record.loss;
    chunk[at + AT.lr] = record.lr;
    chunk[at + AT.gradNorm] = record.gradNorm;
    chunk[at + AT.clipScale] = record.clipScale;
    chunk[at + AT.samples] = record.samples;
    chunk[at + AT.stepMs] = timings.stepMs;
    chunk[at + AT.gatherMs] = timings.gatherMs;
    chunk[at + AT.computeMs] = timings.computeMs;
    chunk[at + AT.waitMs] = timings.waitMs;
    chunk[at + AT.reduceMs] = timings.reduceMs;
    chunk[at + AT.updateMs] = timings.updateMs;
    for (let m = 0; m < this.#metrics.length; m++) {
      chunk[at + COLUMNS.length + m] = record.metrics[this.#metrics[m]] ?? Number.NaN;
    }
    this.#length++;
  }

  /** Record number `index` (0 is the first), made anew; undefined outside. */
  at(index: number): StepRecord | undefined {
    if (!Number.isInteger(index) || index < 0 || index >= this.#length) return undefined;
    const chunk = this.#chunks[Math.floor(index / CHUNK_STEPS)];
    const at = (index % CHUNK_STEPS) * this.#width;
    const metrics: Record<string, number> = {};
    this.#metrics.forEach((name, m) => {
      metrics[name] = chunk[at + COLUMNS.length + m];
    });
    return {
      kind: 'step',
      step: chunk[at + AT.step],
      epoch: chunk[at + AT.epoch],
      loss: chunk[at + AT.loss],
      metrics,
      lr: chunk[at + AT.lr],
      gradNorm: chunk[at + AT.gradNorm],
      clipScale: chunk[at + AT.clipScale],
      samples: chunk[at + AT.samples],
      timings: {
        stepMs: chunk[at + AT.stepMs],
        gatherMs: chunk[at + AT.gatherMs],
        computeMs: chunk[at + AT.computeMs],
        waitMs: chunk[at + AT.waitMs],
        reduceMs: chunk[at + AT.reduceMs],
        updateMs: chunk[at + AT.updateMs],
      },
    };
  }

  /**
   * The history as a read-only array whose elements are made on access: `records()[3].loss`, `for ... of`, `map`, `slice` and
   * JSON work as on any array. It grows with the history. `slice()` gives an ordinary array to clone or to change.
   */
  records(): readonly StepRecord[] {
    return new Proxy<StepRecord[]>([], {
      get: (target, key, receiver) => {
        if (key === 'length') return this.#length;
        const index = indexOf(key);
        return index === undefined ? Reflect.get(target, key, receiver) : this.at(index);
      },
      has: (target, key) => {
        const index = indexOf(key);
        return index === undefined ? Reflect.has(target, key) : index < this.#length;
      },
      ownKeys: () => [...Array.from({ length: this.#length }, (_, i) => String(i)), 'length'],
      getOwnPropertyDescriptor: (target, key) => {
        if (key === 'length') return { value: this.#length, writable: true, enumerable: false, configurable: false };
        const index = indexOf(key);
        if (index === undefined) return Reflect.getOwnPropertyDescriptor(target, key);
        const value = this.at(index);
        return value && { value, writable: false, enumerable: true, configurable: true };
      },
      set: () => false,
      deleteProperty: () => false,
      defineProperty: () => false,
    });
  }
}

function indexOf(key: string | symbol): number | undefined {
  return typeof key === 'string' && /^(0|[1-9]\d*)$/.test(key) ? Number(key) : undefined;
}
