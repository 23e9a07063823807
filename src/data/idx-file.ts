import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { LockstepError } from '../errors.ts';
import { readError } from './files.ts';
import { isGzip } from './lines.ts';
import type { ElementTarget } from './number-column.ts';
import type { PagedElements } from './paged.ts';
import type { RawArray } from './raw.ts';

/** What an IDX file says that it holds. */
export interface IdxHeader {
  /** Items first: [60000, 28, 28]. */
  readonly dims: readonly number[];
  readonly type: IdxType;
  /** Bytes stay bytes; integers become i32; floats keep their precision. */
  readonly elements: PagedElements;
}

/** Element types by the third byte of the magic number (yann.lecun.com/exdb/mnist, "the IDX file format"); big endian. */
const TYPES = {
  8: { name: 'u8', bytes: 1, elements: 'u8' },
  9: { name: 'i8', bytes: 1, elements: 'i32' },
  11: { name: 'i16', bytes: 2, elements: 'i32' },
  12: { name: 'i32', bytes: 4, elements: 'i32' },
  13: { name: 'f32', bytes: 4, elements: 'f32' },
  14: { name: 'f64', bytes: 8, elements: 'f64' },
} as const;
type TypeCode = keyof typeof TYPES;
export type IdxType = (typeof TYPES)[TypeCode]['name'];

interface Header {
  readonly type: (typeof TYPES)[TypeCode];
  readonly dims: readonly number[];
  readonly count: number;
  readonly headerBytes: number;
  readonly totalBytes: number;
}

/** Bytes that are read at once. */
const PIECE = 1 << 18;
/** Deflate makes no more of a byte than this (zlib's technical notes): a small file cannot claim to fill the memory. */
const MOST_INFLATED = 1032;

/**
 * Reads an IDX file, gzipped or not (told by its first bytes), piece by piece: `open` gets the header and says where the elements go.
 *
 * @throws E_DATA_FORMAT for one that is damaged, truncated or something else, before `open` where that can be known; what `open` throws.
 */
export async function readIdx(
  file: string,
  open: (header: IdxHeader) => ElementTarget,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const { size } = await stat(file);
    const zipped = await isGzip(file);
    const source = createReadStream(file, { signal, highWaterMark: PIECE });
    const stream = zipped ? source.pipe(createGunzip({ chunkSize: PIECE })) : source;
    source.on('error', (error) => stream.destroy(error));
    try {
      await decode(file, stream, size, zipped, open);
    } finally {
      source.destroy();
    }
  } catch (error) {
    throw readError(error, file);
  }
}

async function decode(
  file: string,
  stream: AsyncIterable<unknown>,
  size: number,
  zipped: boolean,
  open: (header: IdxHeader) => ElementTarget,
): Promise<void> {
  let header: Header | undefined;
  let target: ElementTarget | undefined;
  let rest: Uint8Array = new Uint8Array(0);
  let done = 0;
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('readIdx: not bytes');
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (!header || !target) {
      header = parseHeader(rest, file);
      if (!header) continue;
      checkSize(header, size, zipped, file);
      target = open({ dims: header.dims, type: header.type.name, elements: header.type.elements });
      rest = rest.subarray(header.headerBytes);
    }
    const { type, count } = header;
    const whole = Math.min(Math.floor(rest.length / type.bytes), count - done);
    if (whole > 0) target.take(numbers(rest.subarray(0, whole * type.bytes), type, whole), done);
    done += whole;
    rest = rest.subarray(whole * type.bytes);
    if (done === count && rest.length > 0) throw trailing(file, header, `more than ${header.totalBytes} bytes`);
  }
  if (!header) throw truncated(file, 'a magic number and sizes', `${rest.length} bytes`);
  if (done < header.count) {
    const got = header.headerBytes + done * header.type.bytes + rest.length;
    throw truncated(file, `${header.totalBytes} bytes for ${shapeText(header)}`, `${got} bytes`);
  }
}

/** Before anything is allocated: the file must be able to hold what the header says. */
function checkSize(header: Header, size: number, zipped: boolean, file: string): void {
  const { totalBytes } = header;
  const expected = `${totalBytes} bytes for ${shapeText(header)}`;
  if (totalBytes > (zipped ? MOST_INFLATED * size : size)) throw truncated(file, expected, `${size} bytes${zipped ? ', compressed' : ''}`); // biome-ignore format: one line
  if (!zipped && totalBytes < size) throw trailing(file, header, `${size} bytes`);
}

/** The header, or undefined while it is not complete. */
function parseHeader(bytes: Uint8Array, file: string): Header | undefined {
  if (bytes.length < 4) return undefined;
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
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const dims = Array.from({ length: rank }, (_, d) => view.getUint32(4 + 4 * d));
  const count = dims.reduce((a, b) => a * b, 1);
  return { type, dims, count, headerBytes, totalBytes: headerBytes + count * type.bytes };
}

function isTypeCode(code: number): code is TypeCode {
  return Object.hasOwn(TYPES, code);
}

function numbers(bytes: Uint8Array, { name, bytes: width }: Header['type'], count: number): RawArray {
  if (name === 'u8') return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const fill = <A extends RawArray>(out: A, at: (offset: number) => number): A => {
    for (let i = 0; i < count; i++) out[i] = at(i * width);
    return out;
  };
  switch (name) {
    case 'i8':
      return fill(new Int32Array(count), (o) => view.getInt8(o));
    case 'i16':
      return fill(new Int32Array(count), (o) => view.getInt16(o));
    case 'i32':
      return fill(new Int32Array(count), (o) => view.getInt32(o));
    case 'f32':
      return fill(new Float32Array(count), (o) => view.getFloat32(o));
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
