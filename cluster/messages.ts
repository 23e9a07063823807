import { z } from 'zod';
import { MOST_LOCAL_STEPS } from '../src/parallel/inner-steps.ts';
import { WIRE_FORMATS } from '../src/parallel/wire-format.ts';
import { type Frame, FrameError } from './frames.ts';
import { MAC_BYTES, NONCE_BYTES } from './security.ts';

/** Version of the protocol; both ends must have the same. docs/protocol.md describes it byte by byte. */
export const PROTOCOL = 1;

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
/** For people: it may end up on a terminal, which control characters would command. */
const text = z
  .string()
  .max(4096)
  .transform((chars) => chars.replace(/\p{Cc}/gu, ' '));
/** Headers hold no binary: nonces and proofs are hexadecimal there. */
const bytes = (length: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${2 * length}}$`), `expected ${length} bytes in hexadecimal`)
    .transform((digits) => new Uint8Array(Buffer.from(digits, 'hex')));
/** What every message about a step carries: who sent it to whom cannot be mistaken for an earlier time. */
const stamp = { fence: count, round: count };
const shards = { first: count, count };

/** From the coordinator. */
const TO_NODE = z.discriminatedUnion('type', [
  /** First of all. */
  z.strictObject({ type: z.literal('challenge'), protocol: count, nonce: bytes(NONCE_BYTES) }),
  /** The node takes part; `mac` proves the coordinator. */
  z.strictObject({
    type: z.literal('welcome'),
    mac: bytes(MAC_BYTES),
    fence: count,
    node: count,
    run: text,
    wire: z.enum(WIRE_FORMATS),
    /** Steps that the node makes by itself in a round; 1: it computes gradients. */
    syncEvery: z.number().int().positive().max(MOST_LOCAL_STEPS),
    /** The first so many steps of the job are rounds of one. */
    syncWarmup: z.number().int().nonnegative().max(MOST_LOCAL_STEPS),
    heartbeatMs: z.number().positive(),
    silenceMs: z.number().positive(),
  }),
  /** Instead, for a node that has no data: what it looks like. One region: JSON (stream-data.ts). The rows of its proof follow as `data`. */
  z.strictObject({ type: z.literal('description'), mac: bytes(MAC_BYTES) }),
  /** Rows of the training data. Regions: ids i32 [n], rows, column after column. */
  z.strictObject({ type: z.literal('data'), fence: count }),
  /** It does not, and why; the connection ends. */
  z.strictObject({
    type: z.literal('refuse'),
    code: text,
    where: text,
    expected: text,
    got: text,
    fix: text,
  }),
  /** A piece of the flat parameter vector, from byte `offset`. One region. */
  z.strictObject({ type: z.literal('parameters'), ...stamp, offset: count }),
  /** A piece of the encoded parameters, or of what they have changed by, from byte `offset`. One region. Lossy wire formats only. */
  z.strictObject({ type: z.literal('update'), ...stamp, offset: count }),
  /** Rows of a sparse table that have changed. Regions: ids i32 [n], rows f32 [n, width]. */
  z.strictObject({ type: z.literal('rows'), ...stamp, table: count }),
  /**
   * Compute these shards of a step at the parameters of the round, of which so many bytes were sent. `after`: the step of the node's kept
   * state that it goes on from; 0: from nothing.
   */
  z.strictObject({
    type: z.literal('compute'),
    ...stamp,
    epoch: count,
    step: count,
    ...shards,
    parameterBytes: count,
    after: count,
  }),
  /** Send what you keep from round to round: it is for a checkpoint. */
  z.strictObject({ type: z.literal('save'), fence: count }),
  /** What was kept after a step by whoever had the node's place, from byte `offset`. One region. */
  z.strictObject({ type: z.literal('kept'), fence: count, after: count, offset: count }),
  /** The run is over for the node. */
  z.strictObject({ type: z.literal('stop'), reason: text, failed: z.boolean() }),
]);

/** From a node. */
const TO_COORDINATOR = z.discriminatedUnion('type', [
  /** Answers the challenge. One region: the identity (src/train/identity.ts) as JSON. */
  z.strictObject({
    type: z.literal('hello'),
    protocol: count,
    name: text,
    workers: count,
    /** To take part; the same without data of its own; or first to hear what that looks like, without an identity. */
    wants: z.enum(['part', 'rows', 'description']),
    nonce: bytes(NONCE_BYTES),
    mac: bytes(MAC_BYTES),
  }),
  /** A piece of the sum of the gradient-tree node [first, first + count), from byte `offset`. One region. */
  z.strictObject({ type: z.literal('sums'), ...stamp, epoch: count, ...shards, offset: count }),
  /** The shards of a `compute` are done, and their sums were sent. Regions: see transfer.ts, `packShards`. */
  z.strictObject({
    type: z.literal('done'),
    ...stamp,
    epoch: count,
    ...shards,
    /** The tree nodes whose sums were sent: first, count, first, count ... */
    sums: z.array(count).max(4096),
    computeMs: z.number().nonnegative(),
  }),
  /** What the node keeps since a step, from byte `offset`. One region. */
  z.strictObject({ type: z.literal('kept'), fence: count, after: count, offset: count }),
  /** The node goes, in order: no shard is under way. */
  z.strictObject({ type: z.literal('leave'), reason: text }),
]);

export type ToNode = z.output<typeof TO_NODE>;
export type ToCoordinator = z.output<typeof TO_COORDINATOR>;
export type Message<T> = T & { readonly regions: readonly Uint8Array[] };
export type Of<M extends { type: string }, T extends M['type']> = Extract<M, { type: T }>;

/** As headers hold them. */
export const hex = (of: Uint8Array): string => Buffer.from(of).toString('hex');

/** How many regions each message has. */
const REGIONS: Partial<Record<(ToNode | ToCoordinator)['type'], number>> = {
  hello: 1,
  description: 1,
  data: 2,
  parameters: 1,
  update: 1,
  rows: 2,
  kept: 1,
  sums: 1,
  done: 5,
};

/** Every message with its header's fields and its number of regions: what docs/protocol.md lists. */
export const MESSAGES = [...TO_NODE.options, ...TO_COORDINATOR.options].map(({ shape }) => {
  const [type] = shape.type.values;
  return { type, fields: Object.keys(shape).filter((name) => name !== 'type'), regions: REGIONS[type] ?? 0 };
});

/** @throws FrameError for a message that a coordinator does not send. */
export function readFromCoordinator(frame: Frame): Message<ToNode> {
  return withRegions(headerFromCoordinator(frame.header), frame);
}

/** @throws FrameError for a message that a node does not send. */
export function readFromNode(frame: Frame): Message<ToCoordinator> {
  return withRegions(headerFromNode(frame.header), frame);
}

/** The same of the header alone, while the regions are on their way. */
export const headerFromCoordinator = (header: unknown): ToNode => read(TO_NODE, readToNode, header);
export const headerFromNode = (header: unknown): ToCoordinator => read(TO_COORDINATOR, readToCoordinator, header);

/** What was read of headers that are in use: each is looked at twice where its regions have a place. */
const readToNode = new WeakMap<object, ToNode>();
const readToCoordinator = new WeakMap<object, ToCoordinator>();

function read<T extends ToNode | ToCoordinator>(schema: z.ZodType<T>, known: WeakMap<object, T>, header: unknown): T {
  const isObject = typeof header === 'object' && header !== null;
  const before = isObject ? known.get(header) : undefined;
  if (before) return before;
  const parsed = schema.safeParse(header);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new FrameError(0, 'a message of this protocol', `${issue.path.join('.') || 'type'}: ${issue.message}`);
  }
  if (isObject) known.set(header, parsed.data);
  return parsed.data;
}

function withRegions<T extends ToNode | ToCoordinator>(message: T, { regions }: Frame): Message<T> {
  const expected = REGIONS[message.type] ?? 0;
  if (regions.length !== expected) {
    throw new FrameError(0, `${expected} regions in ${message.type}`, String(regions.length));
  }
  return { ...message, regions };
}
