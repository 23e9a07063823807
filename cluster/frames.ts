import { crc32 } from 'node:zlib';
import { Packr } from 'msgpackr';
import { LockstepError } from '../src/errors.ts';
import { checksum } from '../src/kernels/checksum.ts';

// A frame is one WebSocket message: a sequence of msgpack objects (docs/protocol.md).
//
//   header     a map with string keys: what the message says
//   checksum   0xCE and a u32 over header and regions: TCP's own lets one damaged segment in 65536 pass, and a wrong bit in a
//              gradient would be the end of "same bytes". No protection from intent: that is TLS.
//   region     nil bytes (0xC0) up to the one place from which, 5 bytes on, the offset is a multiple of 8; then 0xC6, the length
//              as a big-endian u32, the data. There may be none.
//
// The writer is msgpackr's. The reader is our own, for what msgpackr reads beside plain values (records that become code,
// regular expressions, errors, shared structures) must not be reached by bytes from a socket; tests compare it with msgpackr.

/** Limits of a frame's shape. How long a region may be follows from the tensor table, so `messages.ts` checks that. */
export const FRAME_LIMITS = {
  /** Longest header, in bytes. */
  headerBytes: 64 * 1024,
  /** Most regions in a frame. */
  regions: 256,
  /** Deepest nesting of maps and arrays in a header. */
  depth: 8,
  /** Most map entries and array items in a header, all together. */
  items: 8192,
} as const;

export interface Frame {
  /** Plain data of unknown shape: a schema of `messages.ts` decides what it is. */
  header: unknown;
  /** Views into what was decoded, valid as long as that is. Not aligned in memory: copy with `set`. */
  regions: Uint8Array[];
}

/** Bytes that are no frame. The one thing that {@link decodeFrame} throws. */
export class FrameError extends LockstepError {
  constructor(offset: number, expected: string, got: string) {
    super('E_FRAME', {
      where: `frame, byte ${offset}`,
      expected,
      got,
      fix: 'run the same version of Lockstep on all machines; if it is the same, something on the way changes bytes',
    });
    this.name = 'FrameError';
  }
}

const PACKING = { useRecords: false, variableMapSize: true, skipValues: [undefined] };
const packr = new Packr(PACKING);

const NIL = 0xc0;
const BIN32 = 0xc6;
const PREFIX = 5;
const ALIGNMENT = 8;

const UINT32 = 0xce;
const CHECKSUM = 5;

/** The CRC-32 of the header, continued over the regions. */
function sumOf(headerSum: number, regions: readonly Uint8Array[]): number {
  return regions.reduce((sum, region) => checksum(region, sum), headerSum);
}

/** Nil bytes before the prefix of a region that starts behind `offset`. */
const padding = (offset: number) => -(offset + PREFIX) & (ALIGNMENT - 1);

/**
 * The parts of one message in order: header with the first region's prefix, first region, prefix, region ... Regions are the
 * caller's own views, not copies. Throws a RangeError when the frame would exceed {@link FRAME_LIMITS}.
 */
export function encodeFrame(header: object, regions: readonly Uint8Array[] = []): Uint8Array[] {
  const packed = packr.pack(header);
  if (packed.length > FRAME_LIMITS.headerBytes)
    throw new RangeError(`A frame's header is ${packed.length} bytes; at most ${FRAME_LIMITS.headerBytes} are allowed`);
  if (regions.length > FRAME_LIMITS.regions)
    throw new RangeError(`A frame has ${regions.length} regions; at most ${FRAME_LIMITS.regions} are allowed`);
  const parts: Uint8Array[] = [];
  const head = new Uint8Array(packed.length + CHECKSUM);
  head.set(packed);
  head[packed.length] = UINT32;
  new DataView(head.buffer).setUint32(packed.length + 1, sumOf(crc32(packed), regions));
  let before = head;
  let offset = 0;
  for (const region of regions) {
    const pad = padding(offset + before.length);
    const part = new Uint8Array(before.length + pad + PREFIX);
    part.set(before);
    part.fill(NIL, before.length, before.length + pad);
    part[before.length + pad] = BIN32;
    new DataView(part.buffer).setUint32(before.length + pad + 1, region.length);
    parts.push(part, region);
    offset += part.length + region.length;
    before = NOTHING;
  }
  return regions.length > 0 ? parts : [head];
}

/**
 * Reads a frame from one piece of memory, or from the fragments in which the message came: fragments cut as {@link encodeFrame}
 * cuts them cost no copy, others are joined first. Throws a {@link FrameError} and nothing else.
 */
export function decodeFrame(data: Uint8Array | readonly Uint8Array[]): Frame {
  const parts = data instanceof Uint8Array ? [data] : data;
  if (parts.length === 1) return readFrame(parts);
  try {
    return readFrame(parts);
  } catch {
    return readFrame([Buffer.concat(parts)]);
  }
}

function readFrame(parts: readonly Uint8Array[]): Frame {
  const first = parts[0] ?? NOTHING;
  const { header, bytes, headerSum, sum: expected } = readHead(first);
  const regions: Uint8Array[] = [];
  let part = 0;
  let rest = first.subarray(bytes);
  let offset = bytes;
  const take = (length: number, what: string): Uint8Array => {
    if (rest.length === 0 && part + 1 < parts.length) rest = parts[++part];
    if (rest.length < length) throw new FrameError(offset, `${length} bytes of ${what}`, `${rest.length}`);
    const taken = rest.subarray(0, length);
    rest = rest.subarray(length);
    offset += length;
    return taken;
  };
  while (rest.length > 0 || part + 1 < parts.length) {
    const at = offset;
    const length = readPrefix(take(prefixBytes(at), "a region's prefix"), at, regions.length);
    regions.push(length === 0 ? NOTHING : take(length, 'a region'));
  }
  expectSum(expected, sumOf(headerSum, regions));
  return { header, regions };
}

/** How a frame begins. */
export interface FrameHead {
  readonly header: Record<string, unknown>;
  /** Of the header and the checksum. */
  readonly bytes: number;
  /** Of the header, from which the checksum goes on. */
  readonly headerSum: number;
  /** The checksum of all, as the frame says. */
  readonly sum: number;
}

/** @throws FrameError if these bytes do not begin as a frame does. */
export function readHead(bytes: Uint8Array): FrameHead {
  const reader = new HeaderReader(bytes);
  const header = reader.map();
  const end = reader.position;
  if (bytes.length - end < CHECKSUM)
    throw new FrameError(end, `${CHECKSUM} bytes of the checksum`, `${bytes.length - end}`);
  if (bytes[end] !== UINT32) throw new FrameError(end, '0xce, the checksum', hex(bytes[end]));
  const sum = new DataView(bytes.buffer, bytes.byteOffset + end + 1, 4).getUint32(0);
  return { header, bytes: end + CHECKSUM, headerSum: crc32(bytes.subarray(0, end)), sum };
}

/** Bytes of the prefix of a region that begins at an offset in a frame: padding and length. */
export const prefixBytes = (offset: number) => padding(offset) + PREFIX;

/** The length of a region. @throws FrameError for what is no prefix, or one too many. */
export function readPrefix(prefix: Uint8Array, offset: number, regions: number): number {
  if (regions === FRAME_LIMITS.regions)
    throw new FrameError(offset, `at most ${FRAME_LIMITS.regions} regions`, 'one more');
  const pad = prefix.length - PREFIX;
  for (let i = 0; i < pad; i++)
    if (prefix[i] !== NIL) throw new FrameError(offset + i, '0xc0 as padding', hex(prefix[i]));
  if (prefix[pad] !== BIN32) throw new FrameError(offset + pad, '0xc6, a region', hex(prefix[pad]));
  return new DataView(prefix.buffer, prefix.byteOffset + pad + 1, 4).getUint32(0);
}

/** @throws FrameError if a frame is not what was sent. */
export function expectSum(expected: number, sum: number): void {
  if (sum !== expected) throw new FrameError(0, `bytes with the checksum ${expected}`, `${sum}`);
}

const NOTHING = new Uint8Array(0);
const hex = (byte: number) => `0x${byte.toString(16).padStart(2, '0')}`;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Longest text that is remembered. */
const KNOWN_BYTES = 16;
const knownTexts: { readonly bytes: Uint8Array; readonly text: string }[] = [];

/** Headers say the same few words all the time, and decoding one takes as long as reading the rest of the header. Of 256 kinds the last. */
function known(bytes: Uint8Array, at: number, length: number): string {
  const kind = length === 0 ? 0 : (29 * length + 7 * bytes[at] + bytes[at + length - 1]) & 0xff;
  const last = knownTexts[kind];
  if (last?.bytes.length === length) {
    let same = 0;
    while (same < length && last.bytes[same] === bytes[at + same]) same += 1;
    if (same === length) return last.text;
  }
  const text = decoded(bytes, at, length);
  knownTexts[kind] = { bytes: new Uint8Array(bytes.subarray(at, at + length)), text }; // slice() of a Buffer would be a view
  return text;
}

function decoded(bytes: Uint8Array, at: number, length: number): string {
  return utf8.decode(bytes.subarray(at, at + length));
}

/** Reads maps, arrays, strings, up to 255 bytes, numbers, booleans and nil: the part of msgpack that headers are made of. */
class HeaderReader {
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #items = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes.subarray(0, FRAME_LIMITS.headerBytes);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
  }

  /** The header itself. */
  map(): Record<string, unknown> {
    const type = this.#bytes[0] ?? NIL;
    if ((type & 0xf0) !== 0x80 && type !== 0xde && type !== 0xdf)
      throw new FrameError(0, 'a header, that is a msgpack map', this.#bytes.length > 0 ? hex(type) : 'nothing');
    return this.#value(0) as Record<string, unknown>;
  }

  /** Position of the next `bytes` bytes, which are passed over. */
  #take(bytes: number): number {
    const at = this.position;
    if (bytes > this.#bytes.length - at)
      throw new FrameError(
        at,
        `${bytes} bytes of the header`,
        this.#bytes.length < FRAME_LIMITS.headerBytes
          ? `${this.#bytes.length - at}`
          : `a header beyond ${FRAME_LIMITS.headerBytes} bytes`,
      );
    this.position += bytes;
    return at;
  }

  #value(depth: number): unknown {
    const at = this.#take(1);
    const type = this.#bytes[at];
    if (type < 0x80) return type;
    if (type < 0x90) return this.#entries(type & 0x0f, depth);
    if (type < 0xa0) return this.#array(type & 0x0f, depth);
    if (type < 0xc0) return this.#string(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    const view = this.#view;
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4: {
        const length = view.getUint8(this.#take(1));
        const start = this.#take(length);
        return new Uint8Array(this.#bytes.subarray(start, start + length));
      }
      case 0xca:
        return view.getFloat32(this.#take(4));
      case 0xcb:
        return view.getFloat64(this.#take(8));
      case 0xcc:
        return view.getUint8(this.#take(1));
      case 0xcd:
        return view.getUint16(this.#take(2));
      case 0xce:
        return view.getUint32(this.#take(4));
      case 0xcf:
        return this.#safe(at, view.getBigUint64(this.#take(8)));
      case 0xd0:
        return view.getInt8(this.#take(1));
      case 0xd1:
        return view.getInt16(this.#take(2));
      case 0xd2:
        return view.getInt32(this.#take(4));
      case 0xd3:
        return this.#safe(at, view.getBigInt64(this.#take(8)));
      case 0xd9:
        return this.#string(view.getUint8(this.#take(1)));
      case 0xda:
        return this.#string(view.getUint16(this.#take(2)));
      case 0xdb:
        return this.#string(view.getUint32(this.#take(4)));
      case 0xdc:
        return this.#array(view.getUint16(this.#take(2)), depth);
      case 0xdd:
        return this.#array(view.getUint32(this.#take(4)), depth);
      case 0xde:
        return this.#entries(view.getUint16(this.#take(2)), depth);
      case 0xdf:
        return this.#entries(view.getUint32(this.#take(4)), depth);
      default:
        throw new FrameError(at, 'a map, array, string, short bin, number, boolean or nil', hex(type));
    }
  }

  #safe(at: number, value: bigint): number {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new FrameError(at, 'an integer below 2^53', `${value}`);
    return number;
  }

  /** Counts before anything is made, so that a claimed length costs nothing. */
  #open(count: number, depth: number): void {
    this.#items += count;
    if (this.#items > FRAME_LIMITS.items)
      throw new FrameError(this.position, `at most ${FRAME_LIMITS.items} items in a header`, `${this.#items}`);
    if (depth >= FRAME_LIMITS.depth)
      throw new FrameError(this.position, `at most ${FRAME_LIMITS.depth} levels in a header`, 'one more');
  }

  #array(count: number, depth: number): unknown[] {
    this.#open(count, depth);
    const items: unknown[] = [];
    for (let i = 0; i < count; i++) items.push(this.#value(depth + 1));
    return items;
  }

  #entries(count: number, depth: number): Record<string, unknown> {
    this.#open(count, depth);
    const map: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const at = this.position;
      const key = this.#value(depth + 1);
      if (typeof key !== 'string') throw new FrameError(at, 'a string as key', typeof key);
      if (key === '__proto__' || Object.hasOwn(map, key))
        throw new FrameError(at, 'each key once', JSON.stringify(key));
      map[key] = this.#value(depth + 1);
    }
    return map;
  }

  #string(length: number): string {
    const at = this.#take(length);
    try {
      return length <= KNOWN_BYTES ? known(this.#bytes, at, length) : decoded(this.#bytes, at, length);
    } catch {
      throw new FrameError(at, 'UTF-8', 'other bytes');
    }
  }
}
