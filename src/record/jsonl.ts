import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LockstepError } from '../errors.ts';
import type { EvaluationRecord, RunHeader, Sink, StepRecord } from './contract.ts';

/** The file in the run folder. */
export const METRICS_FILE = 'metrics.jsonl';

/** Text that may wait for a slow disk before `steps` asks its caller to wait. */
const HIGH_WATER = 1024 * 1024;

/**
 * Writes a run to `<runDir>/metrics.jsonl`, a JSON object a line: the header, then `{"kind":"step",...}` and
 * `{"kind":"evaluation",...}` in order. Numbers that JSON does not have are the strings "NaN", "Infinity" and "-Infinity"
 * (`Number(value)` reads them back). A folder that was used before is appended to; each header begins a run.
 *
 * Lines are written as they come; while a write is under way the next ones gather. `steps` and `evaluation` never reject:
 * what they return settles when there is room again. The first failed write is reported by `close`, as E_RUN_DIR.
 */
export class JsonlSink implements Sink {
  readonly #folder: string;
  #file: FileHandle | undefined;
  #waiting: string[] = [];
  #waitingLength = 0;
  #writing: Promise<void> | undefined;
  #failure: LockstepError | undefined;

  constructor(runDir: string) {
    this.#folder = resolve(runDir);
  }

  /** Creates the folder and writes the header. Throws E_RUN_DIR where that is not possible. */
  async open(header: RunHeader): Promise<void> {
    try {
      await mkdir(this.#folder, { recursive: true });
      this.#file = await open(join(this.#folder, METRICS_FILE), 'a+');
      await this.#endTornLine(this.#file);
    } catch (cause) {
      await this.#file?.close();
      this.#file = undefined;
      throw runDirError(this.#folder, 'a folder that can be written', cause);
    }
    this.#append(toLine(header));
    await this.#flush();
    if (this.#failure) await this.close();
  }

  steps(records: readonly StepRecord[]): void | Promise<void> {
    for (const record of records) this.#append(toLine({ kind: 'step', ...record }));
    return this.#room();
  }

  evaluation(record: EvaluationRecord): void | Promise<void> {
    this.#append(toLine({ kind: 'evaluation', ...record }));
    return this.#room();
  }

  /** Writes what waits and makes it durable. Throws E_RUN_DIR if any line was lost. Closing twice does nothing. */
  async close(): Promise<void> {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    await this.#flush();
    try {
      if (!this.#failure) await file.sync();
    } catch (cause) {
      this.#failure = runDirError(this.#folder, 'room for metrics.jsonl', cause);
    } finally {
      await file.close();
    }
    if (this.#failure) throw this.#failure;
  }

  #append(line: string): void {
    if (!this.#file || this.#failure) return;
    this.#waiting.push(line);
    this.#waitingLength += line.length;
    if (!this.#writing) this.#writing = this.#write(this.#file);
  }

  /** Undefined while there is room, else a promise of it. */
  #room(): Promise<void> | undefined {
    return this.#waitingLength < HIGH_WATER ? undefined : this.#flush();
  }

  async #flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  /** One writer at a time, until nothing waits. Never rejects. */
  async #write(file: FileHandle): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const text = this.#waiting.join('');
        this.#waiting = [];
        this.#waitingLength = 0;
        await file.appendFile(text);
      }
    } catch (cause) {
      this.#failure = runDirError(this.#folder, 'room for metrics.jsonl', cause);
      this.#waiting = [];
      this.#waitingLength = 0;
    } finally {
      this.#writing = undefined;
    }
  }

  /** A run that was killed may have left half a line; this run begins on its own. */
  async #endTornLine(file: FileHandle): Promise<void> {
    const { size } = await file.stat();
    if (size === 0) return;
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    if (buffer[0] !== 10) await file.appendFile('\n');
  }
}

/** A value as one line of JSON; numbers that JSON lacks as strings. */
export function toLine(value: unknown): string {
  return `${JSON.stringify(value, (_, item) => (typeof item === 'number' && !Number.isFinite(item) ? String(item) : item))}\n`;
}

function runDirError(folder: string, expected: string, cause: unknown): LockstepError {
  return new LockstepError('E_RUN_DIR', {
    where: `run folder ${folder}`,
    expected,
    got: cause instanceof Error ? cause.message : String(cause),
    fix: 'choose another folder (--run-dir, runDir) or make room and grant the right to write',
    cause,
  });
}
