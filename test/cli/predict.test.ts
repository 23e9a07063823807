import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { adam, crossEntropy, defineJob, dense, LockstepError, sequential, type TrainResult, train } from 'lockstep';
import { csv } from 'lockstep/data';
import { type Classification, Predictor } from 'lockstep/predict';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evalCommand } from '../../src/cli/eval.ts';
import type { Io } from '../../src/cli/io.ts';
import { predictCommand } from '../../src/cli/predict.ts';
import { philox } from '../fixtures/philox.ts';
import { runCli } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-cli-predict-'));
afterAll(() => rmSync(folder, { recursive: true }));
const runDir = join(folder, 'run');
const data = join(folder, 'flowers.csv');
const path = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

const random = philox(6);
const flowers = Array.from({ length: 200 }, (_, i) => {
  const species = ['setosa', 'the "old" one', 'virginica'][i % 3];
  return {
    id: `f${i}`,
    size: String(1 + 2 * (i % 3) + random()),
    color: random() < 0.5 ? 'red' : 'deep, blue',
    species,
  };
});
const cell = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const lines = flowers.map((f) => Object.values(f).map(cell).join(','));
const text = `id,size,color,species\n${lines.join('\n')}\n`;

let trained: TrainResult;
let answers: Classification[];
beforeAll(async () => {
  path('flowers.csv', text);
  const job = defineJob({
    data: {
      train: csv(data, { target: 'species', ignore: ['id'], task: 'classification' }),
      validation: 0.2,
      test: 0.1,
    },
    model: sequential(dense(16, 'relu'), dense(3)),
    loss: crossEntropy({ labelSmoothing: 0.1 }),
    optimizer: adam({ lr: 0.02 }),
    batchSize: 20,
    epochs: 5,
  });
  trained = await train(job, { workers: 1, runDir });
  const predictor = await Predictor.load(runDir, { kind: 'classification' });
  answers = await predictor.predict(flowers);
  predictor.dispose();
});

/** Lines that a command prints, without a process of its own. */
async function collect(command: (io: Io) => Promise<void>): Promise<string[]> {
  let printed = '';
  await command({
    out: (line) => {
      printed += `${line}\n`;
    },
    write: async (part) => {
      printed += part;
    },
    progress: { write: () => true },
    input: new PassThrough(),
    stop: new AbortController().signal,
  });
  return printed.trimEnd().split('\n');
}

async function errorOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.catch((e: unknown) => e);
  expect(error).toBeInstanceOf(LockstepError);
  const { code, message } = error as LockstepError;
  return `${code}: ${message}`;
}

const predictError = (file: string) => errorOf(collect((io) => predictCommand(runDir, file, {}, io)));

/** A CSV text that this test knows to be simple enough. */
function parse(csvText: string): string[][] {
  return csvText
    .trimEnd()
    .split('\n')
    .map((line) => [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].slice(0, -1).map(([, c]) => (c.startsWith('"') ? c.slice(1, -1).replaceAll('""', '"') : c))); // biome-ignore format: one line
}

describe('lockstep predict', () => {
  it('prints the columns of the file and the answers, those of the Predictor to the bit', async () => {
    const { stdout, stderr, code } = await runCli(['predict', runDir, data]);
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    const [header, ...rows] = parse(stdout);
    const classes = ['setosa', 'the "old" one', 'virginica'];
    expect(header).toEqual([
      'id', 'size', 'color', 'species', 'prediction', 'probability', ...classes.map((c) => `probability_${c}`),
    ]); // biome-ignore format: a table
    expect(rows).toHaveLength(flowers.length);
    for (const [i, row] of rows.entries()) {
      const { className, probabilities } = answers[i];
      expect(row.slice(0, 4)).toEqual(Object.values(flowers[i]));
      expect(row[4]).toBe(className);
      expect(row.slice(5).map(Number)).toEqual([probabilities[className], ...classes.map((c) => probabilities[c])]);
    }
  });

  it('prints lines of JSON, from CSV and from JSON lines', async () => {
    const jsonl = path(
      'flowers.jsonl',
      flowers.map((f) => `${JSON.stringify({ ...f, size: Number(f.size) })}\n`).join(''),
    );
    for (const file of [data, jsonl]) {
      const { stdout, code } = await runCli(['predict', runDir, file, '--json']);
      expect(code).toBe(0);
      expect(stdout.trimEnd().split('\n').map((line) => JSON.parse(line))).toEqual(answers); // biome-ignore format: one line
    }
  });

  it('reads an exported model, a gzipped file without target, standard input', async () => {
    const model = join(folder, 'model.safetensors');
    const exported = await runCli(['export', runDir, model]);
    expect(exported.code).toBe(0);
    expect(exported.stdout).toContain(`step ${trained.step}`);
    expect(readFileSync(model).includes(folder)).toBe(false); // no paths of this machine
    const short = flowers.map((f) => `${f.size},${cell(f.color)}`).join('\r\n');
    const file = path('short.csv.gz', gzipSync(`size,color\r\n${short}\r\n`));
    const { stdout } = await runCli(['predict', model, file, '--only']);
    const rows = parse(stdout);
    expect(rows[0].slice(0, 2)).toEqual(['prediction', 'probability']);
    expect(rows.slice(1).map((row) => row[0])).toEqual(answers.map((a) => a.className));

    const root = fileURLToPath(new URL('../..', import.meta.url));
    const args = ['dist/src/cli/main.js', 'predict', model, '-', '--only'];
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
    let piped = '';
    child.stdout.setEncoding('utf8').on('data', (part) => {
      piped += part;
    });
    const closed = new Promise((resolve) => child.on('close', resolve));
    child.stdin.end(text);
    expect(await closed).toBe(0);
    expect(piped).toBe(stdout);
  });

  it.each([
    ['a number that is none', `size,color\n1,red\nbig,red\n`, /^E_DATA_VALUE: .*bad\.csv line 3, column "size".*"big"/],
    ['a category never seen', `size,color\n1,green\n`, /^E_DATA_VALUE: .*bad\.csv line 2, column "color".*"green"/],
    ['a line too short', `size,color\n1,red\n2\n`, /^E_DATA_FORMAT: .*bad\.csv line 3.*expected 2 cells, got 1/],
    ['a column too few', `size\n1\n`, /^E_DATA_MISSING: .*bad\.csv line 1: expected a column "color"/],
    [
      'a column too many',
      `size,color,age\n1,red,2\n`,
      /^E_DATA_VALUE: .*bad\.csv line 1, column "age".*--ignore "age"/,
    ],
    ['two columns of one name', `size,color,color\n1,red,red\n`, /^E_DATA_FORMAT: .*"color" twice/],
    ['no rows', `size,color\n`, /^E_DATA_EMPTY: .*bad\.csv/],
  ])('names file and line: %s', async (_, content, message) => {
    expect(await predictError(path('bad.csv', content))).toMatch(message);
  });

  it('names file and line of a JSON line', async () => {
    const file = path('bad.jsonl', `{"size": 1, "color": "red"}\n\n{"size": 1, "colour": "red"}\n`);
    expect(await predictError(file)).toMatch(
      /^E_DATA_VALUE: .*bad\.jsonl line 3, column "colour".*did you mean "color"/,
    );
    expect(await predictError(path('none.jsonl', 'size\n'))).toMatch(/^E_DATA_FORMAT: .*none\.jsonl line 1/);
  });

  it('ends with code 1 and one line that says what is wrong', async () => {
    const { stderr, code } = await runCli(['predict', runDir, path('bad.csv', 'size,color\n1,red\nbig,red\n')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error E_DATA_VALUE: .*bad\.csv line 3, column "size".*"big".*\n$/);
  });

  it('passes over columns that it is told to', async () => {
    const file = path('more.csv', `size,color,age\n${flowers[0].size},red,2\n`);
    const [header] = await collect((io) => predictCommand(runDir, file, { ignore: ['age'] }, io));
    expect(header).toMatch(/^size,color,age,prediction/);
  });
});

describe('lockstep eval', () => {
  it('gives what the run measured on its validation and test rows', async () => {
    const { stdout, code } = await runCli(['eval', runDir, '--json']);
    expect(code).toBe(0);
    const { step, rows, metrics } = JSON.parse(stdout);
    expect(step).toBe(trained.step);
    expect(rows).toEqual({ val: 40, test: 20 });
    const measured = Object.entries(trained.metrics).filter(([name]) => /^(val|test)\./.test(name));
    expect(Object.keys(metrics)).toEqual(measured.map(([name]) => name));
    for (const [name, value] of measured) expect(metrics[name] / value).toBeCloseTo(1, 9);
  });

  it('gives loss and metrics on a file: those of its answers', async () => {
    const { stdout, code } = await runCli(['eval', runDir, data]);
    expect(code).toBe(0);
    const right = answers.filter((a, i) => a.className === flowers[i].species).length;
    const loss = answers.map(({ probabilities }, i) => {
      const logs = Object.values(probabilities).map(Math.log);
      return -0.9 * Math.log(probabilities[flowers[i].species]) - 0.1 * (logs.reduce((a, b) => a + b) / 3);
    });
    const mean = loss.reduce((a, b) => a + b) / loss.length;
    expect(stdout).toContain('200 rows');
    expect(Number(/^loss (.*)$/m.exec(stdout)?.[1])).toBeCloseTo(mean, 3);
    expect(Number(/^accuracy (.*)$/m.exec(stdout)?.[1])).toBeCloseTo(right / 200, 3);
  });

  it('refuses a file without the target, and data that have changed', async () => {
    const file = path('x.csv', `size,color\n1,red\n`);
    const without = await errorOf(collect((io) => evalCommand(runDir, file, {}, io)));
    expect(without).toMatch(/^E_DATA_MISSING: .*a column "species"/);
    writeFileSync(data, `${text}f200,9,red,setosa\n`);
    try {
      const changed = await errorOf(collect((io) => evalCommand(runDir, undefined, {}, io)));
      expect(changed).toMatch(/^E_DATA_VALUE: .*140 training rows.*lockstep eval DIR data\.csv/);
    } finally {
      writeFileSync(data, text);
    }
  });

  it('refuses a model that does not know its data', async () => {
    const model = join(folder, 'model.safetensors');
    expect(await errorOf(collect((io) => evalCommand(model, undefined, {}, io)))).toMatch(/^E_DATA_MISSING: .*--job/);
    const json = await collect((io) => evalCommand(model, data, { json: true }, io));
    expect(JSON.parse(json[0]).rows).toEqual({ [data]: 200 });
  });
});
