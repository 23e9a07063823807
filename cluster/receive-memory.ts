import { giveBack as giveBackMemory } from '../src/data/give-back.ts';

/**
 * Gives memory back at once. What a socket reads lies outside of V8's heap, in a new buffer for each read: left to the garbage collector,
 * gigabytes a minute of them make it go through the whole heap several times a second, which takes more time than the reading.
 *
 * Only what is the whole of its memory is given back: other bytes there might be somebody else's.
 */
export function giveBack(bytes: Uint8Array): void {
  if (isWhole(bytes)) giveBackMemory(bytes);
}

const isWhole = ({ byteLength, buffer }: Uint8Array) =>
  byteLength === buffer.byteLength && byteLength >= WORTH_IT && buffer instanceof ArrayBuffer;

/** Shorter ones cost more than they bring; below are also the pools that buffers share. */
const WORTH_IT = 16 * 1024;

/** Most chunks that are remembered; what is beyond is left to the garbage collector. */
const MOST_CHUNKS = 64;

/** The memory in which a WebSocket's messages come. */
export class ReceiveMemory {
  /** What the socket has read since the last message, the newest last. */
  readonly #chunks: Uint8Array[] = [];

  /** The socket has read something, which ws has not seen yet. */
  add(chunk: Uint8Array): void {
    if (this.#chunks.length === MOST_CHUNKS) this.#chunks.shift();
    this.#chunks.push(chunk);
  }

  /** ws holds on to these bytes, as to those of a ping that it is still answering: their chunk is left to the garbage collector. */
  keep(bytes: Uint8Array): void {
    const at = this.#chunks.findIndex(sharesWith(bytes));
    if (at >= 0) this.#chunks.splice(at, 1);
  }

  /**
   * A message has come, whose last byte lies in the newest chunk: all chunks before it are used up, and given back.
   *
   * @returns its regions, in memory of their own.
   */
  take(regions: readonly Uint8Array[]): Uint8Array[] {
    const used = this.#chunks;
    const own = regions.map((region) =>
      isWhole(region) && !used.some(sharesWith(region)) ? region : new Uint8Array(region),
    );
    for (const chunk of used.splice(0, Math.max(0, used.length - 1))) giveBack(chunk);
    return own;
  }
}

const sharesWith = (region: Uint8Array) => (chunk: Uint8Array) => chunk.buffer === region.buffer;
