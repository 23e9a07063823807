import { join, resolve } from 'node:path';
import { AppendFile } from './append-file.ts';
import type { RunHeader, Sink, SinkRecord, StepRecord } from './contract.ts';

/** The file in the run folder. */
export const METRICS_FILE = 'metrics.jsonl';

/**
 * Writes a run to `<runDir>/metrics.jsonl`, a JSON object a line: the header, then `{"kind":"step",...}`, `{"kind":"evaluation",...}` and
 * `{"kind":"event",...}` in order (no histograms: they are for pictures). Numbers that JSON does not have are the strings "NaN", "Infinity" and "-Infinity"
 * (`Number(value)` reads them back). A folder that was used before is appended to. Each header begins a run, or goes on with the one
 * before: then its `resumedAfter` is the last step that counts of what stands above it, for a killed process may have recorded more than
 * it saved.
 *
 * What `write` returns settles when there is room again. Once a write to the disk has failed (E_RUN_DIR) nothing more is written, so that no
 * line stands after a gap.
 */
export class JsonlSink implements Sink {
  readonly name = METRICS_FILE;
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

  write(records: readonly SinkRecord[]): void | Promise<void> {
    const file = this.#file;
    if (file?.failure) throw file.failure;
    file?.append(records.map((record) => (record.kind === 'histogram' ? '' : lineOf(record))).join(''));
    return file?.room();
  }

  /** Writes what waits and makes it durable. Throws E_RUN_DIR if any line was lost. Closing twice does nothing. */
  async close(): Promise<void> {
    await this.#file?.close();
  }
}

/** Most records are steps with finite numbers, which need no look at every value. */
function lineOf(record: SinkRecord): string {
  return record.kind === 'step' && hasFiniteNumbers(record) ? `${JSON.stringify(record)}\n` : toLine(record);
}

function hasFiniteNumbers({ loss, gradNorm, clipScale, lr, metrics }: StepRecord): boolean {
  if (!Number.isFinite(loss + gradNorm + clipScale + lr)) return false;
  for (const name in metrics) if (!Number.isFinite(metrics[name])) return false;
  return true;
}

/** A value as one line of JSON; numbers that JSON lacks as strings. */
export function toLine(value: unknown): string {
  return `${JSON.stringify(value, (_, item) => (typeof item === 'number' && !Number.isFinite(item) ? String(item) : item))}\n`;
}
