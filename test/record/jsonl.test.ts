import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JsonlSink, METRICS_FILE, toLine } from '../../src/record/jsonl.ts';
import { evaluation, header, step } from './fixtures.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-jsonl-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const lines = (runDir: string) =>
  readFileSync(join(runDir, METRICS_FILE), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('JsonlSink', () => {
  it('writes header, steps and evaluations in order, making the folder', async () => {
    const runDir = join(folder, 'a', 'b');
    const sink = new JsonlSink(runDir);
    await sink.open(header);
    void sink.write([step(1), step(2), evaluation]);
    void sink.write([step(3)]);
    await sink.close();
    await sink.close();
    expect(lines(runDir)).toEqual([header, step(1), step(2), evaluation, step(3)]);
  });

  it('keeps numbers that JSON lacks', async () => {
    const sink = new JsonlSink(folder);
    await sink.open(header);
    void sink.write([step(1, Number.NaN), step(2, Number.POSITIVE_INFINITY), step(3, Number.NEGATIVE_INFINITY)]);
    await sink.close();
    const losses = lines(folder)
      .slice(1)
      .map((line) => line.loss);
    expect(losses).toEqual(['NaN', 'Infinity', '-Infinity']);
    expect(losses.map(Number)).toEqual([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  });

  it('has the header on disk when open resolves', async () => {
    const sink = new JsonlSink(folder);
    await sink.open(header);
    expect(lines(folder)).toEqual([header]);
    await sink.close();
  });

  it('appends to a used folder, on a new line after a torn one', async () => {
    appendFileSync(join(folder, METRICS_FILE), `${toLine(header)}{"kind":"st`);
    const sink = new JsonlSink(folder);
    await sink.open(header);
    await sink.close();
    const text = readFileSync(join(folder, METRICS_FILE), 'utf8');
    expect(text).toBe(`${toLine(header)}{"kind":"st\n${toLine(header)}`);
  });

  it('asks to wait when the disk is slower than the run, and then has room again', async () => {
    const sink = new JsonlSink(folder);
    await sink.open(header);
    const batch = Array.from({ length: 100 }, (_, i) => step(i + 1));
    let waited = 0;
    let written = 0;
    while (waited < 2) {
      const room = sink.write(batch);
      written += batch.length;
      if (room === undefined) continue;
      waited++;
      await room;
    }
    await sink.close();
    expect(lines(folder)).toHaveLength(1 + written);
  });

  it('refuses a folder that is a file', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, 'x');
    for (const runDir of [file, join(file, 'below')]) {
      await expect(new JsonlSink(runDir).open(header)).rejects.toMatchObject({ code: 'E_RUN_DIR' });
    }
    expect(readFileSync(file, 'utf8')).toBe('x');
  });

  it('says that the disk is full', { skip: !existsSync('/dev/full') }, async () => {
    // The metrics file as a link to the device that is always full.
    symlinkSync('/dev/full', join(folder, METRICS_FILE));
    await expect(new JsonlSink(folder).open(header)).rejects.toMatchObject({
      code: 'E_RUN_DIR',
      message: expect.stringContaining('ENOSPC'),
    });
  });
});
