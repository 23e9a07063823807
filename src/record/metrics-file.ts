import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { LockstepError } from '../errors.ts';
import { METRICS_FILE } from './jsonl.ts';
import { MetricsParser, type MetricsVisitor } from './metrics-parser.ts';

const PIECE_BYTES = 4 * 1024 * 1024;

/** The records of a run folder, read as far as they are written; more may come. */
export class MetricsFile {
  readonly #file: FileHandle;
  readonly #parser: MetricsParser;
  readonly #buffer = new Uint8Array(PIECE_BYTES);
  #at = 0;

  private constructor(file: FileHandle, visitor: MetricsVisitor) {
    this.#file = file;
    this.#parser = new MetricsParser(visitor);
  }

  /** @throws E_RUN_DIR where there is none. */
  static async open(runDir: string, visitor: MetricsVisitor): Promise<MetricsFile> {
    try {
      return new MetricsFile(await open(join(runDir, METRICS_FILE)), visitor);
    } catch (cause) {
      const none = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
      throw new LockstepError('E_RUN_DIR', {
        where: `run folder ${runDir}`,
        expected: `a folder with ${METRICS_FILE}, as \`lockstep train --run-dir\` writes it`,
        got: none ? 'none' : cause instanceof Error ? cause.message : String(cause),
        fix: '`lockstep runs` lists those that are here',
        cause,
      });
    }
  }

  /** Reads what has been written since the last time, and gives how many bytes that were. */
  async readMore(): Promise<number> {
    const before = this.#at;
    for (;;) {
      const { bytesRead } = await this.#file.read(this.#buffer, 0, PIECE_BYTES, this.#at);
      if (bytesRead === 0) return this.#at - before;
      this.#at += bytesRead;
      this.#parser.feed(this.#buffer.subarray(0, bytesRead));
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
