import { createReadStream, existsSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { LockstepError } from '../errors.ts';
import { AppendFile } from './append-file.ts';
import type { EvaluationRecord, RunHeader, Sink, SinkRecord, StepRecord } from './contract.ts';

/** The files in the folder. */
export const STEPS_CSV = 'steps.csv';
export const EVALUATIONS_CSV = 'evaluations.csv';

const EVALUATION_COLUMNS = ['step', 'epoch', 'split', 'metric', 'value', 'seconds'] as const;
const PHASES = ['stepMs', 'gatherMs', 'computeMs', 'waitMs', 'reduceMs', 'updateMs'] as const;

/**
 * Writes a run as two tables for spreadsheets and notebooks: `steps.csv`, a row a step (step, epoch, loss, the training metrics, lr,
 * gradNorm, clipScale, samples, milliseconds of the phases), and `evaluations.csv`, a row a number (step, epoch, split, metric, value,
 * seconds). A folder that was used before is appended to, without a second head, and a run that is resumed takes out the rows of steps that
 * it does again; a table of other columns is refused. Numbers that
 * are not finite are NaN, Infinity and -Infinity. Behaves as `JsonlSink` where the disk is slow or full.
 */
export class CsvSink implements Sink {
  readonly name = 'csv';
  readonly #folder: string;
  #steps: AppendFile | undefined;
  #evaluations: AppendFile | undefined;
  /** Names of the training metrics in the order of their columns; unknown before the first record. */
  #metrics: readonly string[] | undefined;
  /** The head that the file has already. */
  #head: string | undefined;
  /** Why rows are not written: the file belongs to a job with other metrics. */
  #refused: LockstepError | undefined;

  constructor(folder: string) {
    this.#folder = resolve(folder);
  }

  /** Creates folder and files. Throws E_RUN_DIR where that is not possible. */
  async open({ resumedAfter }: RunHeader): Promise<void> {
    if (resumedAfter !== undefined) {
      for (const name of [STEPS_CSV, EVALUATIONS_CSV]) await cutAfter(join(this.#folder, name), resumedAfter);
    }
    const steps = await AppendFile.open(join(this.#folder, STEPS_CSV), { lines: true });
    try {
      const evaluations = await AppendFile.open(join(this.#folder, EVALUATIONS_CSV), { lines: true });
      this.#head = await steps.firstLine();
      this.#steps = steps;
      this.#evaluations = evaluations;
      if ((await evaluations.firstLine()) === undefined) evaluations.append(line(EVALUATION_COLUMNS));
    } catch (error) {
      await steps.close();
      throw error;
    }
  }

  async write(records: readonly SinkRecord[]): Promise<void> {
    for (const record of records) {
      if (record.kind === 'step') this.#step(record);
      else if (record.kind === 'evaluation') this.#evaluation(record);
    }
    const failure = this.#refused ?? this.#steps?.failure ?? this.#evaluations?.failure;
    if (failure) throw failure;
    await this.#steps?.room();
    await this.#evaluations?.room();
  }

  #step(record: StepRecord): void {
    const file = this.#steps;
    if (!file || this.#refused) return;
    this.#metrics ??= this.#begin(file, Object.keys(record.metrics));
    if (this.#refused) return;
    const { step, epoch, loss, metrics, lr, gradNorm, clipScale, samples, timings } = record;
    const measured = this.#metrics.map((name) => metrics[name]);
    const phases = PHASES.map((name) => timings[name]);
    file.append(line([step, epoch, loss, ...measured, lr, gradNorm, clipScale, samples, ...phases]));
  }

  #evaluation({ step, epoch, split, metrics, seconds }: EvaluationRecord): void {
    for (const [name, value] of Object.entries(metrics)) {
      this.#evaluations?.append(line([step, epoch, split, name, value, seconds]));
    }
  }

  /** Writes the head, or holds the one that is there against the columns of this run. */
  #begin(file: AppendFile, metrics: readonly string[]): readonly string[] {
    const head = line(['step', 'epoch', 'loss', ...metrics, 'lr', 'gradNorm', 'clipScale', 'samples', ...PHASES]);
    if (this.#head === undefined) file.append(head);
    else if (`${this.#head}\n` !== head) {
      this.#refused = new LockstepError('E_RUN_DIR', {
        where: join(this.#folder, STEPS_CSV),
        expected: `the columns ${head.trimEnd()}`,
        got: this.#head,
        fix: 'choose another folder (--csv): this one holds the table of a job with other metrics',
      });
    }
    return metrics;
  }

  /** Makes both durable. Throws E_RUN_DIR if any row was lost. */
  async close(): Promise<void> {
    try {
      await this.#steps?.close();
    } finally {
      await this.#evaluations?.close();
    }
    if (this.#refused) throw this.#refused;
  }
}

/** Takes the rows of later steps from the end of a table, as far as the last run in it has written them. */
async function cutAfter(path: string, step: number): Promise<void> {
  if (!existsSync(path)) return;
  let at = 0;
  let before = 0;
  let cut: number | undefined;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    const now = /^\d+,/.test(line) ? Number.parseInt(line, 10) : before; // the head, or half a row
    if (now < before) cut = undefined; // another run
    if (now > step) cut ??= at;
    before = now;
    at += Buffer.byteLength(line) + 1;
  }
  if (cut !== undefined) await truncate(path, cut);
}

function line(cells: readonly (string | number)[]): string {
  return `${cells.map(cell).join(',')}\n`;
}

/** RFC 4180: names may hold anything. */
function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
