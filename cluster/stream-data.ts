import { z } from 'zod';
import { fromExactJson, toExactJson } from '../src/checkpoint/exact-json.ts';
import { type Column, type LoadedData, strideOf } from '../src/data/contract.ts';
import { LockstepError } from '../src/errors.ts';
import type { ShardRange } from '../src/membership/assignment.ts';
import type { Session } from '../src/parallel/session.ts';
import { samplerOf } from '../src/parallel/windows.ts';
import { FrameError } from './frames.ts';

/**
 * `--stream-data`: nodes that have no copy of the data get what it looks like when they come, and the rows of their shards when they
 * need them, each row once. Their memory is that of a whole copy; what they have not been sent is zero there.
 */

const ELEMENTS = ['u8', 'i32', 'f32'] as const;
type Elements = (typeof ELEMENTS)[number];

/** Training data without its rows. */
const DESCRIPTION = z.object({
  size: z.int().positive(),
  fields: z.array(z.looseObject({ name: z.string() })),
  columns: z.array(
    z.object({
      elements: z.enum(ELEMENTS),
      length: z.int().nonnegative(),
      scale: z.number(),
      shift: z.number(),
      stride: z.int().positive().optional(),
      field: z.looseObject({ name: z.string(), shape: z.array(z.int().positive()) }),
    }),
  ),
  transforms: z.array(z.looseObject({ kind: z.string() })),
  augment: z.record(z.string(), z.unknown()).optional(),
  /** How the coordinator identifies its rows (src/train/identity.ts): a node without them has to believe it. */
  identity: z.unknown(),
});

/** @throws E_OPTION for rows that are not a table in memory. */
export function describeRows({ fields, train, transforms, augment }: LoadedData, identity: unknown): Uint8Array {
  if (train.kind !== 'table' || train.sparse?.length) {
    throw new LockstepError('E_OPTION', {
      where: 'streamData (--stream-data)',
      expected: 'training rows that lie in memory as a table',
      got: train.kind === 'table' ? 'sparse rows' : `rows that are ${train.kind}`,
      fix: 'give all nodes the files themselves, or read them without `memory` and without `dataset`',
    });
  }
  const columns = train.columns.map(({ data, scale, shift, stride, ...field }) => {
    return { elements: elementsOf(data), length: data.length, scale, shift, ...(stride && { stride }), field };
  });
  const description = { size: train.size, fields, columns, transforms, ...(augment && { augment }), identity };
  return new TextEncoder().encode(toExactJson(description));
}

/** The data of a node: everything but the rows. @throws FrameError for a description that is none. */
export function readDescription(bytes: Uint8Array): { readonly data: LoadedData; readonly identity: unknown } {
  let parsed: z.output<typeof DESCRIPTION>;
  try {
    parsed = DESCRIPTION.parse(fromExactJson(new TextDecoder().decode(bytes)));
  } catch {
    throw new FrameError(0, 'a description of data', 'something else');
  }
  const { size, fields, columns, transforms, augment, identity } = parsed;
  const table = columns.map(({ elements, length, scale, shift, stride, field }) => {
    const data = zeros(elements, length);
    return { ...field, data, scale, shift, ...(stride && { stride }) };
  });
  // The coordinator has sent what it has loaded itself; its shape was checked above.
  const data = { fields, train: { kind: 'table', size, columns: table }, transforms, ...(augment && { augment }) };
  return { data: data as unknown as LoadedData, identity };
}

function zeros(elements: Elements, length: number): Column['data'] {
  const shared = new SharedArrayBuffer(length * (elements === 'u8' ? 1 : 4));
  if (elements === 'u8') return new Uint8Array(shared);
  return elements === 'i32' ? new Int32Array(shared) : new Float32Array(shared);
}

function elementsOf(data: Column['data']): Elements {
  if (data instanceof Uint8Array) return 'u8';
  return data instanceof Int32Array ? 'i32' : 'f32';
}

/** Where a column's rows lie. */
interface Place {
  readonly memory: Uint8Array;
  readonly address: number;
  /** Bytes of a row, and from one to the next. */
  readonly bytes: number;
  readonly step: number;
}

function placesInArena({ splits, memory }: Session): Place[] {
  const { train } = splits;
  if (train?.kind !== 'table') throw new RangeError('streamed rows: not a table');
  const arena = new Uint8Array(memory.buffer);
  return train.columns.map(({ address, width, stride = width, bytes }) => {
    const element = bytes ? 1 : 4;
    return { memory: arena, address, bytes: element * width, step: element * stride };
  });
}

function placesIn({ train }: LoadedData): Place[] {
  if (train.kind !== 'table') throw new RangeError('streamed rows: not a table');
  return train.columns.map((column) => {
    const { data, shape } = column;
    const { buffer, byteOffset, byteLength, BYTES_PER_ELEMENT: element } = data;
    const memory = new Uint8Array(buffer, byteOffset, byteLength);
    const width = shape.reduce((a, b) => a * b, 1);
    return { memory, address: 0, bytes: element * width, step: element * strideOf(column) };
  });
}

/** Largest message of rows. */
const MESSAGE_BYTES = 1 << 20;

/** What a node has been sent. */
export class RowSender {
  readonly #session: Session;
  readonly #places: readonly Place[];
  readonly #sent: Uint8Array;
  readonly #ids: Int32Array;
  readonly #sampler: ReturnType<typeof samplerOf>;

  constructor(session: Session) {
    this.#session = session;
    this.#places = placesInArena(session);
    this.#sampler = samplerOf(session);
    this.#sent = new Uint8Array(session.splits.train?.size ?? 0);
    this.#ids = new Int32Array(session.batchSize);
  }

  /** The rows of these shards that the node does not have, as regions of messages: ids, rows. They count as sent. */
  *missing(step: number, { first, count }: ShardRange): Generator<Uint8Array[]> {
    const rowBytes = this.#places.reduce((sum, { bytes }) => sum + bytes, 0);
    const most = Math.max(1, Math.floor(MESSAGE_BYTES / Math.max(1, rowBytes)));
    let ids: number[] = [];
    for (let shard = first; shard < first + count; shard++) {
      const rows = this.#sampler.ids(step, shard, this.#session.shards, this.#ids);
      for (const id of this.#ids.subarray(0, rows)) {
        if (this.#sent[id] === 1) continue;
        this.#sent[id] = 1;
        ids.push(id);
        if (ids.length < most) continue;
        yield this.#pack(ids, rowBytes);
        ids = [];
      }
    }
    if (ids.length > 0) yield this.#pack(ids, rowBytes);
  }

  /** The node has the rows of these shards. */
  skip(step: number, { first, count }: ShardRange): void {
    for (let shard = first; shard < first + count; shard++) {
      const rows = this.#sampler.ids(step, shard, this.#session.shards, this.#ids);
      for (const id of this.#ids.subarray(0, rows)) this.#sent[id] = 1;
    }
  }

  #pack(ids: readonly number[], rowBytes: number): Uint8Array[] {
    const rows = new Uint8Array(ids.length * rowBytes);
    let at = 0;
    for (const id of ids) {
      for (const { memory, address, bytes, step } of this.#places) {
        rows.set(memory.subarray(address + id * step, address + id * step + bytes), at);
        at += bytes;
      }
    }
    return [new Uint8Array(Int32Array.from(ids).buffer), rows];
  }
}

type Regions = readonly Uint8Array[];

/** Puts rows that came into the arena of a node. @throws FrameError for rows that it does not have. */
export function placeRowsOfData(session: Session, regions: Regions): void {
  place(placesInArena(session), session.splits.train?.size ?? 0, regions);
}

/** The same before there is an arena. */
export function placeRowsIn(data: LoadedData, regions: Regions): void {
  place(placesIn(data), data.train.size, regions);
}

function place(places: readonly Place[], size: number, [idBytes, rows]: Regions): void {
  const rowBytes = places.reduce((sum, { bytes }) => sum + bytes, 0);
  if (idBytes.length % 4 !== 0 || rows.length !== (idBytes.length / 4) * rowBytes) {
    throw new FrameError(0, `rows of ${rowBytes} bytes and their ids`, `${rows.length} and ${idBytes.length} bytes`);
  }
  let at = 0;
  for (const id of new Int32Array(new Uint8Array(idBytes).buffer)) {
    if (id < 0 || id >= size) throw new FrameError(0, `one of ${size} rows`, String(id));
    for (const { memory, address, bytes, step } of places) {
      memory.set(rows.subarray(at, at + bytes), address + id * step);
      at += bytes;
    }
  }
}
