import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { idxBytes } from '../data/folder.ts';
import { type CliResult, runCli } from './run-cli.ts';

/** What users get wrong, as they meet it: one line that says where, expected, got and what to do; exit code 1; nothing left behind. */
interface Case {
  readonly name: string;
  /** By name; the first is the job. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  readonly args?: readonly string[];
  readonly code: string;
  /** Of the message, in order. */
  readonly where: RegExp;
  readonly expected: RegExp;
  readonly got: RegExp;
  readonly fix: RegExp;
}

const HEAD = `import { adam, crossEntropy, defineJob, defineOptimizer, dense, meanSquaredError, sequential } from 'lockstep';
import { arrays, csv, dataset, idx } from 'lockstep/data';
`;
const X = 'Float32Array.from({ length: 80 }, (_, i) => (i * 37) % 11)';
const Y = 'Int32Array.from({ length: 40 }, (_, i) => i % 3)';

/** A job whose fields are written as they stand here. */
function job(fields: Readonly<Record<string, string>> = {}, before = ''): string {
  const all: Record<string, string> = {
    data: `{ train: arrays({ x: { data: ${X}, shape: [40, 2] }, y: ${Y} }) }`,
    model: "sequential(dense(8, 'relu'), dense(3))",
    loss: 'crossEntropy()',
    optimizer: 'adam({ lr: 0.01 })',
    ...fields,
  };
  const body = Object.entries(all).map(([name, text]) => `  ${name}: ${text},`);
  return `${HEAD}${before}export default defineJob({\n${body.join('\n')}\n});\n`;
}

const train = (source: string) => job({ data: `{ train: ${source} }` });
/** Rows that cannot be computed. */
const COMPUTED =
  "dataset({ size: 64, spec: { x: { dtype: 'f32', shape: [2] }, y: { dtype: 'i32', size: 3 } }, read(id) { throw new Error('no row ' + id); } })";
const images = idxBytes(8, [6, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
const labels = idxBytes(8, [6], [0, 1, 2, 0, 1, 2]);
const idxJob = train("idx('images', 'labels')");
const table = (rows: readonly string[]) => `age,kind\n${rows.join('\n')}\n`;
const csvJob = train("csv('data.csv', { target: 'kind' })");

const CASES: readonly Case[] = [
  {
    ...{
      name: 'a misspelt option of the optimizer',
      files: { 'job.mjs': job({ optimizer: 'adam({ lr: 0.01, beta: [0.9, 0.99] })' }) },
    },
    ...{ code: 'E_OPTION', where: /optimizer/, expected: /betas/, got: /'beta'/, fix: /did you mean 'betas'\?/ },
  },
  {
    ...{
      name: 'shapes that do not fit',
      files: { 'job.mjs': job({ model: 'sequential(dense(3))', loss: 'meanSquaredError()' }) },
    },
    ...{ code: 'E_SHAPE', where: /meanSquaredError/, expected: /./, got: /3/, fix: /./ },
  },
  {
    ...{
      name: 'a label below 0',
      files: { 'job.mjs': train(`arrays({ x: { data: ${X}, shape: [40, 2] }, y: ${Y}.fill(-1, 7, 8) })`) },
    },
    ...{ code: 'E_LABEL', where: /y.*7|7.*y/, expected: /./, got: /-1/, fix: /labels count from 0/ },
  },
  {
    ...{
      name: 'a NaN in an array',
      files: { 'job.mjs': train(`arrays({ x: { data: ${X}.fill(NaN, 25, 26), shape: [40, 2] }, y: ${Y} })`) },
    },
    ...{ code: 'E_DATA_VALUE', where: /field "x", row 12, element 1/, expected: /finite/, got: /NaN/, fix: /./ },
  },
  {
    ...{ name: 'a truncated IDX file', files: { 'job.mjs': idxJob, images: images.subarray(0, -3), labels } },
    ...{ code: 'E_DATA_FORMAT', where: /images/, expected: /24 bytes|12/, got: /21 bytes|9/, fix: /again/ },
  },
  {
    ...{ name: 'a file that is no IDX file', files: { 'job.mjs': idxJob, images: '<html>not found</html>', labels } },
    ...{ code: 'E_DATA_FORMAT', where: /images/, expected: /IDX/, got: /./, fix: /./ },
  },
  {
    name: 'a NaN in an IDX file',
    files: {
      'job.mjs': idxJob,
      images: idxBytes(13, [6, 2], [1, 2, 3, 4, 5, Number.NaN, 7, 8, 9, 10, 11, 12]),
      labels,
    },
    ...{ code: 'E_DATA_VALUE', where: /images, item 2/, expected: /finite/, got: /NaN/, fix: /./ },
  },
  {
    name: 'a CSV cell that is no number',
    files: { 'job.mjs': csvJob, 'data.csv': table(['31,a', '44,b', 'forty,a', '28,b']) },
    ...{
      code: 'E_DATA_VALUE',
      where: /data\.csv line 4, column "age"/,
      expected: /number/,
      got: /forty/,
      fix: /correct the cell/,
    },
  },
  {
    ...{ name: 'a missing value', files: { 'job.mjs': csvJob, 'data.csv': table(['31,a', 'NaN,b', '40,a', '28,b']) } },
    ...{
      code: 'E_DATA_VALUE',
      where: /data\.csv line 3, column "age"/,
      expected: /number/,
      got: /no value|NaN/,
      fix: /missing/,
    },
  },
  {
    ...{ name: 'a job that exports nothing', files: { 'job.mjs': 'const job = 1;\n' } },
    ...{ code: 'E_JOB_LOAD', where: /job\.mjs/, expected: /default export/, got: /no exports/, fix: /defineJob/ },
  },
  {
    ...{ name: 'code that throws in a worker', files: { 'job.mts': job({ data: `{ train: ${COMPUTED} }` }) } },
    ...{ code: 'E_WORKER', where: /worker/, expected: /./, got: /no row \d+/, fix: /./ },
  },
  {
    name: 'custom code that no export holds',
    files: { 'job.mjs': job({ data: `{ train: ${COMPUTED} }` }).replace('export default', 'export default () =>') },
    ...{
      code: 'E_CUSTOM_CODE',
      where: /data\.train read/,
      expected: /exports/,
      got: /no export/,
      fix: /export the job/,
    },
  },
  {
    ...{
      name: 'a model larger than memory',
      files: { 'job.mjs': job({ model: 'sequential(dense(1e5), dense(1e5), dense(3))' }) },
    },
    ...{ code: 'E_MEMORY', where: /./, expected: /4(\.\d+)? GiB/, got: /GiB.*parameters/, fix: /./ },
  },
  {
    ...{ name: 'a loss that is not finite', files: { 'job.mjs': job({ optimizer: 'adam({ lr: 1e38 })' }) } },
    ...{
      code: 'E_NON_FINITE',
      where: /step \d/,
      expected: /finite/,
      got: /rows \d+, \d+|first bad tensor/,
      fix: /learning rate/,
    },
  },
  {
    ...{ name: 'a run folder without checkpoints', files: { 'job.mjs': job() }, args: ['--resume', 'runs/none'] },
    ...{ code: 'E_CHECKPOINT', where: /runs\/none/, expected: /a checkpoint/, got: /none/, fix: /./ },
  },
];

const results = new Map<string, CliResult>();
const folders = new Map<string, string>();
const folder = mkdtempSync(join(tmpdir(), 'lockstep-bad-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(async () => {
  const waiting = [...CASES.entries()];
  const next = async (): Promise<void> => {
    for (let entry = waiting.shift(); entry; entry = waiting.shift()) {
      const [i, { name, files, args = [] }] = entry;
      const cwd = join(folder, String(i));
      mkdirSync(cwd);
      for (const [file, content] of Object.entries(files)) writeFileSync(join(cwd, file), content);
      folders.set(name, cwd);
      results.set(name, await runCli(['train', Object.keys(files)[0], '-q', '-w', '1', ...args], { cwd }));
    }
  };
  await Promise.all([next(), next()]);
});

it.each(CASES)('$name: $code', ({ name, files, code, where, expected, got, fix }) => {
  const { stdout, stderr, ...end } = results.get(name) ?? { stdout: '', stderr: 'not run', code: null, signal: null };
  const parts = /^error (E_[A-Z_]+): ([^\n]*?): expected ([^\n]*), got ([^\n]*?); ([^\n]+)\n$/.exec(stderr);
  expect(parts, stderr).not.toBeNull();
  expect(parts?.[1]).toBe(code);
  expect(parts?.[2]).toMatch(where);
  expect(parts?.[3]).toMatch(expected);
  expect(`${parts?.[4]}; ${parts?.[5]}`).toMatch(got);
  expect(parts?.[5]).toMatch(fix);
  expect({ stdout, ...end }).toEqual({ stdout: '', code: 1, signal: null });
  expect(readdirSync(folders.get(name) ?? '').sort()).toEqual(Object.keys(files).sort());
});

it('docs/errors.md knows every code that users met here', () => {
  const docs = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  for (const { code } of CASES) expect(docs).toContain(`\`${code}\``);
});
