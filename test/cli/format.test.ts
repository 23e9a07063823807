import { describe, expect, it } from 'vitest';
import {
  formatClock,
  formatCount,
  formatDuration,
  formatNumber,
  formatRate,
  formatShare,
  formatTable,
} from '../../src/cli/format.ts';

describe('numbers for people', () => {
  it.each([
    [0, '0'],
    [0.5, '0.5000'],
    [-12.3456, '-12.35'],
    [98.41, '98.41'],
    [1234.5, '1235'],
    [0.0001, '1e-4'],
    [1.234e-5, '1.23e-5'],
    [1.5e7, '1.5e7'],
    [Number.NaN, 'NaN'],
    [Number.NEGATIVE_INFINITY, '-Infinity'],
  ])('formatNumber(%s) is %s', (value, text) => expect(formatNumber(value)).toBe(text));

  it.each([
    [0, '0'],
    [950, '950'],
    [999.6, '1.00 k'],
    [12_345, '12.3 k'],
    [123_456, '123 k'],
    [1.24e6, '1.24 M'],
    [5.32e12, '5320 G'],
    [Number.NaN, '-'],
  ])('formatRate(%s) is %s', (value, text) => expect(formatRate(value)).toBe(text));

  it.each([
    [0.042, '42 ms'],
    [0.421, '0.42 s'],
    [12.34, '12.3 s'],
    [59.96, '1:00'],
    [187, '3:07'],
    [3723, '1:02:03'],
  ])('formatDuration(%s) is %s', (value, text) => expect(formatDuration(value)).toBe(text));

  it('formats clocks, counts and shares', () => {
    expect(formatClock(3.4)).toBe('0:03');
    expect(formatClock(Number.POSITIVE_INFINITY)).toBe('-:--');
    expect(formatCount(1_234_567)).toBe('1,234,567');
    expect(formatShare(0.034)).toBe('3 %');
    expect(formatShare(Number.NaN)).toBe('-');
  });

  it('aligns numbers to the right and words to the left', () => {
    expect(
      formatTable(
        ['layer', 'parameters'],
        [
          ['dense', '401,920'],
          ['a long name', '10'],
        ],
      ),
    ).toEqual(['layer        parameters', 'dense           401,920', 'a long name          10']);
  });
});
