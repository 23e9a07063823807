import { readFileSync } from 'node:fs';
import { copyBytes } from './copy-bytes.ts';
import { instantiateKernels, type Kernels } from './instantiate.ts';
import { CHECKSUM_BLOCK, CHECKSUM_STATE, READING_BYTES } from './table.ts';
import { unsharedModule } from './unshared.ts';

/** Bytes that are summed at a time: they stay in the nearest cache. */
const SCRATCH = 32 * 1024;

interface Machine {
  readonly kernels: Kernels;
  readonly bytes: Uint8Array;
  readonly reading: ReadingMemory;
}

let own: Machine | undefined;

/** Kernels over a small memory of their own; compiled when they are first needed. */
function machine(): Machine {
  if (own) return own;
  const file = readFileSync(new URL('./wasm/simd128.wasm', import.meta.url));
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536 });
  const kernels = instantiateKernels(new WebAssembly.Module(unsharedModule(file)), memory);
  const at = Math.ceil(kernels.heapBase / 64) * 64;
  const bytes = new Uint8Array(memory.buffer, at, SCRATCH);
  own = { kernels, bytes, reading: new ReadingMemory(kernels, memory, at + SCRATCH) };
  return own;
}

/** Kernels over memory in which bytes are summed where they lie. */
const inPlace = new WeakMap<ArrayBufferLike, Kernels>();

/** From now on bytes of this memory are not copied to be summed. */
export function sumInPlace(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const kernels = inPlace.get(memory.buffer) ?? instantiateKernels(module, memory);
  inPlace.set(memory.buffer, kernels);
  return kernels;
}

/**
 * Continues a checksum over these bytes, from any memory: by the kernel `checksum`, behind the length. One wrong bit always changes it, and of
 * more all but one in 2^32. No proof against intent.
 *
 * @returns u32
 */
export function checksum(bytes: Uint8Array, seed: number): number {
  const { kernels, bytes: scratch } = machine();
  const there = inPlace.get(bytes.buffer);
  let sum = Math.imul(rotate(seed ^ bytes.length), 0x9e3779b1);
  for (let from = 0; from < bytes.length; from += SCRATCH) {
    const length = Math.min(SCRATCH, bytes.length - from);
    const blocks = Math.ceil(length / CHECKSUM_BLOCK);
    if (there && length === blocks * CHECKSUM_BLOCK) sum = there.checksum(bytes.byteOffset + from, blocks, sum);
    else {
      copyBytes(scratch, bytes.subarray(from, from + length));
      scratch.fill(0, length, blocks * CHECKSUM_BLOCK);
      sum = kernels.checksum(scratch.byteOffset, blocks, sum);
    }
  }
  return sum >>> 0;
}

/** As much as one read can bring, and little enough to stay in the cache; behind it lies the state of a checksum. */
const READ_BYTES = READING_BYTES - 512;

/**
 * Memory for whoever reads bytes to be summed, where that takes one pass over them, in which they are also copied to elsewhere in the same memory.
 * What is in it is valid until control is given up: all readers of a process may share one.
 */
export class ReadingMemory {
  readonly bytes: Uint8Array;
  readonly #kernels: Kernels;
  readonly #state: Int32Array;

  /** `at`: address of READING_BYTES. */
  constructor(kernels: Kernels, memory: WebAssembly.Memory, at: number) {
    this.bytes = new Uint8Array(memory.buffer, at, READ_BYTES);
    this.#state = new Int32Array(memory.buffer, at + READ_BYTES, CHECKSUM_STATE / 4);
    this.#kernels = kernels;
  }

  /** In an arena, where `at` is its address. */
  static in(module: WebAssembly.Module, memory: WebAssembly.Memory, at: number): ReadingMemory {
    return new ReadingMemory(sumInPlace(module, memory), memory, at);
  }

  /** Where there is no arena. */
  static get default(): ReadingMemory {
    return machine().reading;
  }

  /** Whether bytes can be taken from here, or put there. */
  has({ buffer }: Uint8Array): boolean {
    return buffer === this.bytes.buffer;
  }

  /** The state of a checksum takes bytes that are here, and copies them. */
  take(state: Int32Array, bytes: Uint8Array, to: Uint8Array | undefined): void {
    this.#state.set(state);
    this.#kernels.checksumTake(this.#state.byteOffset, to?.byteOffset ?? 0, bytes.byteOffset, bytes.length);
    state.set(this.#state);
  }
}

/** Words of its state: see the kernel. */
const [SUM, FILLED, LEFT] = [64, 65, 66];

/** The same checksum of runs of bytes that come in any cuts. */
export class RunningChecksum {
  readonly #memory: ReadingMemory;
  readonly #state = new Int32Array(CHECKSUM_STATE / 4);

  /** @param memory that most of the bytes will lie in. */
  constructor(seed: number, memory = ReadingMemory.default) {
    this.#memory = memory;
    this.#state[SUM] = seed;
  }

  /** A run of so many bytes follows; the one before has all of its own. */
  begin(length: number): void {
    const state = this.#state;
    state[SUM] = Math.imul(rotate(state[SUM] ^ length), 0x9e3779b1);
    state.fill(state[SUM], 0, CHECKSUM_BLOCK / 4);
    state[FILLED] = 0;
    state[LEFT] = length;
  }

  /** The next bytes of the run; they are also copied. `to`: as many, elsewhere. */
  take(bytes: Uint8Array, to?: Uint8Array): void {
    const memory = this.#memory;
    const inOne = to !== undefined && memory.has(to);
    if (memory.has(bytes)) memory.take(this.#state, bytes, inOne ? to : undefined);
    else this.#takeForeign(bytes);
    if (to !== undefined && !(inOne && memory.has(bytes))) copyBytes(to, bytes);
  }

  /** u32, of all runs so far. */
  get value(): number {
    return this.#state[SUM] >>> 0;
  }

  #takeForeign(bytes: Uint8Array): void {
    const { bytes: scratch, reading } = machine();
    for (let at = 0; at < bytes.length; at += SCRATCH) {
      const part = bytes.subarray(at, at + SCRATCH);
      copyBytes(scratch, part);
      reading.take(this.#state, scratch.subarray(0, part.length), undefined);
    }
  }
}

const rotate = (x: number) => (x << 13) | (x >>> 19);
