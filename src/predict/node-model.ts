import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeModel, type StoredModel } from '../checkpoint/model-file.ts';
import { kindOf, readModelFile } from '../checkpoint/read-model.ts';
import { rankBest } from '../checkpoint/retention.ts';
import { findCheckpoint, listCheckpoints, readManifest } from '../checkpoint/store.ts';
import { nodeFs } from '../checkpoint/store-fs.ts';
import { LockstepError } from '../errors.ts';
import type { CheckpointChoice, ModelSource } from './platform.ts';
import { standardMetric } from './standard-metric.ts';

/**
 * Reads a model: bytes of a model file, or a path to a run folder, its checkpoints folder, one checkpoint or a model file.
 * Of several checkpoints the newest whole one, or with `best` the best whole one by a metric.
 *
 * @throws E_CHECKPOINT if there is none or none is whole; E_OPTION if no checkpoint has the metric.
 */
export async function readStoredModel(source: ModelSource, { best }: CheckpointChoice = {}): Promise<StoredModel> {
  if (source instanceof Uint8Array) return decodeModel(source);
  if (source instanceof ArrayBuffer) return decodeModel(new Uint8Array(source));
  const path = pathOf(source);
  const kind = kindOf(path);
  if (kind === 'file') return readModelFile(path);
  if (kind !== 'folder') {
    throw new LockstepError('E_CHECKPOINT', {
      where: path,
      expected: 'the folder of a run or a checkpoint, or a model file',
      got: kind === undefined ? 'nothing there' : 'neither a folder nor a file',
      fix: 'check the path; lockstep train --run-dir DIR makes a run folder',
    });
  }
  const folder = runFolder(path);
  return best === undefined ? findCheckpoint(nodeFs, folder, 'model').checkpoint : findBest(folder, best);
}

function pathOf(source: unknown): string {
  const isText = typeof source === 'string' && source !== '';
  if (source instanceof URL || (isText && source.startsWith('file:'))) return fileURLToPath(source);
  if (isText) return source;
  throw new LockstepError('E_OPTION', {
    where: 'Predictor.load',
    expected: 'a path, a file: URL or the bytes of a model file',
    got: source === '' ? 'an empty text' : typeof source,
    fix: 'give the folder of a run, or a model file',
  });
}

/** A checkpoints folder stands for its run. */
function runFolder(path: string): string {
  const folder = resolve(path);
  const isCheckpoints = basename(folder) === 'checkpoints' && listCheckpoints(nodeFs, dirname(folder)).length > 0;
  return isCheckpoints ? dirname(folder) : path;
}

function findBest(folder: string, monitor: string): StoredModel {
  const candidates = listCheckpoints(nodeFs, folder).map(({ step, path }) => {
    const metrics = metricsOf(path);
    return { step, path, metric: metrics[monitor], names: Object.keys(metrics) };
  });
  const ranked = rankBest(candidates, directionOf(monitor));
  for (const { path } of ranked) {
    try {
      return findCheckpoint(nodeFs, path, 'model').checkpoint;
    } catch (error) {
      if (!(error instanceof LockstepError)) throw error; // damaged: the next best
    }
  }
  if (candidates.length === 0) return findCheckpoint(nodeFs, folder, 'model').checkpoint; // one checkpoint, or the error
  const names = [...new Set(candidates.flatMap((c) => c.names))];
  throw new LockstepError('E_OPTION', {
    where: `${folder}: best`,
    expected: `a metric of its checkpoints (${names.join(', ') || 'they have none: the job has no validation'})`,
    got: monitor,
    fix: 'name one of them, or leave it out to take the newest checkpoint',
  });
}

function metricsOf(path: string): Readonly<Record<string, number>> {
  try {
    return readManifest(nodeFs, path).metrics;
  } catch (error) {
    if (error instanceof LockstepError) return {}; // damaged: not a candidate
    throw error;
  }
}

/** 'val.accuracy' is better when larger; so is what is not a standard metric. */
function directionOf(monitor: string): 'min' | 'max' {
  const name = monitor.slice(monitor.indexOf('.') + 1);
  if (name === 'loss') return 'min';
  try {
    return standardMetric(name).mode;
  } catch (error) {
    if (error instanceof LockstepError) return 'max';
    throw error;
  }
}
