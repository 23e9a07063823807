import { damaged, quote } from './damage.ts';
import {
  DTYPE_BYTES,
  type HeaderEntry,
  METADATA_KEY,
  nameProblem,
  parseHeader,
  type SafetensorsDType,
} from './safetensors-header.ts';

export type { SafetensorsDType } from './safetensors-header.ts';

/**
 * The safetensors format (huggingface.co/docs/safetensors): 8 bytes with the little-endian length of the header, the header
 * (JSON, padded with spaces), the tensors one behind another, row-major and little-endian, without gaps. Lockstep's data begins
 * at a multiple of 8 and wider elements come first, so that every tensor can be read as a view. Runs in browsers.
 */
export interface StoredTensor {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** The elements' bytes; after decoding a view of the file. */
  readonly bytes: Uint8Array;
}

export interface NamedTensor extends StoredTensor {
  readonly name: string;
}

export interface Safetensors {
  /** In file order. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

const LENGTH_BYTES = 8;
/** The bound of the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;

/** A file as the pieces that make it, in order: the header, then views of the tensors' bytes. Nothing is copied. */
export function safetensorsParts(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const ordered = [...tensors].sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]);
  const entries: [string, object][] = [];
  if (Object.keys(metadata).length > 0) entries.push([METADATA_KEY, metadata]);
  const names = new Set<string>();
  let end = 0;
  for (const { name, dtype, shape, bytes } of ordered) {
    const problem = nameProblem(name) ?? (names.has(name) ? `two tensors called ${quote(name)}` : undefined);
    if (problem) throw damaged('safetensors', 'tensor names that the format allows', problem);
    if (bytes.length !== bytesOf(dtype, shape)) {
      throw damaged(`safetensors, tensor ${quote(name)}`, `${bytesOf(dtype, shape)} bytes`, `${bytes.length}`);
    }
    names.add(name);
    entries.push([name, { dtype, shape, data_offsets: [end, end + bytes.length] }]);
    end += bytes.length;
  }
  // Not through an object: that would move names such as "0" to the front.
  const json = `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join()}}`;
  const text = new TextEncoder().encode(json);
  const length = Math.ceil(text.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) throw damaged('safetensors', `a header of ${MAX_HEADER_BYTES} bytes`, `${length}`);
  const header = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, LENGTH_BYTES);
  return [header, ...ordered.map((tensor) => tensor.bytes)];
}

/** A whole file in one piece. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const parts = safetensorsParts(tensors, metadata);
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/**
 * Reads a file; the tensors are views of `file`. `where` names it in errors.
 *
 * @throws E_CHECKPOINT for anything that is not exactly the format: lengths out of range, text that is no UTF-8 or no header,
 * duplicate or odd names, unknown types, sizes that differ from the shape, gaps, overlaps, bytes that belong to no tensor.
 */
export function decodeSafetensors(file: Uint8Array, where = 'safetensors'): Safetensors {
  if (file.length < LENGTH_BYTES) throw damaged(where, 'at least 8 bytes', `${file.length}`);
  const declared = new DataView(file.buffer, file.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  const most = Math.min(MAX_HEADER_BYTES, file.length - LENGTH_BYTES);
  if (declared > BigInt(most)) throw damaged(where, `a header of at most ${most} bytes`, `a length of ${declared}`);
  const dataStart = LENGTH_BYTES + Number(declared);
  const { entries, metadata } = parseHeader(headerText(file.subarray(LENGTH_BYTES, dataStart), where), where);
  const data = file.subarray(dataStart);

  const inOrder = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end);
  const tensors = new Map<string, StoredTensor>();
  let end = 0;
  for (const entry of inOrder) {
    checkPlace(entry, end, data.length, where);
    end = entry.end;
    tensors.set(entry.name, { dtype: entry.dtype, shape: entry.shape, bytes: data.subarray(entry.begin, end) });
  }
  if (end !== data.length) throw damaged(where, `${end} bytes of tensors`, `${data.length}`);
  return { tensors, metadata };
}

function checkPlace({ name, dtype, shape, begin, end }: HeaderEntry, previous: number, size: number, where: string) {
  const place = `${where}, tensor ${quote(name)}`;
  if (begin > end || end > size) {
    throw damaged(place, `a place within ${size} bytes of data`, `${begin} to ${end}`);
  }
  if (begin !== previous) {
    throw damaged(place, `to begin at byte ${previous}, where the one before ends`, `byte ${begin}`);
  }
  const expected = bytesOf(dtype, shape);
  if (end - begin !== expected) throw damaged(place, `${expected} bytes for ${dtype} [${shape}]`, `${end - begin}`);
}

function headerText(bytes: Uint8Array, where: string): string {
  try {
    // A copy: TextDecoder does not read shared memory. The byte order mark is kept, to be refused.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.slice());
  } catch (cause) {
    throw damaged(`${where}, header`, 'UTF-8 text', 'other bytes', cause);
  }
}

/** Infinity beyond 2^53, so that no product wraps to a small number. */
function bytesOf(dtype: SafetensorsDType, shape: readonly number[]): number {
  let bytes: number = DTYPE_BYTES[dtype];
  for (const d of shape) bytes *= d;
  return Number.isSafeInteger(bytes) ? bytes : Number.POSITIVE_INFINITY;
}

/** The elements of an F32 tensor: a view where they are aligned, else a copy. */
export function f32Elements({ bytes }: StoredTensor): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}
