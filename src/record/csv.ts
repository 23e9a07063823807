import { join, resolve } from 'node:path';
import { AppendFile } from './append-file.ts';
import type { EvaluationRecord, RunHeader, Sink, StepRecord } from './contract.ts';

/** The files in the folder. */
export const STEPS_CSV = 'steps.csv';
export const EVALUATIONS_CSV = 'evaluations.csv';

const PHASES = ['stepMs', 'gatherMs', 'computeMs', 'waitMs', 'reduceMs', 'updateMs'] as const;

/**
 * Writes a run as two tables for spreadsheets and notebooks: `steps.csv`, a row a step (step, epoch, loss, the training metrics, lr,
 * gradNorm, clipScale, samples, milliseconds of the phases), and `evaluations.csv`, a row a number (step, epoch, split, metric, value,
 * seconds). A folder that was used before is appended to, without a second head. Numbers that are not finite are NaN, Infinity and
 * -Infinity. Behaves as `JsonlSink` where the disk is slow or full.
 */
export class CsvSink implements Sink {
  readonly #folder: string;
  #steps: AppendFile | undefined;
  #evaluations: AppendFile | undefined;
  /** Names of the training metrics in the order of their columns; unknown before the first record. */
  #metrics: readonly string[] | undefined;
  #headed = false;

  constructor(folder: string) {
    this.#folder = resolve(folder);
  }

  /** Creates folder and files. Throws E_RUN_DIR where that is not possible. */
  async open(_header: RunHeader): Promise<void> {
    const steps = await AppendFile.open(join(this.#folder, STEPS_CSV), { lines: true });
    this.#steps = steps;
    this.#headed = !(await steps.isEmpty());
    const evaluations = await AppendFile.open(join(this.#folder, EVALUATIONS_CSV), { lines: true });
    this.#evaluations = evaluations;
    if (await evaluations.isEmpty()) evaluations.append(line(['step', 'epoch', 'split', 'metric', 'value', 'seconds']));
  }

  steps(records: readonly StepRecord[]): void | Promise<void> {
    const file = this.#steps;
    if (!file) return;
    for (const record of records) {
      this.#metrics ??= Object.keys(record.metrics);
      if (!this.#headed) {
        const columns = [
          'step',
          'epoch',
          'loss',
          ...this.#metrics,
          'lr',
          'gradNorm',
          'clipScale',
          'samples',
          ...PHASES,
        ];
        file.append(line(columns));
        this.#headed = true;
      }
      const { step, epoch, loss, metrics, lr, gradNorm, clipScale, samples, timings } = record;
      const measured = this.#metrics.map((name) => metrics[name]);
      const phases = PHASES.map((name) => timings[name]);
      file.append(line([step, epoch, loss, ...measured, lr, gradNorm, clipScale, samples, ...phases]));
    }
    return file.room();
  }

  evaluation({ step, epoch, split, metrics, seconds }: EvaluationRecord): void | Promise<void> {
    for (const [name, value] of Object.entries(metrics)) {
      this.#evaluations?.append(line([step, epoch, split, name, value, seconds]));
    }
    return this.#evaluations?.room();
  }

  /** Makes both durable. Throws E_RUN_DIR if any row was lost. */
  async close(): Promise<void> {
    try {
      await this.#steps?.close();
    } finally {
      await this.#evaluations?.close();
    }
  }
}

function line(cells: readonly (string | number)[]): string {
  return `${cells.map(cell).join(',')}\n`;
}

/** RFC 4180: names may hold anything. */
function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
