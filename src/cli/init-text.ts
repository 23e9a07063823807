import type { ColumnProfile } from '../data/table-profile.ts';
import { formatCount } from './format.ts';
import { type JobPlan, lacking } from './init-plan.ts';
import { literal, quoted } from './source-text.ts';

/** Columns that the head of the file lists. */
const MOST_LISTED = 40;
const LEARNING_RATE = 3e-3;

export interface JobTextOptions {
  /** The data file as the job names it: relative to the job. */
  readonly data: string;
  /** As the commands name it. */
  readonly job: string;
  readonly runDir: string;
}

/** The job as a module: plain code with a comment wherever something was decided. Pure. */
export function renderJob(plan: JobPlan, { data, job, runDir }: JobTextOptions): string {
  const regression = plan.task === 'regression';
  const head = [
    `Predicts ${plan.target.name} from the other columns of ${data}. Written by lockstep init: it is yours to change.`,
    '',
    ...aligned([
      [`lockstep train ${job} --run-dir ${runDir} --resume auto`, 'goes on where it stopped'],
      [`lockstep check ${job}`, 'does everything work?'],
      [`lockstep predict ${runDir} new.csv --best val.loss`, 'answers for new rows'],
    ]),
    '',
    `${formatCount(plan.rows)} rows. Columns:`,
    ...plan.columns.slice(0, MOST_LISTED).map(({ column, ignored }) => {
      const role = column === plan.target ? ' (the target)' : ignored === undefined ? '' : ' (ignored)';
      return `  ${column.name}: ${describeColumn(column)}${role}`;
    }),
    ...(plan.columns.length > MOST_LISTED ? [`  and ${plan.columns.length - MOST_LISTED} more`] : []),
  ];
  const imports = [
    'adamw',
    regression ? 'meanSquaredError' : 'crossEntropy',
    'defineJob',
    'dense',
    'sequential',
  ].sort();
  return [
    ...head.map((line) => `// ${plain(line)}`.trimEnd()),
    '',
    `import { ${imports.join(', ')} } from 'lockstep';`,
    `import { ${plan.source.kind} } from 'lockstep/data';`,
    ...(regression ? [`import * as ops from 'lockstep/ops';`] : []),
    '',
    ...(regression ? [...networkLines(plan), ''] : []),
    'export default defineJob({',
    ...dataLines(plan, data),
    ...modelLines(plan),
    `  // \`lockstep lr-find ${plain(job)}\` looks for a better rate.`,
    `  optimizer: adamw({ lr: ${literal(LEARNING_RATE)}, weightDecay: 0.01 }),`,
    `  batchSize: ${plan.batchSize},`,
    `  // At most: training ends when val.loss has not improved for ${plan.patience} epochs.`,
    `  epochs: ${plan.epochs},`,
    `  earlyStopping: { monitor: 'val.loss', patience: ${plan.patience}${regression ? '' : ', minDelta: 0.001'} },`,
    '  // In the run folder: the newest model and the best of those saved.',
    `  checkpoint: { everyEpochs: ${plan.saveEvery}, keepLast: 1, keepBest: 'val.loss' },`,
    '  // Split, initial values and order of the rows follow from it: the same seed gives the same model.',
    '  seed: 1,',
    '});',
    '',
  ].join('\n');
}

function dataLines(plan: JobPlan, data: string): string[] {
  const { source, target, task, columns } = plan;
  const lines = [`target: ${quoted(target.name)},`, `task: ${quoted(task)},`];
  if (source.delimiter !== undefined) lines.push(`delimiter: ${quoted(source.delimiter)},`);
  if (source.header === false) lines.push('// The first line is data: columns are named 0, 1, 2 ...', 'header: false,');
  if (source.ignore.length > 0) {
    for (const { column, ignored } of columns) if (ignored) lines.push(`// ${plain(column.name)}: ${ignored}.`);
    lines.push(`ignore: ${literal(source.ignore)},`);
  }
  if (source.missing === 'drop') {
    lines.push(
      `// Rows without a value are left out: ${plain(target.name)} lacks ${formatCount(lacking(target))}.`,
      "missing: 'drop',",
    );
  }
  if (source.missing === 'mean') {
    const holes = columns.filter(({ column, ignored }) => ignored === undefined && lacking(column) > 0);
    const list = holes.slice(0, 5).map(({ column }) => `${column.name} (${formatCount(lacking(column))})`);
    lines.push(
      `// Cells without a value get the mean, or the most frequent category, of the training rows: ${plain(list.join(', '))}${holes.length > 5 ? ' ...' : ''}.`,
      "missing: 'mean',",
    );
  }
  if (source.missingValues) {
    lines.push(
      '// Texts that mean "no value": the usual ones, and those found among the numbers.',
      `missingValues: ${literal(source.missingValues)},`,
    );
  }
  if (source.unknown)
    lines.push(
      '// A category that no training row has becomes zeros; without this it is an error.',
      "unknown: 'zeros',",
    );
  return [
    '  data: {',
    `    train: ${source.kind}(${quoted(data)}, {`,
    ...lines.map((line) => `      ${line}`),
    '    }),',
    plan.test === undefined
      ? '    // Rows put aside, chosen by the seed. So few rows leave none for a test.'
      : '    // Rows put aside, chosen by the seed: validation guides the training, test is looked at once, at the end.',
    `    validation: ${plan.validation},`,
    ...(plan.test === undefined ? [] : [`    test: ${plan.test},`]),
    '  },',
  ];
}

/** Why the layers have the size that they have. */
function sizeComment(plan: JobPlan): string {
  return `${plan.inputs} numbers a row; two hidden layers, sized for ${formatCount(plan.trainingRows)} training rows`;
}

function layers({ hidden, outputs }: JobPlan): string {
  return `sequential(${[...hidden.map((units) => `dense(${units}, 'relu')`), `dense(${outputs})`].join(', ')})`;
}

function networkLines(plan: JobPlan): string[] {
  return [`// ${sizeComment(plan)}.`, `const network = ${layers(plan)};`];
}

function modelLines(plan: JobPlan): string[] {
  const { target, task, outputs } = plan;
  if (task === 'classification') {
    return [
      `  // ${sizeComment(plan)}; an output for each of the ${outputs} values of ${plain(target.name)}.`,
      `  model: ${layers(plan)},`,
      '  loss: crossEntropy(),',
    ];
  }
  const { mean = 0, std = 1 } = target.numbers ?? {};
  const scale = roundTo(std > 0 ? std : 1, 4);
  return [
    `  // The network gives numbers around 0; this puts them where ${plain(target.name)} lies: mean ${short(mean)}, standard deviation ${short(std)}.`,
    `  model: ({ x }) => ops.add(ops.mul(network(x), ${literal(scale)}), ${literal(roundTo(mean, 6))}),`,
    '  loss: meanSquaredError(),',
  ];
}

/** What a column is, in a few words. */
export function describeColumn(column: ColumnProfile): string {
  const { type, numbers, distinct, values } = column;
  const holes = lacking(column) > 0 ? `, ${formatCount(lacking(column))} missing` : '';
  if (column.count === 0) return `empty${holes}`;
  if (type === 'number' && numbers) {
    const kind = numbers.integers ? 'integers' : 'numbers';
    return `${kind} from ${short(numbers.min)} to ${short(numbers.max)}${holes}`;
  }
  if (type === 'boolean') return `yes or no${holes}`;
  if (distinct > 12)
    return `${Number.isFinite(distinct) ? formatCount(distinct) : 'very many'} different texts${holes}`;
  return `one of ${values.map(([text, count]) => `${shorten(text)} (${formatCount(count)})`).join(', ')}${holes}`;
}

function short(value: number): string {
  return literal(roundTo(value, 4));
}

function aligned(rows: readonly (readonly [command: string, meaning: string])[]): string[] {
  const width = Math.max(...rows.map(([command]) => command.length));
  return rows.map(([command, meaning]) => `  ${command.padEnd(width)}  # ${meaning}`);
}

function shorten(text: string): string {
  return text.length > 24 ? `${text.slice(0, 23)}…` : text;
}

function roundTo(value: number, digits: number): number {
  return Number(value.toPrecision(digits));
}

/** Names come from the file: none may end a comment. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ');
}
