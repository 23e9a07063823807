import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, describe, expect, it } from 'vitest';
import { describePlan } from '../../src/cli/init.ts';
import { type JobPlan, planJob } from '../../src/cli/init-plan.ts';
import { renderJob } from '../../src/cli/init-text.ts';
import { profileCsv } from '../../src/data/csv-profile.ts';
import { profileParquet } from '../../src/data/parquet-profile.ts';
import { failure } from '../data/folder.ts';
import { philox } from '../fixtures/philox.ts';
import { runCli } from './run-cli.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lockstep-init-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Flowers of three species: an id, two useful numbers, one with holes, a useless category. */
function flowers(rows: number): string {
  const random = philox(3);
  const lines = Array.from({ length: rows }, (_, i) => {
    const species = i % 3;
    const cells = [
      i + 1,
      5 + species + random(),
      1 + 2 * species + random(),
      i % 20 === 0 ? '' : Math.floor(90 * random()),
    ];
    return [...cells, random() < 0.5 ? 'red' : 'blue', ['setosa', 'versicolor', 'virginica'][species]].join(',');
  });
  return `id,sepal length,petal,age,colour,species\n${lines.join('\n')}\n`;
}

/** Houses whose price follows from area and garden; the target is far from 0. */
function houses(rows: number): string {
  const random = philox(4);
  const lines = Array.from({ length: rows }, (_, i) => {
    const area = 40 + Math.floor(100 * random());
    const garden = random() < 0.4;
    return `house ${i};${area};${garden ? 'yes' : 'no'};0;${50_000 + 3000 * area + (garden ? 40_000 : 0)}`;
  });
  return `name;area;garden;constant;price\n${lines.join('\n')}\n`;
}

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

async function plan(
  text: string,
  target: string,
  options: { task?: 'classification' | 'regression' } = {},
): Promise<JobPlan> {
  return planJob(await profileCsv(write('plan.csv', text)), { file: 'plan.csv', target, ...options });
}

/** A table of one column and a number that follows from it. */
const table = (name: string, cell: (i: number) => string | number, rows = 100) =>
  `${name},x,y\n${Array.from({ length: rows }, (_, i) => `${cell(i)},${(i * 7) % 10}.5,${(i * 3) % 2}`).join('\n')}\n`;

describe('what init decides', () => {
  it('the same for a Parquet file as for a CSV of the same table', async () => {
    const n = Array.from({ length: 100 }, (_, i) => i % 50);
    const kind = n.map((i) => ['a', 'b', 'c'][i % 3]);
    const y = n.map((i) => i % 2);
    const columnData = [
      { name: 'n', data: n, type: 'INT32' as const },
      { name: 'kind', data: kind.map((k, i) => (i === 7 ? null : k)), type: 'STRING' as const },
      { name: 'y', data: y, type: 'INT32' as const },
    ];
    const file = join(folder, 'plan.parquet');
    writeFileSync(file, new Uint8Array(parquetWriteBuffer({ columnData })));
    const lines = n.map((_, i) => `${n[i]},${i === 7 ? '' : kind[i]},${y[i]}`);
    const csv = await plan(`n,kind,y\n${lines.join('\n')}\n`, 'y');
    const parquet = planJob(await profileParquet(file), { file, target: 'y' });
    expect(parquet).toEqual({ ...csv, source: { ...csv.source, kind: 'parquet' } });
    expect(renderJob(parquet, { data: 'plan.parquet', job: 'train.ts', runDir: 'runs/y' })).toMatch(
      /train: parquet\('plan\.parquet', \{/,
    );
  });

  it.each<[string, string, (i: number) => string | number, RegExp | undefined]>([
    ['a counter', 'n', (i) => i + 10, /like an id/],
    ['distinct integers called id', 'user_id', (i) => 1000 + 17 * i, /like an id/],
    ['distinct integers called otherwise', 'inhabitants', (i) => 1000 + 17 * i, undefined],
    ['distinct numbers', 'id', (i) => i / 7, undefined],
    ['distinct texts', 'name', (i) => `n${i}`, /different text in every row/],
    ['nearly distinct texts', 'note', (i) => `n${Math.min(i, 90)}`, /91 different texts in 100 rows/],
    ['a few texts', 'kind', (i) => `n${i % 7}`, undefined],
    ['one value', 'country', () => 'DE', /the same value in every row/],
    ['no value', 'empty', () => '', /no value/],
  ])('%s (%s)', async (_, name, cell, reason) => {
    const { columns } = await plan(table(name, cell), 'y');
    if (reason === undefined) expect(columns[0].ignored).toBeUndefined();
    else expect(columns[0].ignored).toMatch(reason);
  });

  it('takes few integers as classes and many as a number, unless told', async () => {
    const text = table('n', (i) => i % 19);
    expect(await plan(text, 'y')).toMatchObject({ task: 'classification', outputs: 2 });
    expect(await plan(text, 'y', { task: 'regression' })).toMatchObject({ task: 'regression', outputs: 1 });
    expect(
      (
        await plan(
          table('n', (i) => i % 50),
          'n',
        )
      ).task,
    ).toBe('regression');
  });

  it('fills features, and leaves rows without a target out', async () => {
    const text = table('n', (i) => (i < 5 ? '' : i < 10 ? 'unknown' : i % 50));
    expect((await plan(text, 'y')).source).toMatchObject({
      missing: 'mean',
      missingValues: expect.arrayContaining(['', 'unknown']),
    });
    expect((await plan(text, 'n')).source).toMatchObject({ missing: 'drop' });
  });

  it('sizes the model for the data', async () => {
    const small = await plan(
      table('n', (i) => i % 50, 60),
      'y',
    );
    const large = await plan(
      table('n', (i) => i % 50, 20_000),
      'y',
    );
    expect([small.hidden, small.batchSize]).toEqual([[16, 16], 16]);
    expect([large.hidden, large.batchSize]).toEqual([[128, 64], 512]);
    expect(
      await plan(
        table('n', (i) => i % 5, 30),
        'y',
      ),
    ).not.toHaveProperty('test');
  });

  it.each<[string, string, string, 'E_OPTION' | 'E_DATA_MISSING' | 'E_DATA_EMPTY', RegExp]>([
    ['an unknown target', flowers(30), 'specis', 'E_DATA_MISSING', /did you mean "species"\?/],
    ['a target that is an id', table('name', (i) => `n${i}`), 'name', 'E_OPTION', /classes that come many times each/],
    ['a constant target', table('c', () => 1), 'c', 'E_OPTION', /at least two different values/],
    ['no other column', 'y\n1\n2\n1\n2\n1\n2\n1\n2\n1\n2\n', 'y', 'E_OPTION', /a column to predict from/],
    ['hardly any rows', flowers(6), 'species', 'E_DATA_EMPTY', /at least 10 rows/],
  ])('refuses %s', async (_, text, target, code, message) => {
    expect((await failure(code, () => plan(text, target))).message).toMatch(message);
  });

  it('warns of classes with few rows', async () => {
    const made = await plan(
      table('kind', (i) => (i === 0 ? 'rare' : `n${i % 3}`)),
      'kind',
    );
    expect(describePlan(made, 'a.csv', 'a.ts').join('\n')).toMatch(/note: classes of kind with few rows: rare \(1\)/);
  });
});

it('writes code that type-checks, whatever the columns are called', async () => {
  const out = join(folder, 'types');
  mkdirSync(out);
  const options = { data: '../data.csv', job: 'job.ts', runDir: 'runs/x' };
  const nasty = table('"it\'s a ""*/ name\u2028"', (i) => i % 50).replace(',y\n', ',"why\\not"\n');
  const jobs: Record<string, JobPlan> = {
    flowers: await plan(flowers(150), 'species'),
    houses: await plan(houses(200), 'price'),
    dropped: await plan(
      table('n', (i) => (i < 5 ? 'none' : i % 50)),
      'n',
    ),
    nasty: await plan(nasty, 'why\\not'),
    few: await plan(
      table('a b', (i) => `n${i % 3}`, 20),
      'y',
    ),
  };
  for (const [name, made] of Object.entries(jobs)) writeFileSync(join(out, `${name}.ts`), renderJob(made, options));
  writeFileSync(join(out, 'package.json'), '{"type":"module"}');
  const entry = (path: string) => [join(root, path)];
  writeFileSync(
    join(out, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        ...{ typeRoots: [join(root, 'node_modules/@types')], noUnusedLocals: true },
        paths: {
          lockstep: entry('src/index.ts'),
          'lockstep/data': entry('src/data/index.ts'),
          'lockstep/ops': entry('src/graph/ops/index.ts'),
        },
      },
      include: ['*.ts'],
    }),
  );
  const tsc = join(root, 'node_modules/.bin/tsc');
  let said = '';
  try {
    execFileSync(tsc, ['-p', out], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    said = String(Reflect.get(Object(error), 'stdout'));
  }
  // What other files of the checkout say at this moment is not what is tested here.
  expect(said.split('\n').filter((line) => /(flowers|houses|dropped|nasty|few)\.ts/.test(line))).toEqual([]);
});

describe('lockstep init', () => {
  it('writes a job and trains it, in a folder where lockstep is not installed', async () => {
    const cwd = join(folder, 'empty');
    mkdirSync(cwd);
    writeFileSync(join(cwd, 'flowers.csv'), flowers(90));
    const args = ['init', 'flowers.csv', '--target', 'species', '-w', '1', '-q'];
    const { code, stdout, stderr } = await runCli(args, { cwd });
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^id +ignored +90 +0 +a different number in every row, like an id$/m);
    expect(stdout).toMatch(/^age +number +85 +5 +integers from/m);
    expect(stdout).toMatch(/^wrote train\.ts: 5 inputs -> 16 -> 16 -> 3 classes \(classification\)$/m);
    const job = readFileSync(join(cwd, 'train.ts'), 'utf8');
    expect(job).toContain("// id: a different number in every row, like an id.\n      ignore: ['id'],");
    expect(job).toContain('age (5).');
    const records = readFileSync(join(cwd, 'runs/species/metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const test = records.find((r) => r.kind === 'evaluation' && r.split === 'test');
    expect(test.metrics['test.accuracy']).toBeGreaterThan(0.9);
    expect(readdirSync(join(cwd, 'runs/species/checkpoints')).length).toBeGreaterThan(0);

    const again = await runCli([...args, '--no-train'], { cwd });
    expect(again.stderr).toMatch(
      /^error E_OPTION: option --out train\.ts: expected a file that does not exist yet, got one that does; --force .*\n$/,
    );
    expect({ code: again.code, stdout: again.stdout }).toEqual({ code: 1, stdout: '' });
    expect(readFileSync(join(cwd, 'train.ts'), 'utf8')).toBe(job);
  });

  it('predicts numbers in their own units', async () => {
    const cwd = join(folder, 'houses');
    mkdirSync(cwd);
    writeFileSync(join(cwd, 'houses.csv'), houses(120));
    const { code, stderr } = await runCli(
      ['init', 'houses.csv', '--target', 'price', '--out', 'jobs.mts', '-w', '1', '-q'],
      { cwd },
    );
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const text = readFileSync(join(cwd, 'jobs.mts'), 'utf8');
    expect(text).toMatch(
      /delimiter: ';',\n.*name: a different text.*\n.*constant: the same value.*\n +ignore: \['name', 'constant'\],/,
    );
    const lines = readFileSync(join(cwd, 'runs/price/metrics.jsonl'), 'utf8').trimEnd().split('\n');
    const tested = lines.map((line) => JSON.parse(line)).find(({ split }) => split === 'test');
    expect(tested.metrics['test.r2']).toBeGreaterThan(0.9);
  });

  it('leaves nothing behind when it cannot', async () => {
    const cwd = join(folder, 'nothing');
    mkdirSync(cwd);
    writeFileSync(join(cwd, 'flowers.csv'), flowers(30));
    const [columns, unknown, absent] = await Promise.all([
      runCli(['init', 'flowers.csv'], { cwd }),
      runCli(['init', 'flowers.csv', '--target', 'specis'], { cwd }),
      runCli(['init', 'table.csv'], { cwd }),
    ]);
    expect(columns.stdout).toMatch(/^species +one of setosa \(10\), versicolor \(10\), virginica \(10\)$/m);
    expect(columns.stderr).toMatch(
      /^error E_OPTION: option --target: .*lockstep init flowers\.csv --target species\n$/,
    );
    expect(unknown.stderr).toMatch(/^error E_DATA_MISSING: .*did you mean "species"\?\n$/);
    expect(absent.stderr).toMatch(/^error E_DATA_MISSING: .*table\.csv: .*relative to the current folder\n$/);
    expect([columns.code, unknown.code, absent.code]).toEqual([1, 1, 1]);
    expect(readdirSync(cwd)).toEqual(['flowers.csv']);
    expect(existsSync(join(cwd, 'runs'))).toBe(false);
  });
});
