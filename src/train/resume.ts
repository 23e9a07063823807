import { fromExactJson, toExactJson } from '../checkpoint/exact-json.ts';
import { type Manifest, tensorTable } from '../checkpoint/manifest.ts';
import { kindOf, readModelFile } from '../checkpoint/read-model.ts';
import { type Checkpoint, type FoundCheckpoint, findCheckpoint, listCheckpoints } from '../checkpoint/store.ts';
import { nodeFs } from '../checkpoint/store-fs.ts';
import { LockstepError } from '../errors.ts';
import { denseBytes } from '../graph/layout.ts';
import { lastInnerStep } from '../parallel/inner-steps.ts';
import { progressWidth, writeProgress } from '../parallel/progress.ts';
import { noteReplica, roundWordsOf } from '../parallel/rounds.ts';
import { epochWords } from '../parallel/row-memory.ts';
import { takeUpStatistics } from '../parallel/running-statistics.ts';
import type { Session } from '../parallel/session.ts';
import { hasReplica, snapshotVectors } from '../parallel/snapshot.ts';
import { firstDifference } from './difference.ts';
import { describeJob, packageVersion } from './header.ts';
import type { TrainOptions } from './options.ts';
import type { RunPlan } from './plan-run.ts';

/** What a run starts from when not from initial values. */
export interface StartPoint {
  readonly checkpoint: Checkpoint;
  /** Only the parameters are taken; step, optimizer and everything else start anew. */
  readonly warm: boolean;
  /** Newer ones that are damaged. */
  readonly refused: FoundCheckpoint['refused'];
  readonly notes: readonly string[];
}

/** Lengths of a run and what only watches it may change between a run and its continuation; `computation` is looked at apart. */
const MAY_DIFFER = new Set(
  ['epochs', 'totalSteps', 'localSteps.steps', 'evaluate', 'earlyStopping', 'computation'].map((name) => `job.${name}`),
);

/**
 * Finds what `resume` or `warmStart` asks for: the newest whole checkpoint of a run folder, or the one in the folder given.
 * 'auto' starts anew where there is none.
 *
 * @throws E_RESUME if the checkpoint belongs to another job, naming the first difference; E_CHECKPOINT if none is whole.
 */
export function findStart(plan: RunPlan, options: TrainOptions): StartPoint | undefined {
  const { resume, warmStart, runDir } = options;
  if (resume !== undefined && warmStart !== undefined) {
    throw optionError('resume', 'resume or warmStart', 'both', 'resume goes on to the byte, warmStart trains anew');
  }
  if (warmStart !== undefined) {
    const { checkpoint, refused } = findWarmStart(warmStart);
    refuseDifferentTensors(plan, checkpoint);
    return { checkpoint, refused, warm: true, notes: [...refusals(refused), `warm start from ${checkpoint.path}`] };
  }
  if (resume === undefined) return undefined;
  if (resume === 'auto') {
    if (runDir === undefined)
      throw optionError('resume', 'a run folder to look into', 'none', 'give runDir (--run-dir)');
    if (listCheckpoints(nodeFs, runDir).length === 0) return undefined;
  }
  const { checkpoint, refused } = findCheckpoint(nodeFs, resume === 'auto' ? (runDir as string) : resume);
  refuseOtherJob(plan, checkpoint);
  refuseOtherState(plan, checkpoint);
  refuseCutRound(plan, checkpoint);
  const notes = [...refusals(refused), `resumed after step ${checkpoint.step} from ${checkpoint.path}`];
  const then = describeKernels(checkpoint.manifest.kernels);
  const now = describeKernels(plan.backend);
  const { lockstep } = checkpoint.manifest;
  if (lockstep !== packageVersion()) {
    notes.push(
      `saved by lockstep ${lockstep}, this is ${packageVersion()}: the result may no longer be that of one run`,
    );
  }
  const { nodes } = checkpoint.manifest;
  if (nodes && nodes.wire !== plan.wire) {
    notes.push(
      `wire format ${nodes.wire} then, ${plan.wire} now: what ${nodes.states.length} nodes kept begins from nothing`,
    );
  }
  if (then !== now) notes.push(`kernels differ (${then} then, ${now} now): the result is no longer that of one run`);
  return { checkpoint, refused, warm: false, notes };
}

/** A checkpoint as for `resume`, or a model file: it has the parameters, which are all that is wanted. */
function findWarmStart(path: string): FoundCheckpoint {
  if (kindOf(path) !== 'file') return findCheckpoint(nodeFs, path);
  const model = readModelFile(path);
  return { checkpoint: { ...model, step: model.manifest.step, path, slots: [] }, refused: [] };
}

/** Puts a checkpoint's state into the arena, as after its step. The workers are not started yet. */
export function placeState(session: Session, checkpoint: Checkpoint): void {
  const { buffer } = session.memory;
  const { layout } = session;
  const { manifest, step } = checkpoint;
  const { parameters, trained = parameters, slots } = checkpoint;
  const replica = hasReplica(session) ? sameLength(checkpoint.nodes?.replica, denseBytes(session)) : undefined;
  const evaluated = layout.evaluated !== layout.parameters;
  const vectors = [trained, ...slots, ...(evaluated ? [parameters] : []), ...(replica ? [replica] : [])];
  const places = snapshotVectors(session);
  vectors.forEach((vector, i) => {
    new Float32Array(buffer, places[i].address, vector.length).set(vector);
  });
  if (session.part) noteReplica(roundWordsOf(session), replica && step);
  new Int32Array(buffer, layout.epochs, epochWords(session.blocks, session.rowTables)).fill(2 * step);
  const { updates, state } = manifest.optimizer;
  const { badInARow = 0 } = manifest.progress;
  const names = session.progressNames;
  writeProgress(
    new Float64Array(buffer, layout.progress, 2 * progressWidth(names)),
    step,
    { updates, badInARow },
    names.map((name) => state[name] ?? 0),
  );
  takeUpStatistics(session, step);
}

/** What a run with another wire format has saved is none of this one. */
function sameLength(replica: Float32Array | undefined, bytes: number): Float32Array | undefined {
  return replica && 4 * replica.length >= bytes ? replica : undefined;
}

/** Puts only the parameters into the arena, after the workers initialised everything; slots that are to begin as they do follow. */
export function placeParameters(session: Session, { manifest, parameters }: Checkpoint): void {
  const { memory, layout, slots, tensors, buffers } = session;
  const view = (address: number, length: number) => new Float32Array(memory.buffer, address, length);
  // By name: another job may have other tables sparse, so that its tensors lie elsewhere.
  const saved = new Map(tensorTable(manifest).entries.map((entry) => [entry.name, entry]));
  [...tensors, ...buffers].forEach(({ name, offset, size, buffer }, i) => {
    const from = saved.get(name);
    if (!from) throw new RangeError(`no tensor ${name} in the checkpoint`);
    const values = parameters.subarray(from.offset, from.offset + size);
    view(layout.parameters + 4 * offset, size).set(values);
    if (buffer) return;
    slots.forEach(({ offsets, inits }, slot) => {
      if (inits[i] === 'parameter') view(layout.slots[slot] + 4 * offsets[i], size).set(values);
    });
  });
  takeUpStatistics(session, 0);
}

function refuseOtherJob(plan: RunPlan, checkpoint: Checkpoint): void {
  const { manifest } = checkpoint;
  const plain = (value: unknown) => fromExactJson(toExactJson(value)) as Readonly<Record<string, unknown>>;
  const described = plain(describeJob(plan));
  const saved = manifest.job as Readonly<Record<string, unknown>>;
  const { seed } = plan.job;
  // Transforms are fitted on the training rows: where those have changed they show it.
  const now = { ...described, seed, shards: plan.compiled.shards, transforms: plain(plan.data.transforms) };
  const then = { ...saved, seed: manifest.sampler.seed, shards: manifest.shards, transforms: manifest.transforms };
  const difference = firstDifference(then, now, 'job', MAY_DIFFER);
  if (!difference) {
    // Another version of Lockstep may compute the same job in other calls.
    if (saved.computation === described.computation || manifest.lockstep !== packageVersion()) return;
    throw new LockstepError('E_RESUME', {
      where: `${checkpoint.path}: job.model or job.loss`,
      expected: 'the model and the loss that were saved',
      got: 'another computation on the same parameters (activations, dropout, options of the loss ...)',
      fix: 'change the job back, or take only the parameters: --warm-start DIR (warmStart)',
    });
  }
  throw new LockstepError('E_RESUME', {
    where: `${checkpoint.path}: ${difference.path}`,
    expected: `the job that was saved (${difference.saved})`,
    got: difference.given,
    fix: 'change the job back, or take only the parameters: --warm-start DIR (warmStart)',
  });
}

/** The last round of a run may be cut short where its steps end. The rest of it would be left out by a longer run, whose rounds are whole. */
function refuseCutRound({ compiled }: RunPlan, { manifest, step, path }: Checkpoint): void {
  const { localSteps } = manifest.job as { readonly localSteps?: { readonly steps?: number } };
  const { course, pace, totalSteps } = compiled.calendar;
  if (localSteps?.steps === undefined || step >= totalSteps) return;
  const last = lastInnerStep(step, pace, { ...course, totalSteps: localSteps.steps });
  const whole = lastInnerStep(step, pace, course);
  if (last === whole) return;
  throw new LockstepError('E_RESUME', {
    where: `${path}: job.steps`,
    expected: `the end of a round of local steps, as after step ${whole}`,
    got: `the end of a shorter run, after step ${last}`,
    fix: 'go on from an earlier checkpoint (--resume DIR), or take only the parameters: --warm-start DIR (warmStart)',
  });
}

/** The state must be that of this job in every length and name, or it would be written beside its place in memory. */
function refuseOtherState(plan: RunPlan, { manifest, trained, path }: Checkpoint): void {
  const { compiled, needs, data } = plan;
  const { optimizer, progress, sampler } = manifest;
  const then = {
    tensors: manifest.tensors.map(({ name, shape }) => ({ name, shape })),
    optimizer: { slots: optimizer.slots, state: Object.keys(optimizer.state).sort() },
    sampler: { rows: sampler.rows, batchSize: sampler.batchSize },
    progress: { epochSums: (progress.epochSums ?? compiled.sums).length },
    files: { 'trained.safetensors': trained !== undefined },
  };
  const now = {
    tensors: [...compiled.tensors, ...compiled.buffers].map(({ name, shape }) => ({ name, shape })),
    optimizer: {
      slots: needs.slots.map(({ name, shapes }) => ({ name, ...(shapes && { shapes }) })),
      state: [...needs.progressNames].sort(),
    },
    sampler: { rows: data.train.size, batchSize: compiled.batchSize },
    progress: { epochSums: compiled.sums.length },
    files: { 'trained.safetensors': needs.evaluates },
  };
  const difference = firstDifference(then, now, 'manifest');
  if (!difference) return;
  throw new LockstepError('E_RESUME', {
    where: `${path}: ${difference.path}`,
    expected: `the state of this job (${difference.given})`,
    got: difference.saved,
    fix: 'use another checkpoint, or take only the parameters: --warm-start DIR (warmStart)',
  });
}

function refuseDifferentTensors(plan: RunPlan, checkpoint: Checkpoint): void {
  const table = (tensors: readonly { name: string; shape: readonly number[] }[]) =>
    Object.fromEntries(tensors.map(({ name, shape }) => [name, `[${shape.join(', ')}]`]));
  const wanted = [...plan.compiled.tensors, ...plan.compiled.buffers];
  const difference = firstDifference(table(checkpoint.manifest.tensors), table(wanted), 'parameters');
  if (!difference) return;
  throw new LockstepError('E_RESUME', {
    where: `${checkpoint.path}: ${difference.path}`,
    expected: `the parameters of this model (${difference.given})`,
    got: difference.saved,
    fix: 'use the model that was saved, or train anew',
  });
}

function refusals(refused: readonly { path: string; error: LockstepError }[]): string[] {
  return refused.map(({ path, error }) => `${path} is not whole and was passed over: ${error.message}`);
}

function describeKernels({ gemm, simd, blas }: Pick<Manifest['kernels'], 'gemm' | 'simd' | 'blas'>): string {
  return [gemm, blas ? `${blas.version} ${blas.core}` : '', simd].filter(Boolean).join(' ');
}

function optionError(name: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_OPTION', { where: `option ${name}`, expected, got, fix });
}
