import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { LockstepError } from '../errors.ts';
import { damaged } from './damage.ts';
import { readParameters, readSlots } from './flat.ts';
import {
  type CheckpointFile,
  completeManifest,
  encodeManifest,
  type FileRecord,
  type Manifest,
  type ManifestFacts,
  parseManifest,
  tensorTable,
} from './manifest.ts';
import { readNodes, type SavedNodes } from './node-states.ts';
import { decodeSafetensors, type Safetensors } from './safetensors.ts';
import { isErrno, type StoreFs } from './store-fs.ts';

/**
 * Checkpoints on disk: `<runDir>/checkpoints/step-00001234/` with manifest.json and safetensors files. A checkpoint appears by
 * one rename of a complete, synced folder, and disappears by one rename too, so whatever ends the process in between, what has a
 * name `step-...` is whole. Names that begin with a dot are work in progress, for nobody to read; one run has one writer
 * (lock.ts), so what a writer finds of them is left over from a crash.
 *
 * A checkpoint of the same step is replaced: it becomes `step-....replaced`, which still counts until the new one is there.
 */
export interface StoredCheckpoint {
  readonly step: number;
  /** Its folder. */
  readonly path: string;
}

/** A checkpoint in memory, verified. The vectors are flat, as `tensorTable(manifest)` lays them out. */
export interface Checkpoint extends StoredCheckpoint {
  readonly manifest: Manifest;
  /** To predict and evaluate with. */
  readonly parameters: Float32Array;
  /** Those that training goes on with, where they are others; absent when read for prediction. */
  readonly trained?: Float32Array;
  /** In the order of `manifest.optimizer.slots`; empty when read for prediction. */
  readonly slots: readonly Float32Array[];
  /** Absent when read for prediction, or where nodes kept nothing. */
  readonly nodes?: SavedNodes;
}

export interface FileContent {
  readonly name: CheckpointFile;
  /** One after another they are the file. */
  readonly parts: readonly Uint8Array[];
}

const MANIFEST_FILE = 'manifest.json';
const TEMPORARY = '.writing-';
const DISCARDED = '.deleting-';
const REPLACED = '.replaced';

export function checkpointsFolder(runDir: string): string {
  return join(runDir, 'checkpoints');
}

/** What the folder of a step's checkpoint is called. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

/**
 * Writes a checkpoint and makes it durable. After a failure (disk full, read-only, I/O) nothing of it is left and those before
 * it are as they were.
 *
 * @throws what the file system throws; E_CHECKPOINT if the facts make no manifest.
 */
export function writeCheckpoint(
  fs: StoreFs,
  runDir: string,
  facts: ManifestFacts,
  files: readonly FileContent[],
  savedAt = new Date().toISOString(),
): StoredCheckpoint & { readonly bytes: number } {
  const folder = checkpointsFolder(runDir);
  const name = checkpointName(facts.step);
  const temporary = join(folder, TEMPORARY + name);
  const path = join(folder, name);
  if (fs.stat(folder) === undefined) {
    fs.makeFolder(folder);
    fs.syncFolder(runDir);
  } else removeLeftovers(fs, runDir);
  try {
    fs.makeFolder(temporary);
    const records = files.map(({ name, parts }) => ({ name, ...writeFile(fs, join(temporary, name), parts) }));
    const text = encodeManifest(completeManifest(facts, records, savedAt));
    parseManifest(text, join(path, MANIFEST_FILE)); // what could not be read again is not worth its room
    const manifest = new TextEncoder().encode(text);
    writeFile(fs, join(temporary, MANIFEST_FILE), [manifest]);
    fs.syncFolder(temporary);
    if (fs.stat(path)) fs.rename(path, path + REPLACED);
    fs.rename(temporary, path);
    fs.syncFolder(folder);
    if (fs.stat(path + REPLACED)) discard(fs, folder, name + REPLACED);
    return { step: facts.step, path, bytes: records.reduce((sum, r) => sum + r.bytes, manifest.length) };
  } catch (error) {
    tidyUp(fs, runDir);
    throw error;
  }
}

/** After a failure: the first error is what the user must see, and the next write cleans up again. */
function tidyUp(fs: StoreFs, runDir: string): void {
  try {
    removeLeftovers(fs, runDir);
  } catch {
    // the disk that failed a moment ago fails again
  }
}

/** Bytes that are hashed and written at a time. Shared memory is copied here first: not all of Node reads it in place. */
const CHUNK_BYTES = 1024 * 1024;

function writeFile(fs: StoreFs, path: string, parts: readonly Uint8Array[]): Omit<FileRecord, 'name'> {
  const hash = createHash('sha256');
  const chunk = new Uint8Array(CHUNK_BYTES);
  let bytes = 0;
  let filled = 0;
  const file = fs.open(path, 'write');
  try {
    const flush = () => {
      hash.update(chunk.subarray(0, filled));
      writeAll(fs, file, chunk, filled);
      bytes += filled;
      filled = 0;
    };
    for (const part of parts) {
      for (let at = 0; at < part.length; ) {
        const taken = part.subarray(at, at + CHUNK_BYTES - filled);
        chunk.set(taken, filled);
        filled += taken.length;
        at += taken.length;
        if (filled === CHUNK_BYTES) flush();
      }
    }
    flush();
    fs.sync(file);
  } finally {
    fs.close(file);
  }
  return { bytes, sha256: hash.digest('hex') };
}

function writeAll(fs: StoreFs, file: number, bytes: Uint8Array, length: number): void {
  for (let at = 0; at < length; ) {
    const written = fs.write(file, bytes, at, length - at);
    if (written <= 0) throw new Error('the file system writes nothing and reports no error');
    at += written;
  }
}

/** Removes a checkpoint. Its name goes first, so a crash leaves no half of it. */
export function deleteCheckpoint(fs: StoreFs, runDir: string, step: number): void {
  discard(fs, checkpointsFolder(runDir), checkpointName(step));
}

function discard(fs: StoreFs, folder: string, name: string): void {
  const discarded = join(folder, DISCARDED + name);
  fs.remove(discarded);
  fs.rename(join(folder, name), discarded);
  fs.syncFolder(folder); // before its files go
  fs.remove(discarded);
}

/** What crashed writes and deletions left. Only the owner of the run folder may call it. Gives the names. */
export function removeLeftovers(fs: StoreFs, runDir: string): string[] {
  const folder = checkpointsFolder(runDir);
  const names = listFolder(fs, folder);
  const left = names.filter((name) => name.startsWith(TEMPORARY) || name.startsWith(DISCARDED));
  for (const name of left) fs.remove(join(folder, name));
  for (const name of names.filter((n) => n.endsWith(REPLACED) && stepOf(n) !== undefined)) {
    const original = name.slice(0, -REPLACED.length);
    if (names.includes(original)) discard(fs, folder, name);
    else fs.rename(join(folder, name), join(folder, original));
    left.push(name);
  }
  return left;
}

/** Committed checkpoints, newest first; not opened, so not verified. No folder: none. */
export function listCheckpoints(fs: StoreFs, runDir: string): StoredCheckpoint[] {
  const folder = checkpointsFolder(runDir);
  return listFolder(fs, folder)
    .flatMap((name) => {
      const step = stepOf(name);
      return step === undefined ? [] : [{ step, path: join(folder, name), replaced: name.endsWith(REPLACED) }];
    })
    .sort((a, b) => b.step - a.step || Number(a.replaced) - Number(b.replaced))
    .map(({ step, path }) => ({ step, path }));
}

function stepOf(name: string): number | undefined {
  const match = /^step-(\d{8,15})(\.replaced)?$/.exec(name);
  const step = match ? Number(match[1]) : Number.NaN;
  return match && checkpointName(step) + (match[2] ?? '') === name ? step : undefined;
}

function listFolder(fs: StoreFs, path: string): string[] {
  try {
    return fs.list(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/** The newest checkpoint that is whole, and why newer ones were not taken. */
export interface FoundCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly refused: readonly { readonly path: string; readonly error: LockstepError }[];
}

/** What of a checkpoint to read: 'model' leaves the optimizer's slots out. */
export type CheckpointParts = 'all' | 'model';

/**
 * `dir` is a run folder, or the folder of one checkpoint. In a run folder each candidate is verified, newest first.
 *
 * @throws E_CHECKPOINT if there is none, or none is whole; the message lists why.
 */
export function findCheckpoint(fs: StoreFs, dir: string, parts: CheckpointParts = 'all'): FoundCheckpoint {
  if (fs.stat(join(dir, MANIFEST_FILE))) return { checkpoint: readCheckpoint(fs, dir, parts), refused: [] };
  const refused: { path: string; error: LockstepError }[] = [];
  for (const { path } of listCheckpoints(fs, dir)) {
    try {
      return { checkpoint: readCheckpoint(fs, path, parts), refused };
    } catch (error) {
      if (!(error instanceof LockstepError)) throw error;
      refused.push({ path, error });
    }
  }
  throw new LockstepError('E_CHECKPOINT', {
    where: dir,
    expected: 'a checkpoint',
    got: refused.length === 0 ? 'none' : refused.map(({ error }) => error.message).join(' | '),
    fix:
      refused.length === 0
        ? 'give the folder of a run that has saved (--run-dir), or train without --resume'
        : 'none of them is whole: train anew',
  });
}

/**
 * Reads one checkpoint and verifies it: the manifest, size and SHA-256 of every file, every tensor against the table.
 *
 * @throws E_CHECKPOINT that names the file.
 */
export function readCheckpoint(fs: StoreFs, path: string, parts: CheckpointParts = 'all'): Checkpoint {
  const manifest = readManifest(fs, path);
  const { entries } = tensorTable(manifest);
  const load = (name: CheckpointFile): Safetensors | undefined => {
    const record = manifest.files.find((f) => f.name === name);
    return record && decodeSafetensors(readVerified(fs, join(path, name), record), join(path, name));
  };
  const required = (name: CheckpointFile): Safetensors => {
    const file = load(name);
    if (!file) throw damaged(join(path, MANIFEST_FILE), `a file ${name}`, 'none'); // parseManifest makes sure of it
    return file;
  };
  const parameters = readParameters(entries, required('parameters.safetensors'), join(path, 'parameters.safetensors'));
  const own = parts === 'all' ? load('trained.safetensors') : undefined;
  const { slots } = manifest.optimizer;
  const optimizer = join(path, 'optimizer.safetensors');
  const wanted = parts === 'all' && slots.length > 0;
  const nodes = parts === 'all' && manifest.nodes ? load('nodes.safetensors') : undefined;
  return {
    step: manifest.step,
    path,
    manifest,
    parameters,
    ...(own && { trained: readParameters(entries, own, join(path, 'trained.safetensors')) }),
    slots: wanted ? readSlots(entries, slots, required('optimizer.safetensors'), optimizer) : [],
    ...(nodes && manifest.nodes && { nodes: readNodes(manifest.nodes, nodes, join(path, 'nodes.safetensors')) }),
  };
}

/** Far above any manifest; a bound for what is read before anything is known. */
const MAX_MANIFEST_BYTES = 256 * 1024 * 1024;

/** The manifest alone; the files are not looked at. @throws E_CHECKPOINT */
export function readManifest(fs: StoreFs, path: string): Manifest {
  const where = join(path, MANIFEST_FILE);
  const bytes = readWhole(fs, where, undefined, () => {});
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw damaged(where, 'UTF-8 text', 'other bytes', cause);
  }
  const manifest = parseManifest(text, where);
  const step = stepOf(path.replaceAll('\\', '/').split('/').at(-1) ?? '');
  if (step !== undefined && step !== manifest.step) throw damaged(where, `step ${step}`, `step ${manifest.step}`);
  return manifest;
}

function readVerified(fs: StoreFs, path: string, record: FileRecord): Uint8Array {
  const hash = createHash('sha256');
  const bytes = readWhole(fs, path, record.bytes, (chunk) => hash.update(chunk));
  const sha256 = hash.digest('hex');
  if (sha256 !== record.sha256) throw damaged(path, `SHA-256 ${record.sha256}`, sha256);
  return bytes;
}

/** The size is looked at before anything is allocated; links and devices are not followed. */
function readWhole(fs: StoreFs, path: string, expected: number | undefined, seen: (chunk: Uint8Array) => void) {
  let file: number | undefined;
  try {
    const found = fs.stat(path);
    if (found?.kind !== 'file') throw damaged(path, 'a file', found ? `a ${found.kind} of another kind` : 'nothing');
    if (expected !== undefined && found.bytes !== expected) throw damaged(path, `${expected} bytes`, `${found.bytes}`);
    if (expected === undefined && found.bytes > MAX_MANIFEST_BYTES) {
      throw damaged(path, `at most ${MAX_MANIFEST_BYTES} bytes`, `${found.bytes}`);
    }
    const bytes = new Uint8Array(found.bytes);
    file = fs.open(path, 'read');
    for (let at = 0; at < bytes.length; ) {
      const read = fs.read(file, bytes, at, Math.min(16 * CHUNK_BYTES, bytes.length - at));
      if (read <= 0) throw damaged(path, `${bytes.length} bytes`, `${at}`);
      seen(bytes.subarray(at, at + read));
      at += read;
    }
    return bytes;
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    throw damaged(path, 'a file that can be read', error instanceof Error ? error.message : String(error), error);
  } finally {
    if (file !== undefined) fs.close(file);
  }
}
