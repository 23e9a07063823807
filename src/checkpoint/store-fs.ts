import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  writeSync,
} from 'node:fs';

/**
 * What the store does with a file system, synchronous and one system call each, so that tests can fail or end any of them.
 * Methods throw what node:fs throws (`code` such as ENOENT, ENOSPC).
 */
export interface StoreFs {
  /** With its parents; a folder that exists is fine. */
  makeFolder(path: string): void;
  /** Names in a folder, in any order. */
  list(path: string): string[];
  /** Links are not followed. Undefined: nothing there. */
  stat(path: string): { kind: 'file' | 'folder' | 'other'; bytes: number } | undefined;
  /** A new file to write (fails where one exists), or a file to read. */
  open(path: string, mode: 'write' | 'read'): number;
  /** May write less than `length`; gives how much. */
  write(file: number, bytes: Uint8Array, offset: number, length: number): number;
  /** May read less than `length`; 0 at the end. */
  read(file: number, bytes: Uint8Array, offset: number, length: number): number;
  /** Makes the content durable. */
  sync(file: number): void;
  close(file: number): void;
  /** Makes the names in a folder durable. */
  syncFolder(path: string): void;
  /** Atomic. Fails where `to` is a folder that is not empty. */
  rename(from: string, to: string): void;
  /** A file or a folder with all that is in it; nothing there is fine. */
  remove(path: string): void;
}

export const nodeFs: StoreFs = {
  makeFolder: (path) => void mkdirSync(path, { recursive: true }),
  list: (path) => readdirSync(path),
  stat(path) {
    const found = lstat(path);
    if (!found) return undefined;
    return { kind: found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other', bytes: found.size };
  },
  open: (path, mode) => openSync(path, mode === 'write' ? 'wx' : 'r'),
  write: (file, bytes, offset, length) => writeSync(file, bytes, offset, length),
  read: (file, bytes, offset, length) => readSync(file, bytes, offset, length, null),
  sync: fsyncSync,
  close: closeSync,
  syncFolder(path) {
    if (process.platform === 'win32') return; // folders cannot be opened there; NTFS logs renames
    const folder = openSync(path, 'r');
    try {
      fsyncSync(folder);
    } catch (error) {
      // Some network file systems have no fsync of folders; they commit names by themselves.
      if (!isErrno(error, 'EINVAL', 'ENOTSUP', 'ENOSYS')) throw error;
    } finally {
      closeSync(folder);
    }
  },
  rename: renameSync,
  remove: (path) => rmSync(path, { recursive: true, force: true }),
};

/** A path through something that is no folder leads to nothing, too. */
function lstat(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (isErrno(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Whether an error is one of these of the operating system. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
