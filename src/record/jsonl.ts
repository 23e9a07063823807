import { join, resolve } from 'node:path';
import { AppendFile } from './append-file.ts';
import type { EvaluationRecord, RunHeader, Sink, StepRecord } from './contract.ts';

/** The file in the run folder. */
export const METRICS_FILE = 'metrics.jsonl';

/**
 * Writes a run to `<runDir>/metrics.jsonl`, a JSON object a line: the header, then `{"kind":"step",...}` and
 * `{"kind":"evaluation",...}` in order. Numbers that JSON does not have are the strings "NaN", "Infinity" and "-Infinity"
 * (`Number(value)` reads them back). A folder that was used before is appended to. Each header begins a run, or goes on with the one
 * before: then its `resumedAfter` is the last step that counts of what stands above it, for a killed process may have recorded more than
 * it saved.
 *
 * `steps` and `evaluation` never reject: what they return settles when there is room again. The first failed write is reported
 * by `close`, as E_RUN_DIR.
 */
export class JsonlSink implements Sink {
  readonly #folder: string;
  #file: AppendFile | undefined;

  constructor(runDir: string) {
    this.#folder = resolve(runDir);
  }

  /** Creates the folder and writes the header. Throws E_RUN_DIR where that is not possible. */
  async open(header: RunHeader): Promise<void> {
    const file = await AppendFile.open(join(this.#folder, METRICS_FILE), { lines: true });
    this.#file = file;
    file.append(toLine(header));
    await file.flush();
    if (file.failure) await file.close();
  }

  steps(records: readonly StepRecord[]): void | Promise<void> {
    for (const record of records) this.#file?.append(toLine({ kind: 'step', ...record }));
    return this.#file?.room();
  }

  evaluation(record: EvaluationRecord): void | Promise<void> {
    this.#file?.append(toLine({ kind: 'evaluation', ...record }));
    return this.#file?.room();
  }

  /** Writes what waits and makes it durable. Throws E_RUN_DIR if any line was lost. Closing twice does nothing. */
  async close(): Promise<void> {
    await this.#file?.close();
  }
}

/** A value as one line of JSON; numbers that JSON lacks as strings. */
export function toLine(value: unknown): string {
  return `${JSON.stringify(value, (_, item) => (typeof item === 'number' && !Number.isFinite(item) ? String(item) : item))}\n`;
}
