import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { LockstepError } from '../errors.ts';
import { METRICS_FILE } from './jsonl.ts';
import { MetricsParser, type MetricsVisitor } from './metrics-parser.ts';

const PIECE_BYTES = 4 * 1024 * 1024;

/** The records of a run folder, read as far as they are written; more may come. */
export class MetricsFile {
  readonly #folder: string;
  readonly #file: FileHandle;
  readonly #parser: MetricsParser;
  readonly #buffer = new Uint8Array(PIECE_BYTES);
  #at = 0;

  private constructor(folder: string, file: FileHandle, visitor: MetricsVisitor) {
    this.#folder = folder;
    this.#file = file;
    this.#parser = new MetricsParser(visitor);
  }

  /** @throws E_RUN_DIR where there is none. */
  static async open(runDir: string, visitor: MetricsVisitor): Promise<MetricsFile> {
    try {
      return new MetricsFile(runDir, await open(join(runDir, METRICS_FILE)), visitor);
    } catch (cause) {
      throw unreadable(runDir, cause);
    }
  }

  /** Reads what has been written since the last time, and gives how many bytes that were. @throws E_RUN_DIR where it cannot be read. */
  async readMore(): Promise<number> {
    const before = this.#at;
    for (;;) {
      const bytesRead = await this.#read();
      if (bytesRead === 0) return this.#at - before;
      this.#at += bytesRead;
      this.#parser.feed(this.#buffer.subarray(0, bytesRead));
    }
  }

  async #read(): Promise<number> {
    try {
      return (await this.#file.read(this.#buffer, 0, PIECE_BYTES, this.#at)).bytesRead;
    } catch (cause) {
      throw unreadable(this.#folder, cause);
    }
  }

  /** Lines that could not be read. */
  get damaged(): number {
    return this.#parser.damaged;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function unreadable(runDir: string, cause: unknown): LockstepError {
  const none = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
  return new LockstepError('E_RUN_DIR', {
    where: `run folder ${runDir}`,
    expected: `a folder with ${METRICS_FILE}, as \`lockstep train --run-dir\` writes it`,
    got: none ? 'none' : cause instanceof Error ? cause.message : String(cause),
    fix: '`lockstep runs` lists those that are here',
    cause,
  });
}
