import { describe, expect, it } from 'vitest';
import { skipProblems } from './skips.ts';

const known = ['test/a.test.ts > one', 'test/a.test.ts > suite > two', 'test/b.test.ts > three'];

describe('skipProblems', () => {
  it('has nothing to say when nothing is skipped', () => {
    expect(skipProblems([], [], known)).toEqual([]);
  });

  it('accepts a skipped test that is listed with a reason, and one that runs all the same', () => {
    const allowed = [{ test: known[1], reason: 'needs a BLAS' }];
    expect(skipProblems(allowed, [known[1]], known)).toEqual([]);
    expect(skipProblems(allowed, [], known)).toEqual([]);
  });

  it('names a skipped test that is not listed', () => {
    expect(skipProblems([], [known[0]], known)).toEqual([`skipped without a reason: ${known[0]}`]);
  });

  it('wants a reason', () => {
    expect(skipProblems([{ test: known[0], reason: ' ' }], [], known)).toEqual([`no reason is given for: ${known[0]}`]);
  });

  it('names entries of files that ran whose test is gone, and leaves files alone that did not run', () => {
    const allowed = [
      { test: 'test/a.test.ts > gone', reason: 'x' },
      { test: 'test/c.test.ts > elsewhere', reason: 'x' },
    ];
    expect(skipProblems(allowed, [], known)).toEqual(['listed, but there is no such test: test/a.test.ts > gone']);
  });
});
