import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader, type Place } from '../../cluster/frame-reader.ts';
import { decodeFrame, encodeFrame, type Frame, FrameError } from '../../cluster/frames.ts';

/** Gives a reader a message in fragments, each in pieces of at most `most` bytes. */
function readIn(reader: FrameReader, fragments: readonly Uint8Array[], most: number): Frame {
  fragments.forEach((fragment, i) => {
    for (let at = 0; at < fragment.length; at += most) reader.payload(fragment.slice(at, at + most));
    if (i < fragments.length - 1) reader.fragment();
  });
  return reader.message();
}

const plain = ({ header, regions }: Frame) => ({ header, regions: regions.map((region) => [...region]) });
/** Cut at the given places. */
function cutAt(whole: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.filter((cut) => cut < whole.length).sort((a, b) => a - b), whole.length];
  return places.slice(1).map((to, i) => whole.subarray(places[i], to));
}

const regions = fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 4 });
const header = fc.dictionary(fc.string(), fc.integer(), { maxKeys: 5 }).filter((of) => !Object.hasOwn(of, '__proto__'));

describe('a frame that is read as it comes', () => {
  it('is the frame that was written, in whatever fragments and pieces, one after the other', () => {
    const reader = new FrameReader();
    fc.assert(
      fc.property(header, regions, fc.array(fc.nat(2000), { maxLength: 6 }), fc.integer({ min: 1, max: 900 }), (of, data, cuts, most) => {
        const parts = encodeFrame(of, data);
        const whole = new Uint8Array(Buffer.concat(parts));
        const expected = plain(decodeFrame(whole));
        expect(plain(readIn(reader, parts, most))).toEqual(expected);
        expect(plain(readIn(reader, cutAt(whole, cuts), most))).toEqual(expected);
      }),
    ); // biome-ignore format: a property
  });

  it('has regions where they belong, and asks once for each by its header, number and length', () => {
    const places: Uint8Array[] = [new Uint8Array(100_000), new Uint8Array(new SharedArrayBuffer(40_000))];
    const data = places.map(({ length }, i) =>
      Uint8Array.from({ length }, (_, j) => (j * (i + 3) * 2654435761) >>> 24),
    );
    const asked: unknown[] = [];
    const reader = new FrameReader((of, region, length) => {
      asked.push([of, region, length]);
      return region < 2 ? { bytes: places[region], current: () => true } : undefined;
    });
    const frame = readIn(reader, encodeFrame({ n: 1 }, [...data, new Uint8Array(3)]), 65_536);
    expect(asked).toEqual([
      [{ n: 1 }, 0, 100_000],
      [{ n: 1 }, 1, 40_000],
      [{ n: 1 }, 2, 3],
    ]);
    expect(frame.regions.slice(0, 2).map((region) => places.indexOf(region))).toEqual([0, 1]);
    expect(frame.regions[2]).toHaveLength(3);
    expect(places.map((place) => Buffer.compare(place, data[places.indexOf(place)]))).toEqual([0, 0]);
  });

  it('writes no more to a place from the moment at which it is another’s', () => {
    let mine = true;
    const place: Place = { bytes: new Uint8Array(1000), current: () => mine };
    const reader = new FrameReader(() => place);
    const [head, region] = encodeFrame({}, [new Uint8Array(1000).fill(5)]);
    reader.payload(head.slice());
    reader.fragment();
    reader.payload(region.slice(0, 600));
    mine = false;
    place.bytes.fill(9);
    reader.payload(region.slice(600));
    expect(reader.message().header).toEqual({}); // its sum is right: it is of another time, not damaged
    expect(place.bytes.every((byte) => byte === 9)).toBe(true);
  });

  it('is refused with a wrong bit anywhere, and when it is cut short; the next is read all the same', () => {
    const parts = encodeFrame({ type: 'sums', at: 3 }, [
      Uint8Array.from({ length: 300 }, (_, i) => i),
      new Uint8Array(5),
    ]);
    const whole = new Uint8Array(Buffer.concat(parts));
    const cuts = parts.slice(1).map((_, i) => Buffer.concat(parts.slice(0, i + 1)).length);
    const reader = new FrameReader();
    const refused = (bytes: Uint8Array) => {
      expect(() => readIn(reader, cutAt(bytes, cuts), 100)).toThrow(FrameError);
      reader.reset();
    };
    for (let bit = 0; bit < 8 * whole.length; bit += 7) {
      whole[bit >> 3] ^= 1 << (bit & 7);
      refused(whole);
      whole[bit >> 3] ^= 1 << (bit & 7);
    }
    for (let length = 0; length < whole.length; length += 3) refused(whole.subarray(0, length));
    expect(plain(readIn(reader, parts, 1000))).toEqual(plain(decodeFrame(whole)));
  });

  it('takes no memory for a length that is only claimed', () => {
    const reader = new FrameReader();
    const [head] = encodeFrame({}, [new Uint8Array(1)]);
    new DataView(head.buffer, head.byteOffset).setUint32(head.length - 4, 0xffffffff);
    const before = process.memoryUsage().arrayBuffers;
    reader.payload(head);
    reader.fragment();
    reader.payload(new Uint8Array(100));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    expect(() => reader.message()).toThrow(/4294967295 bytes of a region, got 100/);
  });
});
