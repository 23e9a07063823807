import type { ReferenceHeap } from './reference.ts';
import type { KernelTable } from './table.ts';
import { CHECKSUM_BLOCK, INT4_GROUP, INT8_GROUP } from './table.ts';

type WireKernels = Pick<
  KernelTable,
  | 'checksum'
  | 'checksumTake'
  | 'bf16Encode'
  | 'bf16Decode'
  | 'int8Take'
  | 'int8Put'
  | 'int4Take'
  | 'int4Put'
  | 'topkTake'
  | 'topkPut'
>;

/** A word of a checksum, or a lane of it, takes another. */
const take = (h: number, word: number) => Math.imul(((h ^ word) << 13) | ((h ^ word) >>> 19), 0x9e3779b1);

/** Formats of the network, one float at a time: the oracle of assembly/wire.ts. Encoded bytes lie in the heap's integers. */
export function wireKernels({ real, int }: ReferenceHeap): WireKernels {
  const bytes = new DataView(int.buffer, int.byteOffset, int.byteLength);
  const f32 = Math.fround;
  const put = (at: number, value: number, add: number) => {
    real[at >> 2] = add ? f32(real[at >> 2] + value) : value;
  };
  /** To the nearest integer, ties to even. */
  const nearest = (x: number) => {
    const low = Math.floor(x);
    if (x - low !== 0.5) return Math.round(x);
    return low % 2 === 0 ? low : low + 1;
  };
  /** Writes the scales, leaves the errors in x, and gives the integers. */
  const takeGroups = (out: number, x: number, count: number, size: number, steps: number) => {
    const said: number[] = [];
    for (let from = 0; from < count; from += size) {
      const start = (x >> 2) + from;
      const values = Array.from(real.subarray(start, start + Math.min(size, count - from)));
      const most = Math.max(...values.map(Math.abs));
      const finite = Number.isFinite(most);
      const wanted = f32(most / steps);
      const scale = finite ? (wanted < f32(1e-30) ? 0 : wanted) : Number.NaN;
      bytes.setFloat32(out + (4 * from) / size, scale, true);
      values.forEach((value, i) => {
        // With scale 0 too the product is taken: it has the sign of a zero.
        const q = finite ? nearest(f32(value * (scale > 0 ? f32(1 / scale) : 0))) : 0;
        said.push(q);
        real[start + i] = finite ? f32(value - f32(q * scale)) : 0;
      });
    }
    return said;
  };
  const placeOfInt4 = (start: number, i: number, count: number) => {
    const group = Math.floor(i / INT4_GROUP);
    const half = Math.ceil(Math.min(INT4_GROUP, count - group * INT4_GROUP) / 2);
    const within = i - group * INT4_GROUP;
    const at = start + 4 * Math.ceil(count / INT4_GROUP) + (group * INT4_GROUP) / 2 + (within % half);
    return { at, upper: within >= half };
  };
  return {
    checksum(x, blocks, seed) {
      const words = CHECKSUM_BLOCK / 4;
      let sum = seed;
      for (let lane = 0; lane < words; lane++) {
        let h = seed;
        for (let block = 0; block < blocks; block++) h = take(h, bytes.getInt32(x + 4 * (words * block + lane), true));
        sum = take(sum, h);
      }
      return sum;
    },
    checksumTake(state, out, x, length) {
      const [begun, sum, filled, left] = [
        CHECKSUM_BLOCK,
        2 * CHECKSUM_BLOCK,
        2 * CHECKSUM_BLOCK + 4,
        2 * CHECKSUM_BLOCK + 8,
      ];
      const word = (at: number) => bytes.getInt32(state + at, true);
      const set = (at: number, value: number) => bytes.setInt32(state + at, value, true);
      const takeByte = (value: number) => {
        const at = word(filled) % CHECKSUM_BLOCK;
        bytes.setUint8(state + begun + at, value);
        set(filled, word(filled) + 1);
        if (at + 1 < CHECKSUM_BLOCK) return;
        for (let lane = 0; lane < CHECKSUM_BLOCK; lane += 4) set(lane, take(word(lane), word(begun + lane)));
      };
      for (let i = 0; i < length; i++) {
        const value = bytes.getUint8(x + i);
        if (out !== 0) bytes.setUint8(out + i, value);
        takeByte(value);
        set(left, word(left) - 1);
        if (word(filled) < 32 * 1024 && word(left) > 0) continue;
        while (word(filled) % CHECKSUM_BLOCK > 0) takeByte(0);
        for (let lane = 0; lane < CHECKSUM_BLOCK; lane += 4) set(sum, take(word(sum), word(lane)));
        for (let lane = 0; lane < CHECKSUM_BLOCK; lane += 4) set(lane, word(sum));
        set(filled, 0);
      }
    },
    bf16Encode(out, x, count) {
      for (let i = 0; i < count; i++) {
        const value = f32(real[(x >> 2) + i]);
        const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
        const [below, above] = [bits >>> 16, (bits >>> 16) + 1];
        const rest = bits & 0xffff;
        const up = rest > 0x8000 || (rest === 0x8000 && below % 2 === 1);
        bytes.setUint16(out + 2 * i, Number.isNaN(value) ? below | 0x40 : up ? above : below, true);
      }
    },
    bf16Decode(out, from, count) {
      for (let i = 0; i < count; i++) {
        real[(out >> 2) + i] = new Float32Array(Uint32Array.of(bytes.getUint16(from + 2 * i, true) << 16).buffer)[0];
      }
    },
    int8Take(out, x, count) {
      const groups = Math.ceil(count / INT8_GROUP);
      takeGroups(out, x, count, INT8_GROUP, 127).forEach((q, i) => {
        bytes.setInt8(out + 4 * groups + i, q);
      });
    },
    int8Put(x, from, count, add) {
      const groups = Math.ceil(count / INT8_GROUP);
      for (let i = 0; i < count; i++) {
        const scale = bytes.getFloat32(from + 4 * Math.floor(i / INT8_GROUP), true);
        put(x + 4 * i, f32(bytes.getInt8(from + 4 * groups + i) * scale), add);
      }
    },
    int4Take(out, x, count) {
      const said = takeGroups(out, x, count, INT4_GROUP, 7);
      for (let i = 0; i < count; i++) {
        const { at, upper } = placeOfInt4(out, i, count);
        const q = said[i] & 15;
        bytes.setUint8(at, upper ? bytes.getUint8(at) | (q << 4) : q);
      }
    },
    int4Put(x, from, count, add) {
      for (let i = 0; i < count; i++) {
        const { at, upper } = placeOfInt4(from, i, count);
        const q = (bytes.getUint8(at) >> (upper ? 4 : 0)) & 15;
        const scale = bytes.getFloat32(from + 4 * Math.floor(i / INT4_GROUP), true);
        put(x + 4 * i, f32((q < 8 ? q : q - 16) * scale), add);
      }
    },
    topkTake(out, x, count, k) {
      const magnitude = (value: number) => (Number.isNaN(value) ? Number.MAX_VALUE : Math.min(Math.abs(value), 1e39));
      const values = Array.from(real.subarray(x >> 2, (x >> 2) + count));
      const places = values
        .map((_, i) => i)
        .sort((a, b) => magnitude(values[b]) - magnitude(values[a]) || a - b)
        .slice(0, k)
        .sort((a, b) => a - b);
      places.forEach((place, i) => {
        bytes.setFloat32(out + 4 * i, values[place], true);
        bytes.setUint16(out + 4 * k + 2 * i, place, true);
      });
      values.forEach((value, i) => {
        if (places.includes(i) || !Number.isFinite(value)) real[(x >> 2) + i] = 0;
      });
    },
    topkPut(x, from, count, k, add) {
      const places = Array.from({ length: k }, (_, i) => bytes.getUint16(from + 4 * k + 2 * i, true));
      if (places.some((place, i) => place >= count || (i > 0 && place <= places[i - 1]))) return 0;
      if (!add) real.fill(0, x >> 2, (x >> 2) + count);
      places.forEach((place, i) => {
        put(x + 4 * place, bytes.getFloat32(from + 4 * i, true), add);
      });
      return 1;
    },
  };
}
