import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import type { Computed, Split, Streamed, Table } from '../data/contract.ts';
import { definitionOf } from '../optim/custom.ts';
import { firstDifference } from './difference.ts';
import { describeJob, packageVersion } from './header.ts';
import type { RunPlan } from './plan-run.ts';

/** What processes must have in common to compute the gradients of one run; plain data. */
export interface Identity {
  readonly lockstep: string;
  /** Program, tensor table, optimizer, seeds, sizes, and the text of custom code. */
  readonly program: unknown;
  /** The training rows, by column. */
  readonly data: unknown;
  readonly kernels: unknown;
  /** Hash of the gradient of one fixed shard at the initial parameters: what all of the above come to. */
  readonly proof: string;
}

/** What may differ: lengths of a run, and what only watches it. */
const MAY_DIFFER = new Set(
  ['epochs', 'totalSteps', 'evaluate', 'earlyStopping', 'metrics', 'rows'].map((name) => `program.job.${name}`),
);

const LOCAL_MAY_DIFFER = new Set([...MAY_DIFFER].filter((path) => path !== 'program.job.totalSteps'));

/** In the order in which a difference explains those after it. */
const PARTS = ['lockstep', 'data', 'program', 'kernels', 'proof'] as const;

/** `dataIdentity`: that of the rows, for whoever has not seen them. */
export function identityOf(plan: RunPlan, proof: string, dataIdentity?: unknown): Identity {
  const { job, compiled, data, backend } = plan;
  const custom = definitionOf(job.optimizer);
  return {
    lockstep: packageVersion(),
    program: {
      job: ofNode(plan),
      seed: job.seed,
      shards: compiled.shards,
      ...(data.train.kind === 'computed' && { read: textHash(data.train.read) }),
      ...(custom && { optimizer: textHash(custom.update) }),
    },
    data: dataIdentity ?? { rows: data.train.size, train: fingerprint(data.train) },
    kernels: { gemm: backend.gemm, simd: backend.simd, ...(backend.blas && { blas: { ...backend.blas } }) },
    proof,
  };
}

/** The job as nodes see it: one who makes steps by itself counts them. */
function ofNode({ local, ...plan }: RunPlan): object {
  const job = describeJob(plan);
  return local ? { ...job, totalSteps: local.totalSteps } : job;
}

/**
 * Where two processes differ first; undefined if they can take part in one run. `mixed`: kernels may differ, and so may the bits. `localSteps`:
 * nodes make steps by themselves, for which schedules know how many there are.
 */
export function identityDifference(
  ours: Identity,
  theirs: Identity,
  mixed: boolean,
  localSteps = false,
):
  | { readonly what: (typeof PARTS)[number]; readonly path: string; readonly ours: string; readonly theirs: string }
  | undefined {
  for (const what of PARTS) {
    if (mixed && (what === 'kernels' || what === 'proof')) continue;
    const found = firstDifference(ours[what], theirs[what], what, localSteps ? LOCAL_MAY_DIFFER : MAY_DIFFER);
    if (found) return { what, path: found.path, ours: found.saved, theirs: found.given };
  }
  return undefined;
}

function fingerprint(split: Split): unknown {
  switch (split.kind) {
    case 'table':
      return tableFingerprint(split);
    case 'streamed':
      return streamedFingerprint(split);
    case 'computed':
      return computedFingerprint(split);
  }
}

function tableFingerprint({ columns, sparse = [] }: Table): unknown {
  return Object.fromEntries([
    ...columns.map(({ name, data, shape, scale, shift }) => [name, { sha256: sha256(data), shape, scale, shift }]),
    ...sparse.map(({ name, shape, pointers, indices, values }) => [
      name,
      { sha256: sha256(pointers, indices, values), shape },
    ]),
  ]);
}

/** Bytes of each column of rows on disk that are looked at, at its beginning and at its end. */
const SAMPLE_BYTES = 1 << 20;

function streamedFingerprint({ columns, sparse = [], file, size }: Streamed): unknown {
  const ends = (bytes: number, offset: number) => {
    const sample = Math.min(bytes, SAMPLE_BYTES);
    return [0, bytes - sample].map((from) => {
      const part = Buffer.alloc(sample);
      readSync(file.fd, part, 0, sample, offset + from);
      return part;
    });
  };
  return Object.fromEntries([
    ...columns.map(({ name, shape, stride, elements, offset, scale, shift }) => {
      const width = shape.reduce((a, b) => a * b, 1);
      const bytes = ((size - 1) * (stride ?? width) + width) * (elements === 'u8' ? 1 : 4);
      const sha = sha256(...ends(bytes, offset));
      return [name, { sha256: sha, shape, elements, scale, shift, ...(stride !== undefined && { stride }) }];
    }),
    ...sparse.map(({ name, shape, pointers, indices, values, nonZero }) => {
      const lists = [ends(4 * (size + 1), pointers), ends(4 * nonZero, indices), ends(4 * nonZero, values)];
      return [name, { sha256: sha256(...lists.flat()), shape, nonZero }];
    }),
  ]);
}

function computedFingerprint({ fields, read, ids }: Computed): unknown {
  return { fields, read: textHash(read), ...(ids && { ids: sha256(ids) }) };
}

function sha256(...parts: readonly ArrayBufferView[]): string {
  const hash = createHash('sha256');
  for (const { buffer, byteOffset, byteLength } of parts) hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest('hex');
}

function textHash(code: unknown): string {
  return createHash('sha256').update(String(code)).digest('hex');
}
