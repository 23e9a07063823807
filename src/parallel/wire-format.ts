import { type Kernels } from '../kernels/instantiate.ts';
import { TOPK_SCRATCH_BYTES } from '../kernels/table.ts';

/**
 * How floats cross the network, block by block. A block's encoding has a fixed length, so where each block lies is known on both sides
 * without a word about it, and workers encode and decode their own blocks in any order.
 *
 * What int8 and top-k leave unsaid stays in the memory they take from: error feedback. Up, it is added to the next sum; down, it is the
 * difference between the parameters and the replica that all nodes hold.
 */
export const WIRE_FORMATS = ['fp32', 'bf16', 'int8', 'topk'] as const;
export type WireFormat = (typeof WIRE_FORMATS)[number];

/** Kernels that the formats are made of. */
export type WireKernels = Pick<
  Kernels,
  'addPartials' | 'sub' | 'bf16Encode' | 'bf16Decode' | 'int8Take' | 'int8Put' | 'topkTake' | 'topkPut'
>;

/** All pointers are byte addresses; a block has at most 16 Ki floats. */
export interface Codec {
  readonly format: Exclude<WireFormat, 'fp32'>;
  /** Bytes of an encoded block: a multiple of 4. */
  bytesOf(length: number): number;
  /** Whether the encoder changes what it reads: it takes out what it says, and leaves the error. */
  readonly takes: boolean;
  /** Encodes a block. `scratch`: WIRE_SCRATCH_BYTES of the calling worker. */
  encode(kernels: WireKernels, out: number, x: number, length: number, scratch: number): void;
  /** Writes, or with `add` adds, what the bytes say; false, and nothing written, when they are no encoding of such a block. */
  decode(kernels: WireKernels, x: number, bytes: number, length: number, add: boolean): boolean;
}

export const WIRE_SCRATCH_BYTES = TOPK_SCRATCH_BYTES;

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
    bytesOf: (length) => 4 * Math.ceil(length / 256) + whole(length),
    encode: (kernels, out, x, length) => kernels.int8Take(out, x, length),
    decode(kernels, x, bytes, length, add) {
      kernels.int8Put(x, bytes, length, add ? 1 : 0);
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
