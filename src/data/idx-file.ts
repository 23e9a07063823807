import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { LockstepError } from '../errors.ts';
import { abortedError, readError } from './files.ts';
import { type RawArray, sharedArray } from './raw.ts';

/** A decoded IDX file. */
export interface IdxFile {
  readonly file: string;
  /** Items first: [60000, 28, 28]. */
  readonly dims: readonly number[];
  readonly type: IdxType;
  /** Bytes stay bytes; integers become i32; floats keep their precision. */
  readonly data: RawArray;
}

/** Element types by the third byte of the magic number (yann.lecun.com/exdb/mnist, "the IDX file format"); big endian. */
const TYPES = {
  8: { name: 'u8', bytes: 1 },
  9: { name: 'i8', bytes: 1 },
  11: { name: 'i16', bytes: 2 },
  12: { name: 'i32', bytes: 4 },
  13: { name: 'f32', bytes: 4 },
  14: { name: 'f64', bytes: 8 },
} as const;
type TypeCode = keyof typeof TYPES;
export type IdxType = (typeof TYPES)[TypeCode]['name'];

interface Header {
  readonly type: (typeof TYPES)[TypeCode];
  readonly dims: readonly number[];
  readonly headerBytes: number;
  readonly totalBytes: number;
}

const PIECE = 64 * 1024 * 1024;

/** Reads an IDX file, gzipped or not (told by its first bytes). E_DATA_FORMAT if it is damaged, truncated or something else. */
export async function readIdx(file: string, signal: AbortSignal | undefined): Promise<IdxFile> {
  try {
    const plain = await readPlain(file, signal);
    const bytes = plain[0] === 0x1f && plain[1] === 0x8b ? await gunzip(file, signal) : plain;
    const header = parseHeader(bytes, bytes.length, file);
    if (header === undefined) throw truncated(file, 'a magic number and sizes', `${bytes.length} bytes`);
    if (bytes.length < header.totalBytes) {
      throw truncated(file, `${header.totalBytes} bytes for ${shapeText(header)}`, `${bytes.length} bytes`);
    }
    if (bytes.length > header.totalBytes) throw trailing(file, header, `${bytes.length} bytes`);
    return { file, dims: header.dims, type: header.type.name, data: decode(bytes, header) };
  } catch (error) {
    throw readError(error, file);
  }
}

/** The whole file in shared memory, so that images can be used where they are. */
async function readPlain(file: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const bytes = sharedArray('u8', size);
    let at = 0;
    while (at < size) {
      if (signal?.aborted) throw abortedError(`reading ${file}`, signal.reason);
      const { bytesRead } = await handle.read(bytes, at, Math.min(PIECE, size - at), at);
      if (bytesRead === 0) break; // it shrank while being read
      at += bytesRead;
    }
    return bytes.subarray(0, at);
  } finally {
    await handle.close();
  }
}

/** Decompresses, but never further than the header says: a small file cannot fill the memory. */
async function gunzip(file: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const source = createReadStream(file, { signal });
  const stream = source.pipe(createGunzip());
  source.on('error', (error) => stream.destroy(error));
  const chunks: Uint8Array[] = [];
  let header: Header | undefined;
  let total = 0;
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
      total += chunk.length;
      header ??= parseHeader(Buffer.concat(chunks), total, file);
      if (header && total > header.totalBytes) throw trailing(file, header, `more than ${header.totalBytes} bytes`);
    }
  } finally {
    source.destroy();
  }
  const bytes = sharedArray('u8', total);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** The header, or undefined while it is not complete. */
function parseHeader(bytes: Uint8Array, available: number, file: string): Header | undefined {
  if (available < 4) return undefined;
  const [zero0, zero1, code, rank] = bytes;
  if (zero0 !== 0 || zero1 !== 0 || rank === 0) {
    throw formatError(
      file,
      'an IDX file (magic number 0x0000 <type> <rank>)',
      `0x${Buffer.from(bytes.subarray(0, 4)).toString('hex')}`,
    );
  }
  const type = isTypeCode(code) ? TYPES[code] : undefined;
  if (!type) {
    const known = Object.entries(TYPES).map(([k, t]) => `0x0${Number(k).toString(16)} ${t.name}`);
    throw formatError(file, `an element type among ${known.join(', ')}`, `0x${code.toString(16).padStart(2, '0')}`);
  }
  const headerBytes = 4 + 4 * rank;
  if (available < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const dims = Array.from({ length: rank }, (_, d) => view.getUint32(4 + 4 * d));
  const items = dims.reduce((a, b) => a * b, 1);
  return { type, dims, headerBytes, totalBytes: headerBytes + items * type.bytes };
}

function isTypeCode(code: number): code is TypeCode {
  return Object.hasOwn(TYPES, code);
}

function decode(bytes: Uint8Array, { type, headerBytes, dims }: Header): RawArray {
  const count = dims.reduce((a, b) => a * b, 1);
  if (type.name === 'u8') return bytes.subarray(headerBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset + headerBytes);
  const fill = <A extends RawArray>(out: A, at: (offset: number) => number): A => {
    for (let i = 0; i < count; i++) out[i] = at(i * type.bytes);
    return out;
  };
  switch (type.name) {
    case 'i8':
      return fill(sharedArray('i32', count), (o) => view.getInt8(o));
    case 'i16':
      return fill(sharedArray('i32', count), (o) => view.getInt16(o));
    case 'i32':
      return fill(sharedArray('i32', count), (o) => view.getInt32(o));
    case 'f32':
      return fill(sharedArray('f32', count), (o) => view.getFloat32(o));
    default:
      return fill(new Float64Array(count), (o) => view.getFloat64(o));
  }
}

function shapeText({ type, dims }: Header): string {
  return `${dims.join(' x ')} elements of ${type.name}`;
}

function truncated(file: string, expected: string, got: string): LockstepError {
  return formatError(file, expected, `${got}: the file is truncated`);
}

function trailing(file: string, header: Header, got: string): LockstepError {
  return formatError(file, `${header.totalBytes} bytes for ${shapeText(header)}`, `${got}: trailing bytes`);
}

function formatError(file: string, expected: string, got: string): LockstepError {
  return new LockstepError('E_DATA_FORMAT', {
    where: file,
    expected,
    got,
    fix: 'check that it is the right file, and fetch it again',
  });
}
