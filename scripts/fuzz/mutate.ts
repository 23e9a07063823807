import { decodeFrame, encodeFrame, type FrameError } from '../../cluster/frames.ts';

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export type Random = () => number;
export const below = (random: Random, n: number) => Math.floor(random() * n);
export const pick = <T>(random: Random, of: readonly T[]): T => of[below(random, of.length)];

export interface Message {
  readonly header: Readonly<Record<string, unknown>>;
  readonly regions: readonly Uint8Array[];
}

const NUMBERS = [
  0,
  1,
  -1,
  2,
  255,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  0.5,
  1e300,
  -1e300,
  Number.NaN,
  Number.POSITIVE_INFINITY,
];
const VALUES = [
  ...NUMBERS,
  null,
  true,
  '',
  'x',
  'x'.repeat(5000),
  [],
  [1, 2],
  {},
  { a: { b: { c: {} } } },
  '__proto__',
  new Uint8Array(3),
];

/** Another field, value, name or region: still a frame. */
function change(random: Random, { header, regions }: Message): Message {
  const fields = { ...header };
  const names = Object.keys(fields);
  const name = pick(random, names);
  switch (below(random, 6)) {
    case 0:
      fields[name] = pick(random, NUMBERS);
      break;
    case 1:
      fields[name] = pick(random, VALUES);
      break;
    case 2:
      delete fields[name];
      break;
    case 3:
      fields[pick(random, ['extra', 'constructor', 'toString', 'type', ''])] = pick(random, VALUES);
      break;
    case 4:
      return { header, regions: regions.slice(1) };
    default:
      return {
        header,
        regions: [...regions, new Uint8Array(below(random, 300))].map((region) =>
          random() < 0.5 ? region : region.subarray(0, below(random, region.length + 1)),
        ),
      };
  }
  return { header: fields, regions };
}

/** Other bytes: flipped, cut, doubled, put in, or lengths that lie. */
function damage(random: Random, frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(frame);
  const at = below(random, Math.max(1, Math.min(bytes.length, random() < 0.7 ? 120 : bytes.length)));
  switch (below(random, 7)) {
    case 0:
      bytes[at] ^= 1 << below(random, 8);
      return bytes;
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return new Uint8Array([...bytes.subarray(0, at), ...bytes.subarray(at, at + 50), ...bytes.subarray(at)]);
    case 3:
      for (let i = 0; i < 8; i++) bytes[below(random, bytes.length)] = below(random, 256);
      return bytes;
    case 4:
      bytes.set([0xdf, 0xff, 0xff, 0xff, 0xff].slice(0, Math.max(0, bytes.length - at)), at);
      return bytes;
    case 5:
      bytes.set([0xc6, 0xff, 0xff, 0xff, 0xff].slice(0, Math.max(0, bytes.length - at)), at);
      return bytes;
    default:
      return Uint8Array.from({ length: below(random, 200) }, () => below(random, 256));
  }
}

/** Damaged bytes under a checksum that is right, as from somebody who means it; what is no frame anyway stays as it is. */
function sealed(frame: Uint8Array): Uint8Array {
  try {
    decodeFrame(frame);
  } catch (error) {
    const { expected, got } = (error as FrameError).detail;
    const written = /^bytes with the checksum (\d+)$/.exec(expected);
    if (!written) return frame;
    const mark = Buffer.alloc(5, 0xce);
    mark.writeUInt32BE(Number(written[1]), 1);
    const bytes = Buffer.from(frame);
    bytes.writeUInt32BE(Number(got), bytes.indexOf(mark) + 1);
    return bytes;
  }
  return frame;
}

/** The bytes of a message that is not as it should be. */
export function mutated(random: Random, message: Message): Uint8Array {
  const changed = random() < 0.6 ? change(random, message) : message;
  const frame = Buffer.concat(encodeFrame(changed.header, changed.regions));
  if (changed !== message && random() >= 0.2) return frame;
  const damaged = damage(random, frame);
  return random() < 0.5 ? sealed(damaged) : damaged;
}
