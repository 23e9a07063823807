import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LockstepError } from '../errors.ts';

type Bytes = Uint8Array | Int32Array | Float32Array | Float64Array;

/** Closes the files of data sets that nobody has any more. */
const forgotten = new FinalizationRegistry<number>((fd) => closeSync(fd));

/**
 * A file for data that does not fit into memory, in the system's folder for temporary files (TMPDIR). It has no name from the moment
 * it is open: its room is given back when it is closed, when its data set is forgotten, or when the process ends, however it ends.
 * Threads of this process may read by `fd`.
 */
export class ScratchFile {
  readonly fd: number;
  #end = 0;
  #open = true;

  constructor() {
    const path = join(tmpdir(), `lockstep-${randomUUID()}`);
    try {
      this.fd = openSync(path, 'wx+', 0o600);
    } catch (error) {
      throw this.#noRoom(0, error);
    }
    unlinkSync(path);
    forgotten.register(this, this.fd, this);
  }

  /** Reserves `bytes` and gives their place, aligned for every element type. */
  allocate(bytes: number): number {
    const at = this.#end;
    this.#end += Math.ceil(bytes / 64) * 64;
    return at;
  }

  /** Throws E_MEMORY if the disk is full. */
  write(values: Bytes, at: number): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.fd, bytes, done, bytes.length - done, at + done);
    } catch (error) {
      throw this.#noRoom(bytes.length, error);
    }
  }

  /** Fills `values` from `at` on. */
  read(values: Bytes, at: number): void {
    readFully(this.fd, values, at);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    forgotten.unregister(this);
    closeSync(this.fd);
  }

  #noRoom(bytes: number, cause: unknown): LockstepError {
    return new LockstepError('E_MEMORY', {
      where: `temporary file in ${tmpdir()}`,
      expected: `room for the chunks of the data${bytes > 0 ? ` (${Math.ceil((this.#end + bytes) / 2 ** 20)} MiB so far)` : ''}`,
      got: cause instanceof Error ? cause.message : String(cause),
      fix: 'make room, or set TMPDIR to a folder on a larger disk',
      cause,
    });
  }
}

/** Fills `values` from byte `at` of an open file on; any thread of the process. Throws E_DATA_FORMAT if there are fewer. */
export function readFully(fd: number, values: Bytes, at: number): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(fd, bytes, done, bytes.length - done, at + done);
    if (count === 0) {
      throw new LockstepError('E_DATA_FORMAT', {
        where: 'the chunks of the data',
        expected: `${bytes.length} bytes at ${at}`,
        got: `${done}`,
        fix: 'start the run again: somebody has changed its temporary file',
      });
    }
    done += count;
  }
}
