import fc from 'fast-check';
import { Packr, pack, unpackMultiple } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { decodeFrame, encodeFrame, FRAME_LIMITS, FrameError } from '../../cluster/frames.ts';

const join = (parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const bytes = (...values: number[]) => Uint8Array.from(values);
/** An empty header, and a checksum that is not asked for before the rest is in order. */
const EMPTY = bytes(0x80, 0xce, 0, 0, 0, 0);

/** What headers are made of. */
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.string({ unit: 'binary' }),
    fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 }),
    fc.double({ noNaN: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(fc.string({ unit: 'binary' }), tie('value'), { maxKeys: 20 }),
  ),
})).value;
const isPlain = (object: unknown): boolean =>
  typeof object !== 'object' ||
  object === null ||
  (!Object.hasOwn(object, '__proto__') && Object.values(object).every(isPlain));
const header = fc.dictionary(fc.string(), value, { maxKeys: 20 }).filter(isPlain);
const regions = fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 5 });
/** -0 travels as 0 where msgpackr takes it for an integer. */
const positiveZero = (object: unknown): unknown =>
  JSON.parse(JSON.stringify(object), (_, v) => (Object.is(v, -0) ? 0 : v));

describe('a frame', () => {
  it('comes back as it went, and is what msgpackr reads', () => {
    fc.assert(
      fc.property(header, regions, (sent, data) => {
        const encoded = join(encodeFrame(sent, data));
        const decoded = decodeFrame(encoded);
        const objects = unpackMultiple(encoded) as unknown[];
        expect(positiveZero(decoded.header)).toEqual(positiveZero(sent));
        expect(positiveZero(objects[0])).toEqual(positiveZero(sent));
        expect(decoded.regions.map((region) => [...region])).toEqual(data.map((region) => [...region]));
        expect(objects[1]).toBeTypeOf('number');
        expect(objects.slice(2).flatMap((object) => (object === null ? [] : [[...(object as Buffer)]]))).toEqual(
          data.map((region) => [...region]),
        );
      }),
    );
  });

  it('is the same bytes for the same content, at every place where regions may begin', () => {
    for (let length = 0; length < 20; length++) {
      const text = 'x'.repeat(length);
      const encoded = join(encodeFrame({ text }, [bytes(1, 2, 3), bytes(), new Uint8Array(9).fill(7)]));
      const first = encoded.findIndex((byte, i) => byte === 0xc6 && encoded[i + 4] === 3);
      expect((first + 5) % 8).toBe(0);
      const { regions: decoded } = decodeFrame(encoded);
      expect(decoded[0].byteOffset % 8).toBe(0);
      expect(decoded[2].byteOffset % 8).toBe(0);
      expect(decoded[0].buffer).toBe(encoded.buffer);
    }
  });

  it('passes regions by reference, also of shared memory', () => {
    const region = new Uint8Array(new SharedArrayBuffer(64), 8, 16);
    const parts = encodeFrame({ type: 'sums' }, [region, region]);
    expect(parts).toHaveLength(4);
    expect(parts[1]).toBe(region);
    expect(parts[3]).toBe(region);
    const { regions: decoded } = decodeFrame(parts);
    expect(decoded.map((view) => [view.buffer, view.byteOffset, view.length])).toEqual([
      [region.buffer, 8, 16],
      [region.buffer, 8, 16],
    ]);
  });

  it('is read the same however it was cut into fragments', () => {
    const parts = encodeFrame({ type: 'sums', at: [1, 2.5, 'ü'] }, [bytes(1, 2, 3), bytes(), bytes(4, 5, 6, 7, 8)]);
    const whole = join(parts);
    const expected = decodeFrame(whole);
    for (let i = 0; i <= whole.length; i++)
      for (let j = i; j <= whole.length; j++) {
        const { header: cut, regions: data } = decodeFrame([
          whole.subarray(0, i),
          whole.subarray(i, j),
          whole.subarray(j),
        ]);
        expect(cut).toEqual(expected.header);
        expect(data.map((region) => [...region])).toEqual([[1, 2, 3], [], [4, 5, 6, 7, 8]]);
      }
  });

  it('carries short bytes in its header, as copies', () => {
    const nonce = Uint8Array.from({ length: 32 }, (_, i) => i);
    const encoded = encodeFrame({ nonce })[0];
    const { header: read } = decodeFrame(encoded) as { header: { nonce: Uint8Array } };
    expect(read.nonce).toBeInstanceOf(Uint8Array);
    expect([...read.nonce]).toEqual([...nonce]);
    expect(read.nonce.buffer).not.toBe(encoded.buffer);
  });

  it('leaves undefined out of the header', () => {
    expect(decodeFrame(encodeFrame({ a: undefined, b: 1 })[0]).header).toEqual({ b: 1 });
  });
});

describe('bytes that are no frame', () => {
  const frame = join(encodeFrame({ type: 'sums', first: 3, name: 'node' }, [bytes(1, 2, 3), bytes(4, 5)]));

  it('are refused at every truncation', () => {
    for (let length = 0; length < frame.length; length++) {
      expect(() => decodeFrame(frame.subarray(0, length))).toThrow(FrameError);
    }
  });

  it('are refused when any one bit is another', () => {
    for (let bit = 0; bit < 8 * frame.length; bit++) {
      const changed = frame.slice();
      changed[bit >> 3] ^= 1 << (bit & 7);
      expect(() => decodeFrame(changed)).toThrow(FrameError);
    }
  });

  it('never throw anything but a FrameError, and never make more than they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (noise, at) => {
        for (const candidate of [noise, mutate(frame, noise, at)]) {
          try {
            const { regions: data } = decodeFrame(candidate);
            expect(data.reduce((sum, region) => sum + region.length, 0)).toBeLessThan(candidate.length);
          } catch (error) {
            if (!(error instanceof FrameError)) throw error;
          }
        }
      }),
      { numRuns: 5000 },
    );
  });

  const refused: [string, Uint8Array, RegExp][] = [
    ['nothing', bytes(), /byte 0: expected a header, that is a msgpack map, got nothing/],
    ['an array as header', bytes(0x90), /msgpack map, got 0x90/],
    ['a map that claims four milliards of entries', bytes(0xdf, 0xff, 0xff, 0xff, 0xff), /at most 8192 items/],
    ['a string longer than the frame', bytes(0x81, 0xdb, 0xff, 0xff, 0xff, 0xff), /4294967295 bytes of the header/],
    ['a record definition of msgpackr', pack2({ a: { b: 1 } }), /got 0xd4|msgpack map, got/],
    ['a regular expression of msgpackr', bytes(0x81, 0xa1, 0x61, 0xc7, 4, 0x78, 0x92, 0xa1, 0x61, 0xa0), /got 0xc7/],
    ['a date', join([bytes(0x81, 0xa1, 0x61), pack(new Date(1e12))]), /got 0xd6/],
    ['long bin in the header', bytes(0x81, 0xa1, 0x61, 0xc5, 0, 1, 0), /got 0xc5/],
    ['a number as key', bytes(0x81, 1, 1), /a string as key, got number/],
    ['a key twice', bytes(0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2), /each key once, got "a"/],
    ['__proto__', join([bytes(0x81, 0xa9), Buffer.from('__proto__'), bytes(0x80)]), /each key once, got "__proto__"/],
    ['2^63', bytes(0x81, 0xa1, 0x61, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0), /below 2\^53, got 9223372036854775808/],
    ['no UTF-8', bytes(0x81, 0xa1, 0xff, 1), /UTF-8/],
    ['deep nesting', join([bytes(0x81, 0xa1, 0x61), new Uint8Array(5000).fill(0x91), bytes(1)]), /at most 8 levels/],
    [
      'other padding',
      bytes(...EMPTY, 0xc0, 0, 0xc0, 0xc0, 0xc0, 0xc6, 0, 0, 0, 0),
      /byte 7: expected 0xc0 as padding, got 0x00/,
    ],
    ['an unaligned region', bytes(...EMPTY, 0xc6, 0, 0, 0, 0), /10 bytes/],
    ['too much padding', join([EMPTY, new Uint8Array(14).fill(0xc0), bytes(0xc6, 0, 0, 0, 0)]), /0xc6, a region/],
    [
      'a region longer than the frame',
      bytes(...EMPTY, ...new Array(5).fill(0xc0), 0xc6, 0, 0, 0, 9, 1),
      /9 bytes of a region, got 1/,
    ],
    ['a long header', join([bytes(0x81, 0xa1, 0x61, 0xdb, 0, 1, 0, 0), new Uint8Array(65536)]), /beyond 65536 bytes/],
    [
      'many regions',
      join(
        [
          encodeFrame(
            {},
            Array.from({ length: FRAME_LIMITS.regions }, () => bytes()),
          ),
          [bytes(0xc0, 0xc0, 0xc0, 0xc6, 0, 0, 0, 0)],
        ].flat(),
      ),
      /at most 256 regions/,
    ],
  ];
  it.each(refused)('%s', (_, data, message) => {
    expect(() => decodeFrame(data)).toThrow(message);
    expect(() => decodeFrame(data)).toThrow(FrameError);
    expect(Object.prototype).not.toHaveProperty('a');
  });

  it('are not written either', () => {
    expect(() => encodeFrame({ text: 'x'.repeat(70_000) })).toThrow(/header is 70\d+ bytes/);
    expect(() =>
      encodeFrame(
        {},
        Array.from({ length: 257 }, () => bytes()),
      ),
    ).toThrow(/257 regions/);
  });
});

function pack2(object: unknown): Uint8Array {
  return new Packr({ useRecords: true }).pack(object);
}

function mutate(frame: Uint8Array, noise: Uint8Array, at: number): Uint8Array {
  const start = at % frame.length;
  const changed = new Uint8Array(Math.max(frame.length, start + noise.length));
  changed.set(frame);
  changed.set(noise, start);
  return changed;
}
