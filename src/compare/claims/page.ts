import { CLAIMS, EXPERIMENTS } from '../claims.ts';
import { formatSeconds, formatValue } from '../text.ts';
import type { Cell, Claim, Judgement, Table, Verdict } from './contract.ts';
import { LANDSCAPES } from './functions.ts';
import type { ClaimsResults } from './results.ts';
import { numbers, summary } from './tables.ts';

const CHAPTERS: Readonly<Record<number, string>> = {
  1: 'Batch, stochastic, mini-batch',
  2: 'Momentum and Nesterov',
  3: 'AdaGrad',
  4: 'RMSprop',
  5: 'Adam',
  6: 'How much time is saved',
  7: 'Generalisation',
  8: 'Exploding and vanishing gradients',
  9: 'Saddles and valleys',
  10: 'Architectures',
};

/** A claim with its verdict, where its experiment was run. */
export interface Judged {
  readonly claim: Claim;
  readonly judgement: Judgement | undefined;
}

/** Every claim, judged by the raw results; without judgement: its experiment was not run. */
export function judgeAll(results: ClaimsResults): Judged[] {
  return CLAIMS.map((claim) => {
    const found = results.experiments[claim.test.experiment];
    return { claim, judgement: found && claim.test.judge(found.table) };
  });
}

/** docs/which-optimizer.md, from the raw results. Pure. @param folder where the pictures and claims.json lie, from the page. */
export function renderClaims(results: ClaimsResults, folder: string): string {
  const judged = judgeAll(results);
  const count = (verdict: string) => judged.filter(({ judgement }) => judgement?.verdict === verdict).length;
  const { machine, command, lockstep } = results;
  const lines = [
    '# Which optimizer? What the textbook says, tested',
    '',
    `Generated from ${folder}claims.json by \`${command}\` (lockstep ${lockstep}, Node ${machine.node}, ${machine.cores} cores; each experiment says when and on which processor). For an answer about your own model: \`lockstep compare\` (compare.md).`,
    '',
    `Of ${judged.length} claims ${count('holds')} hold, ${count('holds partly')} hold partly, ${count('does not hold')} do not hold. Experiments are small, so a verdict is about them and not about all of deep learning; steps and losses are the same on every machine with the same kernels, seconds are not.`,
    '',
    '| claim | verdict |',
    '|---|---|',
    ...judged.map((one) => `| ${one.claim.text} | ${verdictOf(one)} |`),
  ];
  const chapters = [...new Set(judged.map(({ claim }) => claim.chapter))].sort((a, b) => a - b);
  for (const chapter of chapters) {
    lines.push('', `## ${chapter}. ${CHAPTERS[chapter]}`);
    for (const one of judged.filter(({ claim }) => claim.chapter === chapter)) {
      const { experiment } = one.claim.test;
      const from = ` Experiment: [${experiment}](#${experiment}).`;
      lines.push('', `**${one.claim.text}** *${verdictOf(one)}.* ${one.judgement?.because ?? ''}${from}`.trim());
    }
  }
  lines.push(
    '',
    '## The experiments',
    '',
    `All by \`${command}\`; raw results in ${folder}claims.json; medians over the seeds.`,
  );
  for (const { id, about } of EXPERIMENTS) {
    const found = results.experiments[id];
    if (!found) continue;
    const seeds = seedsOf(found.table);
    lines.push(
      '',
      `### ${id}`,
      '',
      `${about}${seeds} (${formatSeconds(found.seconds)}; ${found.createdAt.slice(0, 10)}, ${found.cpu})`,
      '',
      ...markdown(summary(found.table)),
    );
  }
  lines.push(
    '',
    '## Paths',
    '',
    'Every optimizer of the catalogue, 300 steps at the best of its learning rates, on four functions.',
  );
  for (const { name, formula } of LANDSCAPES) {
    lines.push('', `${name}: ${formula}`, '', `![paths on ${name}](${folder}paths-${name.toLowerCase()}.svg)`);
  }
  return `${lines.join('\n')}\n`;
}

export function verdictOf({ judgement }: Judged): Verdict | 'not run' {
  return judgement?.verdict ?? 'not run';
}

function seedsOf(table: Table): string {
  if (!table.columns.includes('seed')) return '';
  const seeds = [...new Set(numbers(table, 'seed'))].sort((a, b) => a - b);
  const [first, last] = [seeds[0], seeds[seeds.length - 1]];
  return first === last ? ` Seed ${first}.` : ` Seeds ${first} to ${last}.`;
}

function markdown({ columns, rows }: Table): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map((row) => line(row.map(show)))];
}

function show(cell: Cell): string {
  return typeof cell === 'number' ? formatValue(cell) : String(cell);
}
