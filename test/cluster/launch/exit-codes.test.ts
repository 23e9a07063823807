import { describe, expect, it } from 'vitest';
import type { ChildEnd } from '../../../cluster/launch/child.ts';
import { exitCodeOf, verdictOf } from '../../../cluster/launch/exit-codes.ts';
import { ERROR_CODES, type ErrorCode } from '../../../src/errors.ts';

describe('exit codes', () => {
  it.each<[ErrorCode, number]>([
    ['E_OPTION', 78],
    ['E_JOB_LOAD', 78],
    ['E_PLACE', 78],
    ['E_LAUNCH', 78],
    ['E_RUN_DIR', 78],
    ['E_CHECKPOINT', 78],
    ['E_REFUSED', 78],
    ['E_FRAME', 78],
    ['E_CONNECTION', 75],
    ['E_LISTEN', 75],
    ['E_DATA_FORMAT', 65],
    ['E_DATA_MISSING', 65],
    ['E_QUORUM', 75],
    ['E_UNREACHABLE', 75],
    ['E_NON_FINITE', 1],
    ['E_WORKER', 1],
  ])('%s: %i', (code, expected) => expect(exitCodeOf(code)).toBe(expected));

  it('of all errors in data are 65', () => {
    const codes = Object.keys(ERROR_CODES) as ErrorCode[];
    expect(codes.filter((code) => code.startsWith('E_DATA') && exitCodeOf(code) !== 65)).toEqual([]);
  });

  const end = (code: number | null): ChildEnd => ({ code, signal: code === null ? 'SIGKILL' : null });
  it.each([
    [0, 'done'],
    [75, 'lost'],
    [143, 'lost'],
    [255, 'lost'],
    [1, 'lost'],
    [null, 'lost'],
    [78, 'hopeless'],
    [65, 'hopeless'],
    [2, 'hopeless'],
    [127, 'hopeless'],
  ])('a node that ends with %s is %s', (code, verdict) => expect(verdictOf(end(code))).toBe(verdict));

  it('a program that cannot be started is hopeless', () => {
    expect(verdictOf({ code: null, signal: null, error: new Error('ENOENT') })).toBe('hopeless');
  });
});
