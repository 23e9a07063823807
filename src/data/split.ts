import { LockstepError } from '../errors.ts';
import { createPermutation } from './permutation.ts';

/** Row ids of each split, ascending; absent where that split was not asked for. */
export interface SplitIds {
  readonly train: Int32Array;
  readonly validation?: Int32Array;
  readonly test?: Int32Array;
}

/**
 * Cuts `size` rows into train, validation and test by seed: the first rows of a random permutation are the test rows, so they
 * stay the same whatever fraction validation takes; then validation; the rest is train. Disjoint and complete.
 * A fraction f takes round(f * size) rows. Throws E_OPTION for fractions outside (0, 1), E_DATA_EMPTY for a split without rows.
 */
export function splitRows(size: number, fractions: { validation?: number; test?: number }, seed: number): SplitIds {
  const test = countOf('test', fractions.test, size);
  const validation = countOf('validation', fractions.validation, size);
  const train = size - test - validation;
  if (train <= 0) throw empty('train', `validation ${validation} and test ${test} of ${size} rows leave none`);
  const permutation = createPermutation(size, seed, 'split', 0);
  const take = (from: number, count: number): Int32Array =>
    Int32Array.from({ length: count }, (_, i) => permutation.at(from + i)).sort();
  return {
    train: take(test + validation, train),
    ...(validation > 0 ? { validation: take(test, validation) } : {}),
    ...(test > 0 ? { test: take(0, test) } : {}),
  };
}

function countOf(split: string, fraction: number | undefined, size: number): number {
  if (fraction === undefined) return 0;
  if (!(fraction > 0 && fraction < 1)) {
    throw new LockstepError('E_OPTION', {
      where: `data.${split}`,
      expected: 'a fraction between 0 and 1 of the training rows, or a source',
      got: String(fraction),
      fix: `write 0.1 for a tenth; leave ${split} out if there is none`,
    });
  }
  const count = Math.round(fraction * size);
  if (count === 0) throw empty(split, `round(${fraction} x ${size} rows) = 0`);
  return count;
}

function empty(split: string, got: string): LockstepError {
  return new LockstepError('E_DATA_EMPTY', {
    where: `data.${split}`,
    expected: 'at least one row',
    got,
    fix: 'choose another fraction, or add rows',
  });
}
