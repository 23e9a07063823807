import type { Block } from '../graph/layout.ts';
import type { KernelTable } from '../kernels/table.ts';
import { INT4_GROUP, INT8_GROUP } from '../kernels/table.ts';

/**
 * How floats cross the network, block by block. A block's encoding has a fixed length, so where each block lies is known on both sides
 * without a word about it, and workers encode and decode their own blocks in any order.
 *
 * What int8, int4 and top-k leave unsaid stays in the memory they take from: error feedback. Up, it is added to the next sum; down, it is the
 * difference between the parameters and the replica that all nodes hold.
 */
export const WIRE_FORMATS = ['fp32', 'bf16', 'int8', 'int4', 'topk'] as const;
export type WireFormat = (typeof WIRE_FORMATS)[number];

/** Kernels that the formats are made of. */
export type WireKernels = Pick<
  KernelTable,
  'bf16Encode' | 'bf16Decode' | 'int8Take' | 'int8Put' | 'int4Take' | 'int4Put' | 'topkTake' | 'topkPut'
>;

/** All pointers are byte addresses; a block has at most 16 Ki floats. */
export interface Codec {
  readonly format: Exclude<WireFormat, 'fp32'>;
  /** Bytes of an encoded block: a multiple of 4. */
  bytesOf(length: number): number;
  /** Whether the encoder changes what it reads: it takes out what it says, and leaves the error. */
  readonly takes: boolean;
  /** Encodes a block. `scratch`: TOPK_SCRATCH_BYTES of the calling worker. */
  encode(kernels: WireKernels, out: number, x: number, length: number, scratch: number): void;
  /** Writes, or with `add` adds, what the bytes say; false, and nothing written, when they are no encoding of such a block. */
  decode(kernels: WireKernels, x: number, bytes: number, length: number, add: boolean): boolean;
}

/** Of so many floats top-k sends one. */
const TOPK_SHARE = 100;
const kept = (length: number) => Math.ceil(length / TOPK_SHARE);
const whole = (bytes: number) => (bytes + 3) & ~3;

export const CODECS: { readonly [F in Codec['format']]: Codec } = {
  /** The upper half of each float: 8 bits of mantissa. */
  bf16: {
    format: 'bf16',
    takes: false,
    bytesOf: (length) => whole(2 * length),
    encode: (kernels, out, x, length) => kernels.bf16Encode(out, x, length),
    decode(kernels, x, bytes, length) {
      kernels.bf16Decode(x, bytes, length);
      return true;
    },
  },
  /** 8 bits and, for every 256 floats, a scale. */
  int8: {
    format: 'int8',
    takes: true,
    bytesOf: (length) => 4 * Math.ceil(length / INT8_GROUP) + whole(length),
    encode: (kernels, out, x, length) => kernels.int8Take(out, x, length),
    decode(kernels, x, bytes, length, add) {
      kernels.int8Put(x, bytes, length, add ? 1 : 0);
      return true;
    },
  },
  /** 4 bits and, for every 128 floats, a scale. */
  int4: {
    format: 'int4',
    takes: true,
    bytesOf: (length) => 4 * Math.ceil(length / INT4_GROUP) + whole(Math.ceil(length / 2)),
    encode: (kernels, out, x, length) => kernels.int4Take(out, x, length),
    decode(kernels, x, bytes, length, add) {
      kernels.int4Put(x, bytes, length, add ? 1 : 0);
      return true;
    },
  },
  /** The largest 1 % of each block. */
  topk: {
    format: 'topk',
    takes: true,
    bytesOf: (length) => whole(6 * kept(length)),
    encode: (kernels, out, x, length, scratch) => kernels.topkTake(out, x, length, kept(length), scratch),
    decode: (kernels, x, bytes, length, add) => kernels.topkPut(x, bytes, length, kept(length), add ? 1 : 0) === 1,
  },
};

/** The codec of a format; undefined for fp32, which is sent as it lies in memory. */
export function codecOf(format: WireFormat): Codec | undefined {
  return format === 'fp32' ? undefined : CODECS[format];
}

/** Where the encoding of each block begins, and behind the last its end: bytes from the beginning of an encoded vector. */
export function encodedPlaces(blocks: readonly Block[], codec: Codec): Int32Array {
  const places = new Int32Array(blocks.length + 1);
  blocks.forEach(({ length }, i) => {
    places[i + 1] = places[i] + codec.bytesOf(length);
  });
  return places;
}

/** Bytes of an encoded vector. */
export function encodedBytes(blocks: readonly Block[], codec: Codec): number {
  return blocks.reduce((sum, { length }) => sum + codec.bytesOf(length), 0);
}

/** Bytes that an encoded vector has at most, whatever the format. */
export function mostEncodedBytes(blocks: readonly Block[]): number {
  return Math.max(...Object.values(CODECS).map((codec) => encodedBytes(blocks, codec)));
}

/** The first block whose encoding, at `address`, names a place that it does not have; undefined if all are sound. Other formats have none. */
export function unsoundBlock(
  buffer: ArrayBufferLike,
  address: number,
  blocks: readonly Block[],
  codec: Codec,
): number | undefined {
  if (codec.format !== 'topk') return undefined;
  let at = address;
  for (const [index, { length }] of blocks.entries()) {
    const places = new Uint16Array(buffer, at + 4 * kept(length), kept(length));
    let next = 0;
    for (let i = 0; i < places.length; i++) {
      if (places[i] < next || places[i] >= length) return index;
      next = places[i] + 1;
    }
    at += codec.bytesOf(length);
  }
  return undefined;
}
