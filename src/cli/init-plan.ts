import { MISSING_VALUES } from '../data/table-options.ts';
import type { ColumnProfile, TableProfile } from '../data/table-profile.ts';
import { closest, LockstepError } from '../errors.ts';

/** What `lockstep init` decides about a job, before it is written. */
export interface JobPlan {
  readonly rows: number;
  readonly trainingRows: number;
  readonly target: ColumnProfile;
  readonly task: 'classification' | 'regression';
  /** Every column with what it is used as. */
  readonly columns: readonly PlannedColumn[];
  /** Of the data source, beside target and task. */
  readonly source: {
    readonly kind: 'csv' | 'parquet';
    readonly delimiter?: string;
    readonly header?: false;
    readonly ignore: readonly string[];
    readonly missing?: 'mean' | 'drop';
    readonly missingValues?: readonly string[];
    readonly unknown?: 'zeros';
  };
  readonly validation: number;
  readonly test?: number;
  /** Numbers that a row becomes. */
  readonly inputs: number;
  /** Units of the hidden layers. */
  readonly hidden: readonly number[];
  /** Classes, or 1. */
  readonly outputs: number;
  readonly batchSize: number;
  readonly epochs: number;
  readonly patience: number;
  /** Epochs between two checkpoints. */
  readonly saveEvery: number;
  /** What the user should know. */
  readonly notes: readonly string[];
}

export interface PlannedColumn {
  readonly column: ColumnProfile;
  /** Why it is left out. */
  readonly ignored?: string;
}

export interface PlanOptions {
  readonly file: string;
  readonly target: string;
  readonly task?: 'classification' | 'regression';
  readonly header?: boolean;
}

/** Integers with more different values are numbers to predict, not classes: as `csv` has it. */
const MOST_INTEGER_CLASSES = 20;
/** As many categories as `csv` takes unless told otherwise. */
const MOST_CATEGORIES = 1000;
const FEWEST_ROWS = 10;
/** Fewer rows leave no test rows worth the name. */
const TEST_FROM_ROWS = 60;
/** About as many updates as a run takes at most. */
const UPDATES = 20_000;

/** Saving more often would take longer than training. */
const UPDATES_BETWEEN_SAVES = 60;

/** Decides what a job for this file looks like. Pure. @throws E_DATA_MISSING for an unknown target, E_OPTION for one that cannot be. */
export function planJob(profile: TableProfile, options: PlanOptions): JobPlan {
  const { rows } = profile;
  const target = findTarget(profile, options);
  const task = taskOf(target, options);
  checkTarget(target, task, options.file);
  if (rows < FEWEST_ROWS) {
    throw new LockstepError('E_DATA_EMPTY', {
      where: options.file,
      expected: `at least ${FEWEST_ROWS} rows`,
      got: String(rows),
      fix: 'collect more rows',
    });
  }
  const columns = profile.columns.map((column): PlannedColumn => {
    const ignored = column === target ? undefined : reasonToIgnore(column);
    return ignored === undefined ? { column } : { column, ignored };
  });
  const features = columns.filter(({ column, ignored }) => column !== target && ignored === undefined);
  if (features.length === 0) {
    throw new LockstepError('E_OPTION', {
      where: options.file,
      expected: 'a column to predict from, beside the target',
      got: columns.map(({ column, ignored }) => `${column.name}: ${ignored ?? 'the target'}`).join('; '),
      fix: 'add columns, or write the job by hand',
    });
  }
  const used = [target, ...features.map(({ column }) => column)];
  const withTest = rows >= TEST_FROM_ROWS;
  const trainingRows = Math.round(rows * (withTest ? 0.7 : 0.8));
  const batchSize = clamp(powerOfTwo(trainingRows / 20), 16, 512);
  const stepsPerEpoch = Math.ceil(trainingRows / batchSize);
  const width = clamp(powerOfTwo(Math.sqrt(trainingRows)), 16, 512);
  return {
    ...{ rows, trainingRows, target, task, columns, batchSize },
    source: {
      kind: isParquet(options.file) ? 'parquet' : 'csv',
      ...(profile.delimiter === undefined ||
      profile.delimiter === ',' ||
      (profile.delimiter === '\t' && /\.tsv(\.gz)?$/i.test(options.file))
        ? {}
        : { delimiter: profile.delimiter }),
      ...(options.header === false ? { header: false as const } : {}),
      ignore: columns.flatMap(({ column, ignored }) => (ignored === undefined ? [] : [column.name])),
      ...missingRule(target, used),
      ...(features.some(({ column }) => hasRareValues(column)) ? { unknown: 'zeros' as const } : {}),
    },
    validation: withTest ? 0.15 : 0.2,
    ...(withTest ? { test: 0.15 } : {}),
    inputs: features.reduce((sum, { column }) => sum + (column.type === 'category' ? column.distinct : 1), 0),
    hidden: [width, Math.max(16, width / 2)],
    outputs: task === 'classification' ? target.distinct : 1,
    epochs: clamp(Math.round(UPDATES / stepsPerEpoch), 10, 200),
    patience: stepsPerEpoch < 50 ? 20 : 8,
    saveEvery: clamp(Math.round(UPDATES_BETWEEN_SAVES / stepsPerEpoch), 1, 10),
    notes: task === 'classification' ? rareClasses(target) : [],
  };
}

/** Files that `parquet` reads, by their names; all others are for `csv`. */
export function isParquet(file: string): boolean {
  return /\.(parquet|pq)$/i.test(file);
}

function findTarget(profile: TableProfile, { file, target }: PlanOptions): ColumnProfile {
  const found = profile.columns.find((column) => column.name === target);
  if (found) return found;
  const names = profile.columns.map((column) => column.name);
  const near = closest(target, names);
  throw new LockstepError('E_DATA_MISSING', {
    where: `${file}: option --target`,
    expected: `one of its columns: ${names.slice(0, 30).join(', ')}${names.length > 30 ? ', ...' : ''}`,
    got: JSON.stringify(target),
    fix:
      near === undefined
        ? 'name the column to predict; --no-header names columns 0, 1, 2 ... where the first line is data'
        : `did you mean "${near}"?`,
  });
}

function taskOf({ type, numbers, distinct }: ColumnProfile, { task }: PlanOptions): 'classification' | 'regression' {
  if (task) return task;
  return type !== 'number' || (numbers?.integers && distinct <= MOST_INTEGER_CLASSES) ? 'classification' : 'regression';
}

function checkTarget(target: ColumnProfile, task: 'classification' | 'regression', file: string): void {
  const fail = (expected: string, got: string, fix: string) =>
    new LockstepError('E_OPTION', { where: `${file}: target "${target.name}"`, expected, got, fix });
  if (target.distinct < 2) {
    throw fail(
      'at least two different values',
      target.count === 0 ? 'no value' : 'the same in every row',
      'there is nothing to learn: choose another column',
    );
  }
  if (task === 'regression') {
    if (target.type === 'number') return;
    throw fail('numbers', `a ${target.type} column`, 'choose another column, or --task classification');
  }
  if (target.distinct > MOST_CATEGORIES || (target.type === 'category' && target.distinct > target.count / 2)) {
    throw fail(
      'classes that come many times each',
      `${show(target.distinct)} different values in ${target.count} rows`,
      target.type === 'number' ? '--task regression predicts the number itself' : 'choose another column',
    );
  }
}

/** Why nothing can be learnt from a column; undefined if something may. */
function reasonToIgnore({ name, type, count, missing, distinct, numbers }: ColumnProfile): string | undefined {
  if (count === 0) return 'no value in any row';
  if (distinct === 1) return 'the same value in every row';
  if (type === 'category') {
    if (distinct === count) return 'a different text in every row';
    if (distinct > MOST_CATEGORIES || distinct > Math.max(50, count / 5)) {
      return `${show(distinct)} different texts in ${count} rows: too many for categories`;
    }
    return undefined;
  }
  if (!numbers?.integers || distinct !== count || missing > 0 || count < FEWEST_ROWS) return undefined;
  const consecutive = numbers.max - numbers.min + 1 === count;
  const named = /^(id|index|key|row|no|nr|uuid)$|[_ -](id|no|nr|key)$|[a-z]I[dD]$/i.test(name);
  return consecutive || named ? 'a different number in every row, like an id' : undefined;
}

/** How cells without a value are treated: rows without a target cannot be used, features get what is typical. */
function missingRule(
  target: ColumnProfile,
  used: readonly ColumnProfile[],
): Pick<JobPlan['source'], 'missing' | 'missingValues'> {
  const odd = [...new Set(used.flatMap((column) => column.odd.map(([text]) => text)))];
  const missingValues = odd.length > 0 ? { missingValues: [...MISSING_VALUES, ...odd] } : {};
  if (lacking(target) > 0) return { missing: 'drop', ...missingValues };
  return used.some((column) => lacking(column) > 0) ? { missing: 'mean', ...missingValues } : {};
}

/** Cells that count as missing, with the texts among numbers. */
export function lacking({ missing, odd }: ColumnProfile): number {
  return missing + odd.reduce((sum, [, count]) => sum + count, 0);
}

/** A value that may lie in the validation rows alone. */
function hasRareValues({ type, values }: ColumnProfile): boolean {
  return type === 'category' && values.some(([, count]) => count < 20);
}

function rareClasses({ name, values }: ColumnProfile): string[] {
  const rare = values.filter(([, count]) => count < FEWEST_ROWS);
  if (rare.length === 0) return [];
  const list = rare.slice(0, 5).map(([text, count]) => `${text} (${count})`);
  return [
    `classes of ${name} with few rows: ${list.join(', ')}${rare.length > 5 ? ', ...' : ''}; a class that no training row has is an error`,
  ];
}

function powerOfTwo(value: number): number {
  return 2 ** Math.round(Math.log2(Math.max(1, value)));
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

function show(distinct: number): string {
  return Number.isFinite(distinct) ? String(distinct) : 'too many';
}
