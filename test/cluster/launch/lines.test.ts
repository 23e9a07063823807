import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { Lines } from '../../../cluster/launch/lines.ts';

function linesOf(pieces: readonly Uint8Array[]): string[] {
  const found: string[] = [];
  const lines = new Lines((line) => found.push(line));
  for (const piece of pieces) lines.push(Buffer.from(piece));
  lines.end();
  return found;
}

it('lines do not depend on where the bytes were cut', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'ä', '\u{1f600}', ' ', '\n') });
  fc.assert(
    fc.property(text, fc.array(fc.nat(30), { maxLength: 10 }), (whole, cuts) => {
      const bytes = Buffer.from(whole);
      const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
      const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
      const expected = whole.split('\n');
      if (expected.at(-1) === '') expected.pop();
      expect(linesOf(pieces)).toEqual(expected);
    }),
  );
});

it('what moves the cursor is taken out', () => {
  expect(linesOf([Buffer.from('\x1b[2J\x1b[1;31mred\x1b[0m\ttab\x07\r\nrest\x08')])).toEqual(['red\ttab', 'rest']);
});

it('a line without an end does not fill memory', () => {
  const lines = linesOf([Buffer.alloc(40_000, 'x')]);
  expect(lines.map((line) => line.length)).toEqual([16_384, 16_384, 7_232]);
});
