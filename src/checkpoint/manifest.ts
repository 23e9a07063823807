import { z } from 'zod';
import { Encoder } from '../data/transforms.ts';
import { LockstepError } from '../errors.ts';
import { layoutTensors, type TensorLayout } from '../graph/layout.ts';
import { sizeOf } from '../graph/tensor.ts';
import { damaged, quote } from './damage.ts';
import { EVALUATION_FACTS } from './evaluation-graph.ts';
import { fromExactJson, toExactJson } from './exact-json.ts';
import { PREDICTION_GRAPH } from './prediction-graph.ts';
import { nameProblem } from './safetensors-header.ts';

/**
 * The manifest of a checkpoint: everything but the tensors, as JSON. It says what trained (for resume), what the numbers mean
 * (for prediction, without the job's module) and what the files must be (against damage). Runs in browsers.
 */
export const MANIFEST_VERSION = 1;
/** The files of a checkpoint beside manifest.json; a manifest can name no others. */
export const CHECKPOINT_FILES = [
  'parameters.safetensors',
  'trained.safetensors',
  'optimizer.safetensors',
  'nodes.safetensors',
] as const;
export type CheckpointFile = (typeof CHECKPOINT_FILES)[number];

const count = z.number().int().nonnegative();
const positive = z.number().int().positive();
/** Any f64: exact JSON keeps NaN, the infinities and -0, which losses and best values may be. */
const f64 = z.custom<number>((v) => typeof v === 'number', 'a number');
const shape = z.array(positive);
const named = z.string().refine((name) => nameProblem(name) === undefined, 'a name without control characters or ".."');
/** Plain data of others, kept as it is. */
const plain = z.unknown();

const initializer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant'), value: f64 }),
  z.strictObject({ kind: z.literal('uniform'), low: f64, high: f64 }),
  z.strictObject({ kind: z.literal('normal'), mean: f64, std: f64 }),
]);

const field = z.strictObject({
  name: z.string(),
  dtype: z.enum(['f32', 'i32']),
  shape: z.array(positive),
  size: positive.optional(),
  classNames: z.array(z.string()).optional(),
});

const FACTS = {
  /** Version of the package that wrote it. */
  lockstep: z.string(),
  /** Committed steps; the next one is `step` + 1. */
  step: count,
  epoch: count,
  /** The sampler is a function of these and the step: its position needs no more. */
  sampler: z.strictObject({ seed: count, rows: positive, batchSize: positive }),
  /** S. */
  shards: positive,
  /** The job as plain data, for messages and to compare on resume. */
  job: plain,
  optimizer: z.strictObject({
    description: z.looseObject({ kind: z.string() }),
    /** Updates so far: steps without the skipped ones. */
    updates: count,
    /** The definition's persistent numbers. */
    state: z.record(z.string(), f64),
    /** Slot names in order; `shapes` by tensor where a slot's is not the parameter's. */
    slots: z.array(z.strictObject({ name: named, shapes: z.record(z.string(), shape).optional() })).max(16),
  }),
  /** The trainer's own state between two steps. Schedules are functions of the step and `totalSteps`. */
  progress: z.strictObject({
    totalSteps: positive,
    skipped: count,
    /** Of these, how many in a row up to this step. Absent: none. */
    badInARow: count.optional(),
    stopping: z.strictObject({ best: f64, bad: count }).optional(),
    /** Of a schedule that looks at evaluations (reduceOnPlateau). */
    plateau: z
      .strictObject({
        best: f64,
        bad: count,
        cooling: count,
        changes: z.array(z.strictObject({ from: positive, factor: f64 })),
      })
      .optional(),
    /** Sums and samples of the epoch that is under way, in the order of the job's sums. */
    epochSums: z.array(f64).optional(),
    epochSamples: count.optional(),
  }),
  /** What nodes keep from round to round, where there are such and they keep something (node-states.ts); not in model files. */
  nodes: z
    .strictObject({
      /** The wire format, of which it is. */
      wire: z.string(),
      /** Of how many seats it was lost so far: these began from nothing. */
      lost: count,
      states: z.array(z.strictObject({ seat: count, after: positive })).max(65_536),
    })
    .optional(),
  /** The last evaluation ('val.loss' ...): what retention and `--best` look at. */
  metrics: z.record(z.string(), f64),
  /** Which kernels computed it. */
  kernels: z.strictObject({
    gemm: z.enum(['blas', 'wasm']),
    simd: z.enum(['simd128', 'relaxed']),
    blas: z.strictObject({ library: z.string(), version: z.string(), core: z.string() }).optional(),
  }),
  /** Input description: fields of the data, with class names, and the fitted transforms that make them. */
  fields: z.array(field),
  transforms: z.array(z.looseObject({ kind: z.string() })),
  /** Says what the outputs mean: cross-entropy gives logits of classes, and so on. */
  loss: z.strictObject({ name: z.string(), output: z.string().optional(), target: z.string().optional() }),
  /**
   * The tensor table: parameters, then buffers (what layers keep and nobody trains). Offsets follow from it, and from which tables
   * have sparse gradients.
   */
  tensors: z
    .array(
      z.strictObject({
        name: named,
        shape,
        init: initializer,
        group: count,
        sparse: z.boolean().optional(),
        buffer: z.boolean().optional(),
      }),
    )
    .min(1)
    .max(1_000_000),
  model: PREDICTION_GRAPH,
  /** Loss and metrics, for `lockstep eval`. */
  evaluation: EVALUATION_FACTS.optional(),
  /** Where the run came from, for `lockstep eval`; not in model files. */
  origin: z
    .strictObject({
      /** Folder that relative paths of the data start from. */
      baseDir: z.string(),
      /** URL of the job's module. */
      module: z.string().optional(),
      /** The job's data, where a description says all (files). */
      data: plain.optional(),
    })
    .optional(),
};

const file = z.strictObject({
  name: z.enum(CHECKPOINT_FILES),
  bytes: count,
  sha256: z.string().regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits'),
});

const MANIFEST = z.strictObject({
  format: z.literal('lockstep-checkpoint'),
  version: z.literal(MANIFEST_VERSION),
  savedAt: z.string(),
  files: z.array(file),
  ...FACTS,
});

/** What the trainer knows; the writer adds format, time and files. */
export type ManifestFacts = z.output<z.ZodObject<typeof FACTS>>;
export type Manifest = z.output<typeof MANIFEST>;
export type FileRecord = z.output<typeof file>;

/** The whole manifest. `savedAt` is a time in ISO 8601. */
export function completeManifest(facts: ManifestFacts, files: readonly FileRecord[], savedAt: string): Manifest {
  return { format: 'lockstep-checkpoint', version: MANIFEST_VERSION, savedAt, files: [...files], ...facts };
}

export function encodeManifest(manifest: Manifest): string {
  return `${toExactJson(manifest)}\n`;
}

/**
 * Reads a manifest and checks everything that can be checked without the files. `where` names it in errors.
 *
 * @throws E_CHECKPOINT with the place: no JSON, another format or a newer version, missing or unknown entries, files beside
 * those of a checkpoint, names twice, transforms that are none.
 */
export function parseManifest(text: string, where: string): Manifest {
  let value: unknown;
  try {
    value = fromExactJson(text);
  } catch (cause) {
    throw damaged(where, 'JSON', cause instanceof Error ? cause.message : String(cause), cause);
  }
  checkVersion(value, where);
  const parsed = MANIFEST.safeParse(value);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    const at = path.reduce<unknown>((v, key) => (typeof v === 'object' && v !== null ? Reflect.get(v, key) : v), value);
    throw damaged(
      path.length > 0 ? `${where}: ${path.join('.')}` : where,
      message.replace(/^Invalid \w+: expected /, ''),
      describe(at),
    );
  }
  checkConsistency(parsed.data, where);
  return parsed.data;
}

function checkVersion(value: unknown, where: string): void {
  const head = typeof value === 'object' && value !== null ? value : {};
  const [format, version, lockstep] = ['format', 'version', 'lockstep'].map((key): unknown => Reflect.get(head, key));
  if (format !== 'lockstep-checkpoint') throw damaged(where, 'the manifest of a Lockstep checkpoint', describe(format));
  if (typeof version === 'number' && version > MANIFEST_VERSION) {
    throw new LockstepError('E_CHECKPOINT', {
      where,
      expected: `format version ${MANIFEST_VERSION} or earlier`,
      got: `version ${version}, written by lockstep ${describe(lockstep)}`,
      fix: 'update lockstep to that version',
    });
  }
}

function checkConsistency(manifest: Manifest, where: string): void {
  const { files, tensors, fields, optimizer, transforms } = manifest;
  unique(files, `${where}: files`);
  unique(tensors, `${where}: tensors`);
  unique(fields, `${where}: fields`);
  unique(optimizer.slots, `${where}: optimizer.slots`);
  for (const { name, shape: dims } of tensors) {
    if (sizeOf(dims) > 2 ** 32) throw damaged(`${where}: tensor ${quote(name)}`, 'at most 2^32 elements', `[${dims}]`);
  }
  const missing = requiredFiles(manifest).find((name) => !files.some((f) => f.name === name));
  if (missing) throw damaged(`${where}: files`, missing, files.map((f) => f.name).join(', ') || 'no files');
  try {
    new Encoder(transforms);
  } catch (error) {
    if (error instanceof LockstepError) {
      throw damaged(`${where}: ${error.detail.where}`, error.detail.expected, error.detail.got, error);
    }
    throw error;
  }
}

function requiredFiles({ optimizer, nodes }: Manifest): CheckpointFile[] {
  return [
    'parameters.safetensors',
    ...(optimizer.slots.length > 0 ? (['optimizer.safetensors'] as const) : []),
    ...(nodes && nodes.states.length > 0 ? (['nodes.safetensors'] as const) : []),
  ];
}

function unique(items: readonly { readonly name: string }[], where: string): void {
  const names = new Set<string>();
  for (const { name } of items) {
    if (names.has(name)) throw damaged(where, 'names that differ', `two called ${quote(name)}`);
    names.add(name);
  }
}

/** The tensor table with its offsets. */
export function tensorTable(manifest: Pick<Manifest, 'tensors'>): TensorLayout {
  return layoutTensors(manifest.tensors);
}

function describe(value: unknown): string {
  return value === undefined ? 'nothing' : quote(typeof value === 'string' ? value : (JSON.stringify(value) ?? '?'));
}
