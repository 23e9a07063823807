import { readFileSync, type Stats, statSync } from 'node:fs';
import { damaged } from './damage.ts';
import { decodeModel, type StoredModel } from './model-file.ts';
import { isErrno } from './store-fs.ts';

/** What lies at a path that a user gave: links are followed. */
export function kindOf(path: string): 'file' | 'folder' | 'other' | undefined {
  const found = statOf(path);
  if (!found) return undefined;
  return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other';
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (isErrno(error, 'ENOTDIR')) return undefined;
    throw damaged(path, 'a path that can be looked at', messageOf(error), error);
  }
}

/** @throws E_CHECKPOINT for a file that cannot be read or is no model file. */
export function readModelFile(path: string): StoredModel {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw damaged(path, 'a file that can be read', messageOf(error), error);
  }
  return decodeModel(bytes, path);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
