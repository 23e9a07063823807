import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { CsvRecords } from '../../src/data/csv-records.ts';

it('reads a file no faster than its records are taken, so that it may have any length', async () => {
  let chunks = 0;
  const endless = Readable.from(
    (function* () {
      yield 'a,b\n';
      for (;;) {
        chunks += 1;
        yield `${chunks},${'x'.repeat(1000)}\n`;
      }
    })(),
  );
  const closed = new Promise((resolve) => endless.on('error', () => undefined).on('close', () => resolve('closed')));
  const records = new CsvRecords('endless.csv');
  const taken: string[] = [];
  for await (const { cells, line } of records.stream(undefined, endless)) {
    taken.push(`${line}:${cells[0]}`);
    await new Promise((resolve) => setImmediate(resolve)); // a slow reader
    if (taken.length === 50) break;
  }
  expect(taken.slice(0, 3)).toEqual(['1:a', '2:1', '3:2']);
  expect(taken[49]).toBe('50:49');
  expect(chunks).toBeLessThan(300);
  expect(await closed).toBe('closed'); // nothing goes on reading
});
