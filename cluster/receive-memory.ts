import { giveBack as giveBackMemory } from '../src/data/give-back.ts';

/**
 * Gives memory back at once. What a socket reads lies outside of V8's heap, in a new buffer for each read: left to the garbage collector,
 * gigabytes a minute of them make it go through the whole heap several times a second, which takes more time than the reading.
 *
 * Only what is the whole of its memory is given back: other bytes there might be somebody else's.
 */
export function giveBack(parts: readonly Uint8Array[]): void {
  giveBackMemory(...parts.filter(isWhole));
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
  readonly #buffers: ReadBuffers | undefined;

  /** @param buffers into which the socket reads; absent: into a new one each time. */
  constructor(buffers?: ReadBuffers) {
    this.#buffers = buffers;
  }

  /** The socket has read something, which ws has not seen yet. */
  add(chunk: Uint8Array): void {
    if (this.#chunks.length === MOST_CHUNKS) this.#chunks.shift();
    this.#chunks.push(chunk);
  }

  /** ws holds on to these bytes, as to those of a ping that it is still answering: their chunk is left to the garbage collector. */
  keep(bytes: Uint8Array): void {
    for (let at = this.#chunks.length - 1; at >= 0; at--) {
      if (this.#chunks[at].buffer === bytes.buffer) this.#chunks.splice(at, 1);
    }
    this.#buffers?.forget(bytes);
  }

  /**
   * A message has come, whose last byte lies in the newest chunk: all chunks before it are used up, and given back.
   *
   * @returns its regions, in memory of their own.
   */
  take(regions: readonly Uint8Array[]): Uint8Array[] {
    const used = this.#chunks;
    const own = regions.map((region) =>
      isWhole(region) && !used.some(({ buffer }) => region.buffer === buffer) ? region : new Uint8Array(region),
    );
    const over = used.splice(0, Math.max(0, used.length - 1));
    if (this.#buffers) this.#buffers.release(over);
    else giveBack(over);
    return own;
  }
}

/** Bytes of a buffer for reading: as much as one read can bring, and little enough to stay in the cache. */
const READ_BYTES = 256 * 1024;
/** So much room the next read has at least. */
const LEAST_BYTES = 64 * 1024;
/** Most buffers that wait for their next use. */
const MOST_FREE = 16;

/** Buffers into which a socket reads, used again and again: a read brings all that there is, and no memory is made for it. */
export class ReadBuffers {
  readonly #free: Buffer[] = [];
  /** Chunks of a buffer that are in use; none of a buffer that was forgotten. */
  readonly #uses = new WeakMap<ArrayBufferLike, { chunks: number }>();
  #current: Buffer = Buffer.allocUnsafeSlow(0);
  #filled = 0;
  /** Nothing more is read into it. */
  #over = true;

  /** Where the next read goes. */
  next(): Buffer {
    if (this.#over || this.#current.length - this.#filled < LEAST_BYTES) {
      this.#retire(this.#current);
      this.#current = this.#free.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
      this.#filled = 0;
      this.#over = false;
      this.#uses.set(this.#current.buffer, { chunks: 1 }); // it itself
    }
    return this.#current.subarray(this.#filled);
  }

  /** What has been read to where the last `next` said: in use until it is released. */
  took(bytes: number): Buffer {
    const uses = this.#uses.get(this.#current.buffer);
    if (uses) uses.chunks += 1;
    this.#filled += bytes;
    return this.#current.subarray(this.#filled - bytes, this.#filled);
  }

  release(chunks: readonly Uint8Array[]): void {
    for (const { buffer } of chunks) this.#retire(Buffer.from(buffer));
  }

  /** Somebody holds on to these bytes: their buffer is not used again. */
  forget({ buffer }: Uint8Array): void {
    this.#uses.delete(buffer);
    if (buffer === this.#current.buffer) this.#over = true;
  }

  #retire(whole: Buffer): void {
    const uses = this.#uses.get(whole.buffer);
    if (!uses) return;
    uses.chunks -= 1;
    if (uses.chunks > 0) return;
    this.#uses.delete(whole.buffer);
    if (this.#free.length < MOST_FREE) this.#free.push(whole);
  }
}
