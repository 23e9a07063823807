import { shardRange } from '../src/data/sampler.ts';
import { ReadingMemory } from '../src/kernels/checksum.ts';
import { copyBytes } from '../src/kernels/copy-bytes.ts';
import type { ShardRange } from '../src/membership/assignment.ts';
import { ROW_BUCKETS, rowListsOf } from '../src/parallel/row-memory.ts';
import type { Session } from '../src/parallel/session.ts';
import type { SnapshotVector } from '../src/parallel/snapshot.ts';
import { FrameError } from './frames.ts';

/** What travels between arenas, as views of them. Pure but for the memory: no sockets. */

/** Bytes of a piece of a flat vector: large enough that headers do not count, small enough that both ends work at once. */
export const PIECE_BYTES = 512 * 1024;

/** A part of a flat vector that is one message. */
export interface TransferPiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Into which sockets read: next to where most of it goes. */
export function readingMemoryOf({
  kernels,
  memory,
  layout,
}: Pick<Session, 'kernels' | 'memory' | 'layout'>): ReadingMemory {
  return ReadingMemory.in(kernels, memory, layout.reading);
}

/** Bytes of all parameters, sparse tables included. */
export function stateBytes({ tensors }: Pick<Session, 'tensors'>): number {
  return 4 * tensors.reduce((end, t) => Math.max(end, t.offset + t.size), 0);
}

/**
 * What may wait to be sent to a peer: all that a round sends, and more. Nearly all of it are views, which take no memory, and both ends know
 * how long they are, so that this grows with the model.
 */
export function queueLimits(session: Pick<Session, 'tensors' | 'keptBytes'>): {
  readonly maxQueuedBytes: number;
  readonly maxQueuedMessages: number;
} {
  const maxQueuedBytes = 4 * stateBytes(session) + (session.keptBytes ?? 0) + (16 << 20);
  return { maxQueuedBytes, maxQueuedMessages: 4096 + Math.ceil(maxQueuedBytes / PIECE_BYTES) };
}

/** The vector at an address, cut; `from`: without its beginning. */
export function piecesOf(buffer: ArrayBufferLike, address: number, bytes: number, from = 0): TransferPiece[] {
  return Array.from({ length: Math.ceil((bytes - from) / PIECE_BYTES) }, (_, i) => {
    const offset = from + i * PIECE_BYTES;
    return { offset, bytes: new Uint8Array(buffer, address + offset, Math.min(PIECE_BYTES, bytes - offset)) };
  });
}

/**
 * Where a piece of a vector at an address belongs.
 *
 * @throws FrameError for a piece that does not lie in a vector of `limit` bytes.
 */
export function placeOf(
  buffer: ArrayBufferLike,
  address: number,
  limit: number,
  { offset, length }: { readonly offset: number; readonly length: number },
): Uint8Array {
  if (offset % 4 !== 0 || length % 4 !== 0 || offset + length > limit) {
    throw new FrameError(0, `a piece within ${limit} bytes`, `${length} from ${offset}`);
  }
  return new Uint8Array(buffer, address + offset, length);
}

/** Puts a piece there. @throws FrameError as above. */
export function placePiece(
  buffer: ArrayBufferLike,
  address: number,
  limit: number,
  { offset, bytes }: TransferPiece,
): void {
  putInPlace(placeOf(buffer, address, limit, { offset, length: bytes.length }), bytes);
}

/** Unless they have been read to there. */
export function putInPlace(place: Uint8Array, bytes: Uint8Array): void {
  if (bytes.buffer !== place.buffer || bytes.byteOffset !== place.byteOffset) copyBytes(place, bytes);
}

/** Vectors one after the other, cut; offsets count over all of them. */
export function joinedPieces(buffer: ArrayBufferLike, vectors: readonly SnapshotVector[]): TransferPiece[] {
  let before = 0;
  return vectors.flatMap(({ address, bytes }) => {
    const pieces = piecesOf(buffer, address, bytes).map((piece) => ({ ...piece, offset: before + piece.offset }));
    before += bytes;
    return pieces;
  });
}

/** Puts a piece of vectors that came one after the other where it belongs. @throws FrameError for one beyond them. */
export function placeJoined(buffer: ArrayBufferLike, vectors: readonly SnapshotVector[], piece: TransferPiece): void {
  const { offset, bytes } = piece;
  const total = vectors.reduce((sum, vector) => sum + vector.bytes, 0);
  if (offset + bytes.length > total) {
    throw new FrameError(0, `a piece within ${total} bytes`, `${bytes.length} from ${offset}`);
  }
  let before = 0;
  for (const { address, bytes: length } of vectors) {
    const from = Math.max(offset, before);
    const part = bytes.subarray(from - offset, Math.max(from, before + length) - offset);
    new Uint8Array(buffer, address + from - before, part.length).set(part);
    before += length;
    if (before >= offset + bytes.length) return;
  }
}

/** The rows of each sparse table that the last update changed: copies. */
export function changedRows(
  session: Session,
): { readonly table: number; readonly ids: Uint8Array; readonly rows: Uint8Array }[] {
  const { rowTables, layout, tensors, memory } = session;
  return rowTables.map(({ tensor, width }, table) => {
    const merged = layout.rows.tables[table];
    const places = new Int32Array(memory.buffer, merged.places, 2 * ROW_BUCKETS);
    const counts = Array.from({ length: ROW_BUCKETS }, (_, b) => places[2 * b + 1]);
    const ids = new Int32Array(counts.reduce((a, b) => a + b, 0));
    let at = 0;
    counts.forEach((n, b) => {
      ids.set(new Int32Array(memory.buffer, merged.ids + 4 * places[2 * b], n), at);
      at += n;
    });
    const parameters = new Float32Array(memory.buffer, layout.parameters + 4 * tensors[tensor].offset);
    const rows = new Float32Array(ids.length * width);
    for (let i = 0; i < ids.length; i++) {
      rows.set(parameters.subarray(ids[i] * width, (ids[i] + 1) * width), i * width);
    }
    return { table, ids: bytesOf(ids), rows: bytesOf(rows) };
  });
}

/** @throws FrameError for rows that the table does not have. */
export function placeRows(session: Session, table: number, idBytes: Uint8Array, rowBytes: Uint8Array): void {
  const { rowTables, layout, tensors, memory } = session;
  const entry = rowTables[table];
  if (!entry) throw new FrameError(0, `one of ${rowTables.length} sparse tables`, String(table));
  const { width, tensor } = entry;
  const { offset, size } = tensors[tensor];
  if (idBytes.length % 4 !== 0 || rowBytes.length !== idBytes.length * width) {
    throw new FrameError(0, `rows of width ${width} and their ids`, `${rowBytes.length} and ${idBytes.length} bytes`);
  }
  const ids = new Int32Array(aligned(idBytes));
  const start = layout.parameters + 4 * offset;
  ids.forEach((id, i) => {
    if (id < 0 || id >= size / width) throw new FrameError(0, `a row of ${tensors[tensor].name}`, String(id));
    const row = rowBytes.subarray(4 * width * i, 4 * width * (i + 1));
    new Uint8Array(memory.buffer, start + 4 * width * id, 4 * width).set(row);
  });
}

/**
 * What shards leave beside their gradients, as five regions: f64 sums [count, sums]; moments [count, momentBytes]; and of the lists of
 * looked-up rows, shard by shard and list by list, i32 lengths, i32 ids, f32 rows. The first two are views, the lists copies.
 */
export function packShards(session: Session, { first, count }: ShardRange): Uint8Array[] {
  const { layout, memory, sums, momentBytes, rowTables } = session;
  const view = (address: number, length: number) => new Uint8Array(memory.buffer, address, length);
  const lengths: number[] = [];
  const ids: Uint8Array[] = [];
  const rows: Uint8Array[] = [];
  for (let shard = first; shard < first + count; shard++) {
    for (const { header, width } of rowListsOf(rowTables, layout.rows, shard)) {
      const [n, idsAt, rowsAt] = new Int32Array(memory.buffer, header, 3);
      lengths.push(n);
      ids.push(view(idsAt, 4 * n));
      rows.push(view(rowsAt, 4 * n * width));
    }
  }
  return [
    view(layout.shardSums + 8 * sums.length * first, 8 * sums.length * count),
    view(layout.moments + momentBytes * first, momentBytes * count),
    bytesOf(Int32Array.from(lengths)),
    concat(ids),
    concat(rows),
  ];
}

/**
 * Puts them where the coordinator's workers look for them. `sumsAt`: the table of the pass.
 *
 * @throws FrameError for what does not fit the job.
 */
export function placeShards(
  session: Session,
  { first, count }: ShardRange,
  regions: readonly Uint8Array[],
  sumsAt: number,
): void {
  const { layout, memory, sums, momentBytes, rowTables, tensors } = session;
  const [sumBytes, moments, lengthBytes, ids, rows] = regions;
  const exactly = (what: string, bytes: Uint8Array, length: number) => {
    if (bytes.length !== length) throw new FrameError(0, `${length} bytes of ${what}`, String(bytes.length));
  };
  const shards = Array.from({ length: count }, (_, i) => first + i);
  const lists = shards.flatMap((shard) => rowListsOf(rowTables, layout.rows, shard));
  exactly('sums', sumBytes, 8 * sums.length * count);
  exactly('moments', moments, momentBytes * count);
  exactly('list lengths', lengthBytes, 4 * lists.length);
  const lengths = new Int32Array(aligned(lengthBytes));
  const floats = lists.reduce((sum, { width }, i) => sum + lengths[i] * width, 0);
  lists.forEach(({ capacity }, i) => {
    if (lengths[i] < 0 || lengths[i] > capacity)
      throw new FrameError(0, `at most ${capacity} rows in a list`, String(lengths[i]));
  });
  exactly('row ids', ids, 4 * lengths.reduce((a, b) => a + b, 0));
  exactly('rows', rows, 4 * floats);
  checkIds(session, lists, lengths, new Int32Array(aligned(ids)));

  const bytes = new Uint8Array(memory.buffer);
  bytes.set(sumBytes, sumsAt + 8 * sums.length * first);
  bytes.set(moments, layout.moments + momentBytes * first);
  let idAt = 0;
  let rowAt = 0;
  lists.forEach(({ header, width }, i) => {
    const n = lengths[i];
    const words = new Int32Array(memory.buffer, header, 3);
    bytes.set(ids.subarray(idAt, idAt + 4 * n), words[1]);
    bytes.set(rows.subarray(rowAt, rowAt + 4 * n * width), words[2]);
    words[0] = n;
    idAt += 4 * n;
    rowAt += 4 * n * width;
  });

  function checkIds({ rowTables: tables }: Session, of: typeof lists, counts: Int32Array, all: Int32Array): void {
    let at = 0;
    of.forEach(({ table, width }, i) => {
      const { size, name } = tensors[tables[table].tensor];
      for (let j = 0; j < counts[i]; j++, at++) {
        const ascending = j === 0 || all[at] > all[at - 1];
        if (!ascending || all[at] < 0 || all[at] >= size / width) {
          throw new FrameError(0, `ascending rows of ${name}`, String(all[at]));
        }
      }
    });
  }
}

/** Whether a shard has rows in a batch of this size. */
export function isEmptyShard(session: Pick<Session, 'shards'>, batchRows: number, shard: number): boolean {
  const [begin, end] = shardRange(batchRows, session.shards, shard);
  return begin === end;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A copy whose beginning is aligned. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer; // slice() of a Buffer would be a view
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
