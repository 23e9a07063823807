import { type ReferenceHeap, referenceHeap, referenceKernels } from '../../src/kernels/reference.ts';
import type { KernelTable } from '../../src/kernels/table.ts';
import { compileKernels, instantiateKernels, type Kernels, type Simd } from '../../src/kernels/wasm.ts';
import { philox } from '../fixtures/philox.ts';

const BYTES = 24 << 20;
/** Bytes of a region that no kernel may touch, before and behind each array. */
const GUARD = 64;
const GUARD_WORD = 0x7fc0dead; // a NaN that no kernel makes

/**
 * One wasm module and the f64 reference over memories of the same layout: what is allocated and written here has the same
 * address in both.
 */
export class Sides {
  readonly simd: Simd;
  readonly wasm: Kernels;
  readonly reference: KernelTable;
  readonly f32: Float32Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly memory: WebAssembly.Memory;
  readonly #heap: ReferenceHeap;
  #top: number;
  #guards: number[] = [];

  constructor(simd: Simd, module: WebAssembly.Module) {
    this.simd = simd;
    this.memory = new WebAssembly.Memory({ initial: BYTES / 65536, maximum: 65536, shared: true });
    this.wasm = instantiateKernels(module, this.memory);
    this.f32 = new Float32Array(this.memory.buffer);
    this.i32 = new Int32Array(this.memory.buffer);
    this.f64 = new Float64Array(this.memory.buffer);
    this.#heap = referenceHeap(BYTES);
    this.reference = referenceKernels(this.#heap);
    this.#top = this.wasm.heapBase;
  }

  /** Forgets all arrays. */
  reset(): void {
    this.#top = this.wasm.heapBase;
    this.#guards = [];
  }

  /** Room for `count` 4-byte elements; `shift` bytes off the 64-byte grid. */
  room(count: number, shift = 0): number {
    const start = Math.ceil((this.#top + GUARD) / 64) * 64 + shift;
    const end = Math.ceil((start + count * 4) / 4) * 4;
    for (let p = start - 16; p < start; p += 4) this.#guard(p);
    for (let p = end; p < end + 16; p += 4) this.#guard(p);
    this.#top = end + 16;
    return start;
  }

  #guard(p: number): void {
    this.i32[p >> 2] = GUARD_WORD;
    this.#guards.push(p);
  }

  /** Throws if a kernel wrote beside an array. */
  checkGuards(): void {
    for (const p of this.#guards) {
      if (this.i32[p >> 2] !== GUARD_WORD) throw new Error(`a kernel wrote outside its arrays, at ${p}`);
    }
  }

  floats(values: ArrayLike<number>, shift = 0): number {
    const p = this.room(values.length, shift);
    this.setFloats(p, values);
    return p;
  }

  setFloats(p: number, values: ArrayLike<number>): void {
    for (let i = 0; i < values.length; i++) {
      this.f32[(p >> 2) + i] = values[i];
      this.#heap.real[(p >> 2) + i] = this.f32[(p >> 2) + i];
    }
  }

  ints(values: ArrayLike<number>): number {
    const p = this.room(values.length);
    for (let i = 0; i < values.length; i++) {
      this.i32[(p >> 2) + i] = values[i];
      this.#heap.int[(p >> 2) + i] = values[i];
    }
    return p;
  }

  doubles(values: ArrayLike<number>): number {
    const p = this.room(values.length * 2);
    for (let i = 0; i < values.length; i++) {
      this.f64[(p >> 3) + i] = values[i];
      this.#heap.sums[(p >> 3) + i] = values[i];
    }
    return p;
  }

  /** What the wasm kernel wrote. */
  got(p: number, count: number): Float32Array {
    return this.f32.slice(p >> 2, (p >> 2) + count);
  }

  /** What the reference wrote, in double precision. */
  want(p: number, count: number): Float64Array {
    return Float64Array.from(this.#heap.real.subarray(p >> 2, (p >> 2) + count));
  }

  wantInts(p: number, count: number): Int32Array {
    return this.#heap.int.slice(p >> 2, (p >> 2) + count);
  }

  gotInts(p: number, count: number): Int32Array {
    return this.i32.slice(p >> 2, (p >> 2) + count);
  }

  wantDouble(p: number): number {
    return this.#heap.sums[p >> 3];
  }

  gotDouble(p: number): number {
    return this.f64[p >> 3];
  }

  /** Runs one kernel of both sides with the same arguments. */
  run(name: keyof KernelTable, ...args: number[]): void {
    (this.wasm[name] as (...args: number[]) => unknown)(...args);
    (this.reference[name] as (...args: number[]) => unknown)(...args);
  }
}

export const LEVELS: readonly Simd[] = ['simd128', 'relaxed'];

export async function bothLevels(): Promise<Sides[]> {
  return Promise.all(
    LEVELS.map(async (simd) => {
      const { module } = await compileKernels({ simd });
      return new Sides(simd, module);
    }),
  );
}

/** `count` numbers, uniform in [low, high), by seed. */
export function numbers(seed: number, count: number, low = -1, high = 1): number[] {
  const next = philox(seed);
  return Array.from({ length: count }, () => low + (high - low) * next());
}

/** Around vectors of 4, 8 and 16 elements. */
export const SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100];

/** The largest |got - want| / (absolute + relative |want|): at most 1 is good. NaN and infinities must agree exactly. */
export function deviation(got: ArrayLike<number>, want: ArrayLike<number>, relative: number, absolute = 0): number {
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    const a = got[i];
    const b = Math.fround(want[i]);
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
    const bound = absolute + relative * Math.abs(want[i]);
    const error = Math.abs(a - want[i]) / bound;
    worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(worst, error);
  }
  return worst;
}
