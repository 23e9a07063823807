import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { lockRunDir } from '../../src/checkpoint/lock.ts';
import { Board } from '../../src/dashboard/board.ts';
import { openFolders } from '../../src/dashboard/folders.ts';
import { toLine } from '../../src/record/jsonl.ts';
import { evaluation, header, step } from '../record/fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-folders-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('a run is followed from an empty file over its death to its new life', async () => {
  const path = join(folder, 'a');
  const file = join(path, 'metrics.jsonl');
  const lock = lockRunDir(path);
  writeFileSync(file, '');
  const board = new Board('x', 'a');
  let found = '';
  const opened = await openFolders(board, [path], () => {
    found = board.runs[0].snapshot(1).state;
  });
  const [run] = board.runs;
  expect(found).toBe('reading');
  try {
    expect(run.state).toBe('waiting');
    appendFileSync(file, [header, step(1), step(2), { ...evaluation, step: 2 }, step(3)].map(toLine).join(''));
    await opened.follow();
    expect(run).toMatchObject({ state: 'running', lastStep: 3 });
    lock.release(); // as when its process is killed
    await opened.follow();
    expect(run.state).toBe('interrupted');
    expect(run.news()).toMatchObject({ state: 'interrupted' });

    const again = lockRunDir(path);
    appendFileSync(
      file,
      `{"kind":"st\n${[{ ...header, resumedAfter: 2 }, step(3, 30), step(4, 40)].map(toLine).join('')}`,
    );
    await opened.follow();
    expect(run).toMatchObject({ state: 'running', lastStep: 4, damagedLines: 1, begun: true });
    const { curves } = run.snapshot(100);
    expect([curves.step, curves.mean.loss]).toEqual([[1, 2, 3, 4], [1, 0.5, 30, 40]]); // biome-ignore format: one line
    again.release();
  } finally {
    await opened.close();
    board.close();
  }
});

test('a run that is resumed with a page goes on with the curves that it has recorded, and counts only its own steps', async () => {
  const path = join(folder, 'b');
  mkdirSync(path);
  writeFileSync(join(path, 'metrics.jsonl'), [header, step(1), evaluation, step(2), step(3)].map(toLine).join(''));
  const board = new Board('x', 'b');
  const sink = board.sink('b', path);
  await sink.open({ ...header, resumedAfter: 2 });
  await sink.write([step(3, 30)]);
  const [run] = board.runs;
  const { curves, evaluations } = run.snapshot(100);
  expect([curves.step, curves.mean.loss]).toEqual([[1, 2, 3], [1, 0.5, 30]]); // biome-ignore format: one line
  expect(evaluations.mean['val.loss']).toEqual([0.5]);
  expect(run.totals).toMatchObject({ steps: 1, samples: 32 });
  board.close();

  const anew = new Board('x', 'b');
  await anew.sink('b', path).open(header); // it began anew
  expect(anew.runs[0].lastStep).toBe(0);
  anew.close();
});

test('a folder that is none, or a file in the place of one, is named', async () => {
  const board = new Board('x', 'c');
  mkdirSync(join(folder, 'odd', 'metrics.jsonl'), { recursive: true });
  for (const path of [join(folder, 'nowhere'), join(folder, 'odd')]) {
    await expect(openFolders(board, [path])).rejects.toMatchObject({ code: 'E_RUN_DIR' });
  }
  board.close();
});
