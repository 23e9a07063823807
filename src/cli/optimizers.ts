import { allOptimizerFacts, type OptimizerFacts, optimizerFacts } from '../optim/facts.ts';
import { formatTable } from './format.ts';
import type { Io } from './io.ts';

/** `lockstep optimizers [name]`: the catalogue, or one of it in full. */
export function optimizersCommand(name: string | undefined, options: { readonly json?: boolean }, io: Io): void {
  if (name === undefined) {
    const all = allOptimizerFacts();
    if (options.json) io.out(JSON.stringify(all));
    else for (const line of renderCatalogue(all)) io.out(line);
    return;
  }
  const facts = optimizerFacts(name);
  if (options.json) io.out(JSON.stringify(facts));
  else for (const line of renderOptimizer(facts)) io.out(line);
}

/** Pure. */
export function renderCatalogue(all: readonly OptimizerFacts[]): string[] {
  const row = ({ kind, bytesPerParameter, when }: OptimizerFacts) => [kind, bytes(bytesPerParameter), when];
  const header = ['optimizer', 'bytes', 'when to use it'];
  return [
    ...formatTable(header, all.filter(({ wraps }) => !wraps).map(row)),
    '',
    'around another optimizer, as in ema(adam()):',
    ...formatTable(header, all.filter(({ wraps }) => wraps).map(row)),
    '',
    'bytes: state for each parameter (of a hidden matrix of 512 x 512), with default options',
    'lockstep optimizers adam     rule, limits, options, what compat changes, paper',
    'lockstep compare train.ts    which one fits a job, measured',
  ];
}

/** Pure. */
export function renderOptimizer(facts: OptimizerFacts): string[] {
  const { kind, rule, when, limits, paper, slots, bytesPerParameter, options, compat, wraps, defaultLr } = facts;
  const state =
    slots.length === 0
      ? 'none'
      : `${bytes(bytesPerParameter)} bytes a parameter (${slots.map((slot) => `${slot.name} ${bytes(slot.bytesPerParameter)}`).join(', ')})`;
  const facets = [
    ['rule', rule],
    ['when', when],
    ['limits', limits],
    ['state', wraps ? `the base's and ${state}` : state],
    ...(facts.sparse ? [['sparse', 'updates only the rows that a sparse gradient names']] : []),
    ...(facts.fullBatch ? [['batches', "all rows in each step (batchSize: 'full')"]] : []),
    ['paper', paper],
    ['example', `optimizer: ${example(facts)}`],
  ];
  const width = Math.max(...facets.map(([name]) => name.length));
  const rate = wraps
    ? []
    : [['lr', defaultLr === undefined ? 'none: give one' : String(defaultLr), 'a number > 0, or a schedule']];
  const rows = [
    ...rate,
    ...options.map(({ name, default: value, allowed }) => [name, value === undefined ? '-' : show(value), allowed]),
  ];
  const frameworks = Object.entries(compat).map(([name, preset]) => {
    const changes = Object.entries(preset).map(([option, value]) => `${option} ${show(value)}`);
    return [`compat: '${name}'`, changes.length === 0 ? 'as it is' : changes.join(', ')];
  });
  return [
    kind,
    '',
    ...facets.map(([name, text]) => `${name.padEnd(width)}  ${text}`),
    '',
    ...formatTable(['option', 'default', 'allowed'], rows),
    ...(frameworks.length === 0 ? [] : ['', ...formatTable(['conventions of', 'changed defaults'], frameworks)]),
    '',
    'Every optimizer also has groups (lrScale, weightDecay, freeze by name pattern) and noDecay.',
  ];
}

function example({ kind, wraps, defaultLr, options }: OptimizerFacts): string {
  if (!wraps) return `${kind}({ lr: ${defaultLr ?? 0.1} })`;
  const needed = options.filter((option) => option.default === undefined).map(({ name }) => `${name}: 1000`);
  return `${kind}(adam({ lr: 0.001 })${needed.length === 0 ? '' : `, { ${needed.join(', ')} }`})`;
}

const bytes = (count: number): string =>
  count === 0 || count >= 0.1 ? String(Number(count.toFixed(1))) : count.toFixed(2);

const show = (value: unknown): string => (typeof value === 'string' ? `'${value}'` : JSON.stringify(value));
