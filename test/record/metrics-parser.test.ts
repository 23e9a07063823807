import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toLine } from '../../src/record/jsonl.ts';
import { MetricsParser } from '../../src/record/metrics-parser.ts';
import { evaluation, header, step } from './fixtures.ts';

/** What a parser makes of a text that comes in pieces of `size` bytes. */
function parse(text: string, size = 1 << 20) {
  const seen: { headers: number; steps: Record<string, number>[]; records: unknown[] } = {
    headers: 0,
    steps: [],
    records: [],
  };
  const parser = new MetricsParser({
    header: () => void seen.headers++,
    step: (numbers, names) => void seen.steps.push(Object.fromEntries(names.map((name, i) => [name, numbers[i]]))),
    record: (record) => void seen.records.push(record),
  });
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) parser.feed(bytes.subarray(at, at + size));
  return { ...seen, damaged: parser.damaged };
}

test('reads every number that JSON writes, in pieces of any size', () => {
  const number = fc.oneof(
    fc.double({ noDefaultInfinity: true, noNaN: true }),
    fc.integer(),
    fc.constantFrom(0.1, 1e-7, 1e21, -0),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(number, number), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 700 }),
      (pairs, size) => {
        const records = pairs.map(([loss, accuracy], i) => ({ ...step(i + 1, loss), metrics: { accuracy } }));
        const { steps, damaged } = parse(records.map(toLine).join(''), size);
        expect(damaged).toBe(0);
        expect(steps.map((s) => s.step)).toEqual(records.map((r) => r.step));
        for (const [i, { loss, metrics }] of records.entries()) {
          for (const [read, written] of [
            [steps[i].loss, loss],
            [steps[i]['metrics.accuracy'], metrics.accuracy],
          ]) {
            expect(Math.abs(read - written)).toBeLessThanOrEqual(1e-14 * Math.abs(written));
          }
          expect(steps[i]['timings.stepMs']).toBe(1);
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('numbers that JSON lacks, and what stands between the steps', () => {
  const lines = [header, step(1), step(2, Number.NaN), step(3), evaluation, step(4, Number.POSITIVE_INFINITY), step(5)];
  const { headers, steps, records, damaged } = parse(lines.map(toLine).join(''));
  expect({ headers, damaged }).toEqual({ headers: 1, damaged: 0 });
  expect(steps.map(({ loss }) => loss)).toEqual([1, Number.NaN, 1 / 3, Number.POSITIVE_INFINITY, 0.2]);
  expect(records).toEqual([evaluation]);
});

test('damaged lines are passed over and counted, wherever the damage is', () => {
  const good = toLine(step(7, 0.125));
  const damage = [good.slice(0, 40), `${good.slice(0, 30)}#${good.slice(31)}`, '\0\0\0', '{"kind":"step"}', '[1,2]', 'null', '{"kind":"header"}', '{"kind":"event","event":"note","step":1}', '{"kind":"evaluation","step":1,"metrics":null,"seconds":1}', '{"kind":"step","step":8,"timings":null}', good.replace('0.125', '0.1.25'), good.replace('0.125', '')]; // biome-ignore format: one line
  for (const bad of damage) {
    const { steps, damaged } = parse(`${good}${bad.trimEnd()}\n${good}`);
    expect([bad, damaged]).toEqual([bad, 1]);
    expect(steps.map(({ loss }) => loss)).toEqual([0.125, 0.125]);
  }
});

test('a line without its end waits for it', () => {
  expect(parse(toLine(step(1)).trimEnd()).steps).toEqual([]);
});

test('records for others (samples of the gradient noise) are no damage', () => {
  const noise = { kind: 'gradient-noise', step: 1, small: 1, large: 2 };
  const { steps, records, damaged } = parse([step(1), noise, step(2)].map(toLine).join(''));
  expect([steps.length, records.length, damaged]).toEqual([2, 0, 0]);
});
