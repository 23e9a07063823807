import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { closest, ERROR_CODES, LockstepError } from '../src/errors.ts';

describe('LockstepError', () => {
  const detail = { where: 'job.epochs', expected: 'a whole number', got: '-1', fix: 'give at least 1' };

  it('reads "where: expected X, got Y; what to do" and keeps the parts', () => {
    const error = new LockstepError('E_JOB', detail);
    expect(error.message).toBe('job.epochs: expected a whole number, got -1; give at least 1');
    expect(error).toMatchObject({ name: 'LockstepError', code: 'E_JOB', detail });
    expect('cause' in error).toBe(false);
  });

  it('keeps the error behind it', () => {
    const cause = new Error('why');
    expect(new LockstepError('E_JOB', { ...detail, cause }).cause).toBe(cause);
  });
});

describe('docs/errors.md', () => {
  const rows = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')
    .split('\n')
    .map((line) => /^\| `(E_[A-Z_]+)` \| (.*?) \| (.+?) \|$/.exec(line))
    .filter((row) => row !== null);

  it('lists every code in the order of the table, with its sentence and a remedy', () => {
    expect(rows.map(([, code, sentence]) => [code, sentence])).toEqual(Object.entries(ERROR_CODES));
    for (const [, code, , remedy] of rows) expect(remedy, code).toMatch(/\w.*\.$/);
  });
});

describe('closest', () => {
  const names = ['train', 'summary', 'env', 'workers', 'weightDecay', 'optimizer.lr'];

  it.each([
    ['trian', 'train'],
    ['Train', 'train'],
    ['wrokers', 'workers'],
    ['weightdecay', 'weightDecay'],
    ['optimzer.lr', 'optimizer.lr'],
    ['evn', 'env'],
  ])('%s means %s', (name, meant) => expect(closest(name, names)).toBe(meant));

  it.each(['banana', 'x', ''])('%j means nothing that is known', (name) =>
    expect(closest(name, names)).toBeUndefined(),
  );
});
