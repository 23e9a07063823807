import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { LockstepError } from '../errors.ts';

/** Bytes that may wait for a slow disk before `room` asks its caller to wait. */
const HIGH_WATER = 1024 * 1024;
/** Bytes in which the end of a first line is looked for. */
const LONGEST_HEAD = 64 * 1024;

/**
 * A file that grows at its end without anybody waiting for the disk: what is appended goes out as it comes, and gathers while a
 * write is under way. Nothing but `open` and `close` throws: the first failed write ends the writing and is reported by `close`.
 */
export class AppendFile {
  readonly #file: FileHandle;
  readonly #path: string;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #failure: LockstepError | undefined;
  #closed = false;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Opens or creates the file and its folder.
   *
   * @param lines end a last line that a killed process left torn. Default false.
   * @throws E_RUN_DIR where that is not possible.
   */
  static async open(path: string, { lines = false } = {}): Promise<AppendFile> {
    const whole = resolve(path);
    let file: FileHandle | undefined;
    try {
      await mkdir(dirname(whole), { recursive: true });
      file = await open(whole, 'a+');
      if (lines) await endTornLine(file);
      return new AppendFile(whole, file);
    } catch (cause) {
      await file?.close();
      throw fileError(dirname(whole), 'a folder that can be written', cause);
    }
  }

  /** The first line of what was in it when it was opened; undefined if nothing was. */
  async firstLine(): Promise<string | undefined> {
    const { size } = await this.#file.stat();
    if (size === 0) return undefined;
    const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(Math.min(size, LONGEST_HEAD)), 0, null, 0);
    return buffer.subarray(0, bytesRead).toString().split('\n', 1)[0];
  }

  append(data: string | Uint8Array): void {
    if (this.#closed || this.#failure) return;
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (!this.#writing) this.#writing = this.#write();
  }

  /** Undefined while there is room, else a promise of it. */
  room(): Promise<void> | undefined {
    return this.#waitingBytes < HIGH_WATER ? undefined : this.flush();
  }

  /** Resolves when all that was appended is with the operating system, or lost. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  /** The first failed write. */
  get failure(): LockstepError | undefined {
    return this.#failure;
  }

  /** Writes what waits and makes it durable. Closing twice does nothing. @throws E_RUN_DIR if anything was lost. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.flush();
    try {
      if (!this.#failure) await this.#file.sync();
    } catch (cause) {
      this.#failure = this.#lost(cause);
    } finally {
      await this.#file.close();
    }
    if (this.#failure) throw this.#failure;
  }

  /** One writer at a time, until nothing waits; what is appended in one go goes out in one write. Never rejects. */
  async #write(): Promise<void> {
    try {
      await undefined; // the caller may have more
      while (this.#waiting.length > 0) {
        const bytes = Buffer.concat(this.#waiting);
        this.#waiting = [];
        this.#waitingBytes = 0;
        await this.#file.appendFile(bytes);
      }
    } catch (cause) {
      this.#failure = this.#lost(cause);
      this.#waiting = [];
      this.#waitingBytes = 0;
    } finally {
      this.#writing = undefined;
    }
  }

  #lost(cause: unknown): LockstepError {
    return fileError(dirname(this.#path), `room for ${basename(this.#path)}`, cause);
  }
}

/** A run that was killed may have left half a line; this run begins on its own. */
async function endTornLine(file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  if (size === 0) return;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  if (buffer[0] !== 10) await file.appendFile('\n');
}

function fileError(folder: string, expected: string, cause: unknown): LockstepError {
  return new LockstepError('E_RUN_DIR', {
    where: `run folder ${folder}`,
    expected,
    got: cause instanceof Error ? cause.message : String(cause),
    fix: 'choose another folder (--run-dir, runDir) or make room and grant the right to write',
    cause,
  });
}
