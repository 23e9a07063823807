import { appendFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { toLine } from '../record/jsonl.ts';
import type { RacePlan, TrialResult } from './contract.ts';

/** The file in the folder of a comparison. */
export const JOURNAL_FILE = 'trials.jsonl';

/** A number that JSON may lack: NaN and the infinities are written as strings. */
export const real = z.union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity']).transform((text) => Number(text))]);

export const trialSchema = z.object({
  id: z.string(),
  phase: z.enum(['calibrate', 'tune', 'final']),
  optimizer: z.string(),
  lr: z.number(),
  seed: z.number(),
  stopStep: z.number(),
  totalSteps: z.number(),
  stepsOfJob: z.number().optional(),
  evaluateEvery: z.number(),
});

export const pointSchema = z.object({
  step: z.number(),
  samples: z.number(),
  seconds: z.number(),
  loss: real,
  metrics: z.record(z.string(), real),
});

export const resultSchema = z.object({
  trial: trialSchema,
  outcome: z.enum(['finished', 'diverged', 'crashed']),
  message: z.string().optional(),
  curve: z.array(pointSchema),
  secondsPerStep: real,
  wallSeconds: z.number(),
  cpuSeconds: z.number(),
}) satisfies z.ZodType<TrialResult>;

const planSchema = z.object({
  objective: z.object({ metric: z.string(), mode: z.enum(['min', 'max']), target: z.number().optional() }),
  entries: z.array(z.object({ optimizer: z.string(), grid: z.array(z.number()) })),
  rungs: z.array(z.object({ step: z.number(), promoted: z.number(), extras: z.number() })),
  totalSteps: z.number(),
  stepsOfJob: z.number().optional(),
  evaluateEvery: z.number(),
  tuningSeed: z.number(),
  finalSeeds: z.array(z.number()),
  finalists: z.number(),
}) satisfies z.ZodType<RacePlan>;

const headSchema = z.object({
  kind: z.literal('race'),
  version: z.literal(1),
  /** What the race is about: job and options, as plain data. Going on needs the same. */
  request: z.record(z.string(), z.unknown()),
  plan: planSchema,
});

export interface JournalState {
  readonly request: Readonly<Record<string, unknown>>;
  readonly plan: RacePlan;
  readonly results: readonly TrialResult[];
}

/**
 * A race on disk, a JSON object a line: what it is about and its plan, then every result as it comes. A line that a crash cut
 * off is dropped when the journal is opened again.
 */
export class Journal {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** What an earlier race left in the folder; undefined where there is none. @throws E_RUN_DIR for a damaged journal. */
  static async read(folder: string): Promise<JournalState | undefined> {
    const path = join(folder, JOURNAL_FILE);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw folderError(folder, 'a journal that can be read', error);
    }
    const lines = wholeLines(text);
    if (lines.length === 0) return undefined;
    try {
      const head = headSchema.parse(JSON.parse(lines[0]));
      const results = lines.slice(1).map((line) => resultSchema.parse(JSON.parse(line)));
      return { request: head.request, plan: head.plan, results };
    } catch (error) {
      throw folderError(folder, 'a journal of this version', error);
    }
  }

  /** A new journal in a folder that has none. */
  static async create(folder: string, request: Readonly<Record<string, unknown>>, plan: RacePlan): Promise<Journal> {
    const path = join(folder, JOURNAL_FILE);
    try {
      await mkdir(folder, { recursive: true });
      await writeFile(path, toLine({ kind: 'race', version: 1, request, plan }));
    } catch (error) {
      throw folderError(folder, 'a folder that can be written', error);
    }
    return new Journal(path);
  }

  /** The journal that is there, to be continued; half a line at its end is cut off. */
  static async reopen(folder: string): Promise<Journal> {
    const path = join(folder, JOURNAL_FILE);
    const text = await readFile(path, 'utf8');
    const whole = wholeLines(text)
      .map((line) => `${line}\n`)
      .join('');
    await truncate(path, Buffer.byteLength(whole));
    return new Journal(path);
  }

  async add(result: TrialResult): Promise<void> {
    await appendFile(this.#path, toLine(result));
  }
}

function wholeLines(text: string): string[] {
  const lines = text.split('\n');
  lines.pop(); // what follows the last line end: nothing, or half a line
  return lines;
}

function folderError(folder: string, expected: string, cause: unknown): LockstepError {
  const got =
    cause instanceof z.ZodError
      ? z.prettifyError(cause).split('\n')[0]
      : cause instanceof Error
        ? cause.message
        : String(cause);
  return new LockstepError('E_RUN_DIR', {
    where: `comparison in ${folder}`,
    expected,
    got,
    fix: 'choose another folder with --run-dir, or remove this one',
    cause,
  });
}
