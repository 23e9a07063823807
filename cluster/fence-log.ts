import { closeSync, constants, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { nodeFs } from '../src/checkpoint/store-fs.ts';
import { LockstepError } from '../src/errors.ts';
import { decodeRecords, encodeRecord, type FenceRecord, type FenceState, fenceState } from './fence.ts';

export const FENCE_FILE = 'fence.log';

/** What the log does with a file: one system call each, so that tests can fail any of them. */
export interface LogFs {
  /** For reading and appending; made if need be. */
  open(path: string): number;
  /** All of it. */
  read(file: number): Uint8Array;
  /** At the end; may write less than given. Gives how much. */
  append(file: number, bytes: Uint8Array): number;
  truncate(file: number, bytes: number): void;
  /** Makes the content durable. */
  sync(file: number): void;
  close(file: number): void;
  /** Makes the names in a folder durable. */
  syncFolder(path: string): void;
}

export const nodeLogFs: LogFs = {
  open: (path) => openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600),
  read: (file) => readFileSync(file),
  append: (file, bytes) => writeSync(file, bytes),
  truncate: ftruncateSync,
  sync: fsyncSync,
  close: closeSync,
  syncFolder: nodeFs.syncFolder,
};

/** The log of one coordinator: it has an epoch of its own before it says a word to a node. */
export interface FenceLog extends FenceState {
  /** Ours: one more than any coordinator of this run folder had. */
  readonly fence: number;
  /** Durably lowers the step after which the run ends. @throws E_RUN_DIR where it cannot be kept; it does not hold then. */
  lower(step: number): void;
  /** The run has ended after `step` by somebody's wish, and its checkpoint is durable: the wish is fulfilled. @throws E_RUN_DIR */
  end(step: number): void;
  close(): void;
}

/**
 * Takes the next fencing epoch of a run folder whose lock this process holds. A record is either durable or not in the log.
 *
 * @throws E_RUN_DIR for a damaged log, and where it cannot be written.
 */
export function openFenceLog(runDir: string, fs: LogFs = nodeLogFs, now = () => new Date()): FenceLog {
  const path = join(runDir, FENCE_FILE);
  let file: number;
  try {
    file = fs.open(path);
  } catch (cause) {
    throw unkept(path, cause);
  }
  try {
    const { records, whole } = read(fs, file, path);
    const log = new AppendLog(fs, file, path, whole);
    const at = () => now().toISOString();
    const append = (record: FenceRecord) => {
      log.append(encodeRecord(record));
      records.push(record);
    };
    append({ kind: 'start', fence: fenceState(records).fence + 1, at: at() });
    try {
      fs.syncFolder(runDir);
    } catch (cause) {
      throw unkept(path, cause);
    }
    const { fence } = fenceState(records);
    return {
      fence,
      get limit() {
        return fenceState(records).limit;
      },
      lower: (step) => append({ kind: 'limit', step, at: at() }),
      end: (step) => append({ kind: 'end', step, at: at() }),
      close: () => log.close(),
    };
  } catch (error) {
    fs.close(file);
    throw error;
  }
}

/** Has the next coordinator of a run folder end its run after a step. @throws E_RUN_DIR */
export function limitRun(runDir: string, step: number): void {
  mkdirSync(runDir, { recursive: true });
  const log = openFenceLog(runDir);
  try {
    log.lower(step);
  } finally {
    log.close();
  }
}

/** Reads the log of a run folder without taking an epoch: what its last coordinator left. */
export function readFenceLog(runDir: string, fs: LogFs = nodeLogFs): FenceState {
  const path = join(runDir, FENCE_FILE);
  if (nodeFs.stat(path) === undefined) return fenceState([]);
  const file = fs.open(path);
  try {
    return fenceState(read(fs, file, path).records);
  } finally {
    fs.close(file);
  }
}

function read(fs: LogFs, file: number, path: string): ReturnType<typeof decodeRecords> {
  let bytes: Uint8Array;
  try {
    bytes = fs.read(file);
  } catch (cause) {
    throw unkept(path, cause);
  }
  return decodeRecords(bytes, path);
}

class AppendLog {
  readonly #fs: LogFs;
  readonly #file: number;
  readonly #path: string;
  /** Bytes of whole records. What lies behind them is torn, and goes before the next record comes. */
  #whole: number;
  #torn = true;
  /** After a failed fsync nobody knows what the disk holds, and a second one may succeed without having written it. */
  #lost: unknown;
  #closed = false;

  constructor(fs: LogFs, file: number, path: string, whole: number) {
    this.#fs = fs;
    this.#file = file;
    this.#path = path;
    this.#whole = whole;
  }

  append(bytes: Uint8Array): void {
    if (this.#closed) throw new RangeError('fence log: closed');
    if (this.#lost !== undefined) throw unkept(this.#path, this.#lost);
    try {
      if (this.#torn) this.#fs.truncate(this.#file, this.#whole);
      this.#torn = true;
      for (let done = 0; done < bytes.length; ) done += this.#fs.append(this.#file, bytes.subarray(done));
    } catch (cause) {
      this.#forget();
      throw unkept(this.#path, cause);
    }
    try {
      this.#fs.sync(this.#file);
    } catch (cause) {
      this.#lost = cause;
      throw unkept(this.#path, cause);
    }
    this.#torn = false;
    this.#whole += bytes.length;
  }

  /** Takes back half a record, where the disk lets us; if not, the next reader passes over it. */
  #forget(): void {
    try {
      this.#fs.truncate(this.#file, this.#whole);
    } catch {
      // said already: it was the disk that failed
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#fs.close(this.#file);
  }
}

function unkept(path: string, cause: unknown): LockstepError {
  return new LockstepError('E_RUN_DIR', {
    where: path,
    expected: 'room for the log of the coordinator, and the right to write it',
    got: cause instanceof Error ? cause.message : String(cause),
    fix: 'make room or grant the right to write, or choose another folder (--run-dir, runDir)',
    cause,
  });
}
