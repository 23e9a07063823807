import type { PagedElements } from './paged.ts';
import { type RawArray, sharedArray } from './raw.ts';

/** Where the arrays of encoded columns come from. */
export interface ColumnArrays {
  /** Bytes of a field. */
  bytes(field: string, length: number): Uint8Array;
  /** Numbers of a field. */
  words(field: string, dtype: 'f32' | 'i32', length: number): Float32Array | Int32Array;
}

/** New ones in shared memory. */
export const OWN_ARRAYS: ColumnArrays = {
  bytes: (_, length) => sharedArray('u8', length),
  words: (_, dtype, length) => sharedArray(dtype, length),
};

/**
 * Arrays that take the same memory each time that they are asked for by one name. Runs of a table on disk are encoded through them: the
 * collector does not know how large arrays in shared memory are, and would let gigabytes of them wait for it.
 */
export class ReusedArrays implements ColumnArrays {
  readonly #buffers = new Map<string, SharedArrayBuffer>();

  bytes(field: string, length: number): Uint8Array {
    return new Uint8Array(this.#buffer(`field ${field}`, length), 0, length);
  }

  words(field: string, dtype: 'f32' | 'i32', length: number): Float32Array | Int32Array {
    const buffer = this.#buffer(`field ${field}`, 4 * length);
    return dtype === 'f32' ? new Float32Array(buffer, 0, length) : new Int32Array(buffer, 0, length);
  }

  /** Elements of a raw column. */
  column(name: string, elements: PagedElements, length: number): RawArray {
    const buffer = this.#buffer(`column ${name}`, (elements === 'u8' ? 1 : elements === 'f64' ? 8 : 4) * length);
    switch (elements) {
      case 'u8':
        return new Uint8Array(buffer, 0, length);
      case 'i32':
        return new Int32Array(buffer, 0, length);
      case 'f32':
        return new Float32Array(buffer, 0, length);
      default:
        return new Float64Array(buffer, 0, length);
    }
  }

  #buffer(name: string, bytes: number): SharedArrayBuffer {
    let buffer = this.#buffers.get(name);
    if (!buffer || buffer.byteLength < bytes) {
      buffer = new SharedArrayBuffer(bytes);
      this.#buffers.set(name, buffer);
    }
    return buffer;
  }
}
