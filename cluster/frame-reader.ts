import { ReadingMemory, RunningChecksum } from '../src/kernels/checksum.ts';
import {
  decodeFrame,
  expectSum,
  FRAME_LIMITS,
  type Frame,
  FrameError,
  type FrameHead,
  prefixBytes,
  readHead,
  readPrefix,
} from './frames.ts';

/** Where the bytes of a region belong, before it is known that they are right. */
export interface Place {
  /** As long as the region. */
  readonly bytes: Uint8Array;
  /** Whether it may still be written to. Once it may not, what comes of the region is of another time, and goes nowhere. */
  current(): boolean;
}

/** Says of a region, by the header of its frame and its number there, where it belongs; undefined: in memory of its own. */
export type Places = (header: unknown, region: number, length: number) => Place | undefined;

/** Memory of its own a region has at first: what the sender claims of its length it has to send. */
const FIRST_BYTES = 64 * 1024;

/** The region that is coming. */
interface Coming {
  readonly place: Place | undefined;
  /** Where it goes; memory of its own grows. */
  bytes: Uint8Array;
  readonly length: number;
  filled: number;
}

/** A frame that is read as it comes. */
interface Open {
  readonly head: FrameHead;
  readonly sum: RunningChecksum;
  readonly regions: Uint8Array[];
  region: Coming | undefined;
  /** From the beginning of the frame. */
  offset: number;
}

/**
 * Makes frames of the bytes of messages, however they are cut. Where the first fragment ends with the prefix of the first region, as `encodeFrame`
 * cuts it, the bytes of regions are summed as they come and go to where they belong, each copied once; other messages are gathered and
 * decoded when they are complete.
 */
export class FrameReader {
  readonly #places: Places;
  readonly #memory: ReadingMemory;
  /** What is gathered: the beginning, a prefix, or a whole message. */
  #gathered: Uint8Array = new Uint8Array(1024);
  #length = 0;
  /** The first fragment is over. */
  #begun = false;
  #open: Open | undefined;

  /** @param memory into which the socket reads. */
  constructor(places: Places = () => undefined, memory = ReadingMemory.default) {
    this.#places = places;
    this.#memory = memory;
  }

  /** The next bytes of the message. @throws FrameError */
  payload(bytes: Uint8Array): void {
    const open = this.#open;
    if (!open) this.#gather(bytes);
    for (let rest = bytes; open !== undefined && rest.length > 0; ) {
      const needs = open.region ? open.region.length - open.region.filled : prefixBytes(open.offset) - this.#length;
      const part = rest.subarray(0, needs);
      rest = rest.subarray(part.length);
      if (open.region) this.#fill(open, open.region, part);
      else this.#gather(part);
      if (part.length < needs) return;
      if (open.region) this.#endRegion(open, open.region);
      else this.#beginRegion(open);
    }
  }

  /** A fragment is over. @throws FrameError */
  fragment(): void {
    if (this.#begun) return;
    this.#begun = true;
    const bytes = this.#gathered.subarray(0, this.#length);
    let head: FrameHead;
    try {
      head = readHead(bytes);
    } catch {
      return; // cut elsewhere, or no frame: that is seen at its end
    }
    if (bytes.length !== head.bytes + prefixBytes(head.bytes)) return;
    const open: Open = {
      head,
      sum: new RunningChecksum(head.headerSum, this.#memory),
      regions: [],
      region: undefined,
      offset: head.bytes,
    };
    this.#open = open;
    this.#gathered.copyWithin(0, head.bytes, bytes.length);
    this.#length = bytes.length - head.bytes;
    this.#beginRegion(open);
  }

  /** The message is complete. @throws FrameError */
  message(): Frame {
    const open = this.#open;
    const bytes = this.#gathered.subarray(0, this.#length);
    this.reset();
    if (!open) return decodeFrame(new Uint8Array(bytes));
    const { head, sum, regions, region, offset } = open;
    if (region) throw new FrameError(offset, `${region.length} bytes of a region`, `${region.filled}`);
    if (bytes.length > 0) {
      throw new FrameError(offset, `${prefixBytes(offset)} bytes of a region's prefix`, `${bytes.length}`);
    }
    expectSum(head.sum, sum.value);
    return { header: head.header, regions };
  }

  /** Nothing more comes of the message. */
  reset(): void {
    if (this.#gathered.length > FRAME_LIMITS.headerBytes) this.#gathered = new Uint8Array(1024);
    this.#open = undefined;
    this.#begun = false;
    this.#length = 0;
  }

  #gather(bytes: Uint8Array): void {
    this.#gathered = withRoom(this.#gathered, this.#length, this.#length + bytes.length);
    this.#gathered.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #beginRegion(open: Open): void {
    const prefix = this.#gathered.subarray(0, this.#length);
    const length = readPrefix(prefix, open.offset, open.regions.length);
    this.#length = 0;
    open.offset += prefix.length;
    open.sum.begin(length);
    const place = length > 0 ? this.#places(open.head.header, open.regions.length, length) : undefined;
    const bytes = place?.bytes ?? new Uint8Array(Math.min(length, FIRST_BYTES));
    const region = { place, bytes, length, filled: 0 };
    open.region = region;
    if (length === 0) this.#endRegion(open, region);
  }

  #fill({ sum }: Open, region: Coming, bytes: Uint8Array): void {
    const { place, length } = region;
    if (!place) region.bytes = withRoom(region.bytes, region.filled, region.filled + bytes.length, length);
    const to = region.bytes.subarray(region.filled, region.filled + bytes.length);
    sum.take(bytes, place === undefined || place.current() ? to : undefined);
    region.filled += bytes.length;
  }

  #endRegion(open: Open, { bytes, length }: Coming): void {
    open.regions.push(bytes);
    open.offset += length;
    open.region = undefined;
  }
}

/** Memory of at least `needed` bytes that begins with the first `kept` of these. */
function withRoom(bytes: Uint8Array, kept: number, needed: number, most = Number.POSITIVE_INFINITY): Uint8Array {
  if (needed <= bytes.length) return bytes;
  const larger = new Uint8Array(Math.min(most, Math.max(needed, 2 * bytes.length)));
  larger.set(bytes.subarray(0, kept));
  return larger;
}
