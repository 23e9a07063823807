import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RunHeader, StepRecord } from '../../src/record/contract.ts';
import { CsvSink, EVALUATIONS_CSV, STEPS_CSV } from '../../src/record/csv.ts';
import { evaluation, header, step } from './fixtures.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-csv-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const rows = (name: string): Record<string, string>[] =>
  parse(readFileSync(join(folder, name)), { columns: true }) as Record<string, string>[];

async function write(...records: StepRecord[]): Promise<void> {
  await writeAs(header, ...records);
}

async function writeAs(head: RunHeader, ...records: StepRecord[]): Promise<void> {
  const sink = new CsvSink(folder);
  await sink.open(head);
  await sink.write([...records, evaluation]).catch(() => undefined);
  await sink.close();
}

test('a row a step with its metrics and phases, a row a number of an evaluation', async () => {
  await write(step(1), step(2, Number.NaN));
  expect(rows(STEPS_CSV)).toMatchObject([
    { step: '1', epoch: '1', loss: '1', accuracy: '0.5', lr: '0.001', gradNorm: '1', samples: '32', stepMs: '1' },
    { step: '2', loss: 'NaN', computeMs: '1', updateMs: '0' },
  ]);
  expect(rows(EVALUATIONS_CSV)).toEqual([
    { step: '2', epoch: '1', split: 'val', metric: 'val.loss', value: '0.5', seconds: '0.1' },
  ]);
});

test('a run that goes on in the folder is appended under the same head', async () => {
  await write(step(1));
  await write(step(2));
  expect(rows(STEPS_CSV).map((row) => row.step)).toEqual(['1', '2']);
  expect(rows(EVALUATIONS_CSV)).toHaveLength(2);
});

test('a table of other columns is left as it is, and that is reported', async () => {
  await write(step(1));
  const before = readFileSync(join(folder, STEPS_CSV), 'utf8');
  await expect(write({ ...step(2), metrics: { accuracy: 1, top5: 1 } })).rejects.toThrow(/E_RUN_DIR|other metrics/);
  expect(readFileSync(join(folder, STEPS_CSV), 'utf8')).toBe(before);
});

test('a metric may have any name', async () => {
  await write({ ...step(1), metrics: { 'top "5", of all': 0.25 } });
  expect(rows(STEPS_CSV)[0]['top "5", of all']).toBe('0.25');
});

test('a run that is resumed takes out the rows that it writes again, and leaves those of other runs', async () => {
  await write(step(1), step(2), step(3));
  await write(step(1), step(2, 20), step(3), step(4)); // another run
  await writeAs({ ...header, resumedAfter: 2 }, step(3, 30));
  expect(rows(STEPS_CSV).map((row) => [row.step, row.loss])).toEqual([
    ['1', '1'], ['2', '0.5'], ['3', String(1 / 3)], ['1', '1'], ['2', '20'], ['3', '30'],
  ]); // biome-ignore format: a table
  await writeAs({ ...header, resumedAfter: 0 }, step(1, 10));
  expect(rows(STEPS_CSV).map((row) => row.step)).toEqual(['1', '2', '3', '1']);
});
