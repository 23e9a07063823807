import { existsSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, relative, resolve, sep } from 'node:path';
import { profileCsv } from '../data/csv-profile.ts';
import { resolveFile } from '../data/files.ts';
import { profileParquet } from '../data/parquet-profile.ts';
import { LockstepError } from '../errors.ts';
import { formatCount, formatTable, plural } from './format.ts';
import { isParquet, type JobPlan, lacking, planJob } from './init-plan.ts';
import { describeColumn, renderJob } from './init-text.ts';
import type { Io } from './io.ts';

export interface InitCommandOptions {
  readonly target?: string;
  readonly task?: 'classification' | 'regression';
  readonly out: string;
  readonly runDir?: string;
  readonly delimiter?: string;
  readonly workers?: number | 'auto';
  /** false: `--no-header`. */
  readonly header: boolean;
  /** false: `--no-train`. */
  readonly train: boolean;
  readonly force?: boolean;
  readonly quiet?: boolean;
}

const EXTENSIONS = ['.ts', '.mts', '.js', '.mjs'];

/** `lockstep init <table>`: looks at the columns, writes a job for them, and trains it at once. */
export async function initCommand(path: string, options: InitCommandOptions, io: Io): Promise<void> {
  if (options.target !== undefined) checkOut(options);
  const file = resolveFile(path, process.cwd(), 'current folder');
  const { delimiter, header } = options;
  const profile = isParquet(file)
    ? await profileParquet(file, io.stop)
    : await profileCsv(file, { delimiter, header, signal: io.stop });
  const { target } = options;
  if (target === undefined) {
    for (const line of formatTable(
      ['column', 'what it is'],
      profile.columns.map((c) => [c.name, describeColumn(c)]),
    ))
      io.out(line);
    throw new LockstepError('E_OPTION', {
      where: 'option --target',
      expected: 'the column to predict',
      got: 'none',
      fix: `choose one: lockstep init ${path} --target ${profile.columns[profile.columns.length - 1].name}`,
    });
  }
  const plan = planJob(profile, { file: path, target, task: options.task, header });
  const runDir = options.runDir ?? freeRunDir(target);
  const data = relative(dirname(resolve(options.out)), file)
    .split(sep)
    .join('/');
  writeJob(options, renderJob(plan, { data, job: options.out, runDir }));
  for (const line of describePlan(plan, path, options.out)) io.out(line);
  if (!options.train) {
    io.out(`next: lockstep train ${options.out} --run-dir ${runDir}`);
    return;
  }
  io.out(`lockstep train ${options.out} --run-dir ${runDir}`);
  const { trainCommand } = await import('./train.ts');
  await trainCommand(options.out, { runDir, workers: options.workers, quiet: options.quiet, set: [] }, io);
  if (io.stop.aborted) return;
  io.out(`the model is in ${runDir}; next:`);
  io.out(`  lockstep predict ${runDir} new.csv --best val.loss > answers.csv`);
  io.out(
    `  lockstep check ${options.out}; lockstep lr-find ${options.out}; then change ${options.out} and train again`,
  );
}

function checkOut({ out, force }: InitCommandOptions): void {
  if (!EXTENSIONS.includes(extname(out))) {
    throw outError(
      out,
      `a name that ends in ${EXTENSIONS.join(', ')}`,
      `"${extname(out)}"`,
      'for example --out train.ts',
    );
  }
  if (existsSync(out) && !force) throw exists(out);
}

/** Between the check and now somebody may have written it. */
function writeJob({ out, force }: InitCommandOptions, text: string): void {
  try {
    writeFileSync(out, text, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'code') === 'EEXIST') throw exists(out);
    const got = error instanceof Error ? error.message : String(error);
    throw outError(out, 'a file that can be written', got, 'choose another place: --out FILE');
  }
}

function exists(out: string): LockstepError {
  return outError(
    out,
    'a file that does not exist yet',
    'one that does',
    '--force overwrites it, --out FILE writes another',
  );
}

function outError(out: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_OPTION', { where: `option --out ${out}`, expected, got, fix });
}

/** runs/<target>, or with a number where that is taken. */
function freeRunDir(target: string): string {
  const slug =
    target
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, '-')
      .replace(/^-|-$/g, '') || 'model';
  for (let n = 1; ; n++) {
    const dir = `runs/${n === 1 ? slug : `${slug}-${n}`}`;
    if (!existsSync(dir)) return dir;
  }
}

/** Pure. */
export function describePlan(plan: JobPlan, path: string, out: string): string[] {
  const { target, task, hidden, outputs, inputs } = plan;
  const rows = plan.columns.map(({ column, ignored }) => [
    column.name,
    column === target ? 'target' : ignored === undefined ? column.type : 'ignored',
    formatCount(column.count),
    formatCount(lacking(column)),
    ignored ?? describeColumn(column),
  ]);
  const answer = task === 'classification' ? `${outputs} classes` : 'a number';
  return [
    `${basename(path)}: ${plural(plan.rows, 'row')}, ${plural(plan.columns.length, 'column')}`,
    ...formatTable(['column', 'used as', 'values', 'missing', 'what it is'], rows),
    ...plan.notes.map((note) => `note: ${note}`),
    `wrote ${out}: ${plural(inputs, 'input')} -> ${hidden.join(' -> ')} -> ${answer} (${task})`,
  ];
}
