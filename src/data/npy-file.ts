import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { LockstepError } from '../errors.ts';
import { didYouMean } from './describe.ts';
import { readError } from './files.ts';
import { type NpyHeader, parseNpyHeader } from './npy-header.ts';
import type { ElementTarget } from './number-column.ts';
import type { PagedElements } from './paged.ts';
import type { RawArray } from './raw.ts';
import { openZipMember, readZipDirectory } from './zip.ts';

/** What kind of numbers an array becomes: bytes stay bytes, integers become i32, floats keep their precision. */
export function elementsOfType({ type }: NpyHeader): PagedElements {
  if (type.kind === 'float') return type.bytes === 4 ? 'f32' : 'f64';
  return type.kind === 'boolean' || (type.kind === 'unsigned' && type.bytes === 1) ? 'u8' : 'i32';
}

/** Bytes of which the elements of an array come, and what they are called in messages. */
interface Bytes {
  readonly where: string;
  readonly size: number;
  readonly stream: AsyncIterable<unknown>;
}

/**
 * Reads the array in an .npy file, or member `member` of an .npz archive, piece by piece: `open` gets the header and says where the
 * elements go. Arrays in Fortran order come row by row as well, but `open` must hold all of them.
 *
 * @throws E_DATA_FORMAT (damaged, truncated, trailing bytes, no such type), E_DTYPE, E_DATA_VALUE (integers beyond i32), E_DATA_MISSING
 * (no such member), and what `open` throws.
 */
export async function readNpy(
  file: string,
  member: string | undefined,
  open: (header: NpyHeader, where: string) => ElementTarget,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const source = member === undefined ? await plainBytes(file, signal) : await memberBytes(file, member, signal);
    await decode(source, open);
  } catch (error) {
    throw readError(error, file);
  }
}

async function plainBytes(file: string, signal: AbortSignal | undefined): Promise<Bytes> {
  const { size } = await stat(file);
  return { where: file, size, stream: createReadStream(file, { signal, highWaterMark: 1 << 20 }) };
}

async function memberBytes(file: string, name: string, signal: AbortSignal | undefined): Promise<Bytes> {
  const members = await readZipDirectory(file);
  const found = members.find((m) => m.name === `${name}.npy`) ?? members.find((m) => m.name === name);
  if (!found) {
    const names = members.map((m) => m.name.replace(/\.npy$/, ''));
    throw new LockstepError('E_DATA_MISSING', {
      where: file,
      expected: `an array "${name}"`,
      got: names.slice(0, 20).join(', ') || 'an empty archive',
      fix: didYouMean(name, names, 'name one of those'),
    });
  }
  return { where: `${file}: ${found.name}`, size: found.bytes, stream: await openZipMember(file, found, signal) };
}

async function decode(
  { where, size, stream }: Bytes,
  open: (header: NpyHeader, where: string) => ElementTarget,
): Promise<void> {
  let decoder: Decoder | undefined;
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('readNpy: not bytes');
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (!decoder) {
      const header = parseNpyHeader(rest, where);
      if (!header) continue;
      checkSize(header, size, where);
      decoder = new Decoder(header, where, open(header, where));
      rest = rest.subarray(header.headerBytes);
    }
    rest = rest.subarray(decoder.take(rest));
  }
  if (!decoder) throw formatError(where, 'the header of an .npy file', `${size} bytes: truncated`);
  decoder.finish(rest.length);
}

/** Before anything is allocated: the file must hold what the header says. */
function checkSize({ headerBytes, elements, type, dims }: NpyHeader, size: number, where: string): void {
  const wanted = headerBytes + elements * type.bytes;
  if (wanted === size) return;
  const expected = `${wanted} bytes for ${type.name} (${dims.join(', ')})`;
  throw formatError(where, expected, `${size}: ${size < wanted ? 'truncated' : 'trailing bytes'}`);
}

/** Bytes to numbers, in pieces that end anywhere. */
class Decoder {
  readonly #header: NpyHeader;
  readonly #where: string;
  readonly #target: ElementTarget;
  #done = 0;

  constructor(header: NpyHeader, where: string, target: ElementTarget) {
    this.#header = header;
    this.#where = where;
    this.#target = header.fortran && header.dims.length > 1 ? new RowOrder(header, target) : target;
  }

  /** Decodes whole elements and gives the number of bytes that they took. */
  take(bytes: Uint8Array): number {
    const { type, elements } = this.#header;
    const count = Math.min(Math.floor(bytes.length / type.bytes), elements - this.#done);
    if (count === 0) return 0;
    const used = count * type.bytes;
    this.#target.take(this.#numbers(bytes.subarray(0, used), count), this.#done);
    this.#done += count;
    return used;
  }

  finish(left: number): void {
    const { elements } = this.#header;
    if (this.#done < elements) throw formatError(this.#where, `${elements} elements`, `${this.#done}: truncated`);
    if (left > 0) throw formatError(this.#where, `${elements} elements`, 'more: trailing bytes');
    if (this.#target instanceof RowOrder) this.#target.finish();
  }

  #numbers(bytes: Uint8Array, count: number): RawArray {
    const { type, bigEndian } = this.#header;
    const aligned = new Uint8Array(bytes); // a copy: the views below need their elements' alignment
    if (bigEndian) swapBytes(aligned, type.bytes);
    const { buffer } = aligned;
    switch (type.name) {
      case 'float32':
        return new Float32Array(buffer);
      case 'float64':
        return new Float64Array(buffer);
      case 'int32':
        return new Int32Array(buffer);
      case 'uint8':
        return aligned;
      case 'bool':
        return this.#checked(aligned, 1);
      case 'int8':
        return Int32Array.from(new Int8Array(buffer));
      case 'int16':
        return Int32Array.from(new Int16Array(buffer));
      case 'uint16':
        return Int32Array.from(new Uint16Array(buffer));
      case 'uint32':
        return Int32Array.from(this.#checked(new Uint32Array(buffer), 2 ** 31 - 1));
      default:
        return this.#narrow(new BigInt64Array(buffer), count);
    }
  }

  #narrow(wide: BigInt64Array, count: number): Int32Array {
    const out = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      out[i] = Number(wide[i]);
      if (BigInt(out[i]) !== wide[i]) throw this.#outside(i, String(wide[i]));
    }
    return out;
  }

  #checked<A extends Uint8Array | Uint32Array>(values: A, most: number): A {
    const i = values.findIndex((value: number) => value > most);
    if (i >= 0) throw this.#outside(i, String(values[i]));
    return values;
  }

  #outside(i: number, got: string): LockstepError {
    const { type, dims, elements, fortran } = this.#header;
    const at = this.#done + i;
    const row = fortran ? at % dims[0] : Math.floor((at * dims[0]) / elements);
    return new LockstepError('E_DATA_VALUE', {
      where: `${this.#where}, row ${row}`,
      expected: type.kind === 'boolean' ? '0 or 1' : 'an integer that fits 32 bits',
      got,
      fix:
        type.kind === 'boolean' ? 'the file is damaged: write it again' : 'save it as float32, or as smaller numbers',
    });
  }
}

/** Elements that come column by column, put into the order of rows. */
class RowOrder implements ElementTarget {
  readonly #target: ElementTarget;
  readonly #strides: readonly number[];
  readonly #dims: readonly number[];
  readonly #index: number[];
  readonly #elements: number;
  #place = 0;
  #out: RawArray | undefined;

  constructor({ dims, elements }: NpyHeader, target: ElementTarget) {
    this.#target = target;
    this.#dims = dims;
    this.#elements = elements;
    this.#strides = dims.map((_, d) => dims.slice(d + 1).reduce((a, b) => a * b, 1));
    this.#index = dims.map(() => 0);
  }

  take(values: RawArray): void {
    this.#out ??= sameKind(values, this.#elements);
    const out = this.#out;
    for (let i = 0; i < values.length; i++) {
      out[this.#place] = values[i];
      for (let d = 0; d < this.#dims.length; d++) {
        this.#index[d] += 1;
        this.#place += this.#strides[d];
        if (this.#index[d] < this.#dims[d]) break;
        this.#place -= this.#strides[d] * this.#dims[d];
        this.#index[d] = 0;
      }
    }
  }

  finish(): void {
    if (this.#out) this.#target.take(this.#out, 0);
  }
}

function sameKind(values: RawArray, length: number): RawArray {
  if (values instanceof Uint8Array) return new Uint8Array(length);
  if (values instanceof Int32Array) return new Int32Array(length);
  return values instanceof Float32Array ? new Float32Array(length) : new Float64Array(length);
}

function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (width === 2) buffer.swap16();
  else if (width === 4) buffer.swap32();
  else buffer.swap64();
}

function formatError(where: string, expected: string, got: string): LockstepError {
  const fix = 'check that it is the right file, and write or fetch it again';
  return new LockstepError('E_DATA_FORMAT', { where, expected, got, fix });
}
