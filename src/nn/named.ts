import { closest, type ErrorCode, LockstepError } from '../errors.ts';

/** The error for a name that a record of tensors lacks. */
export function unknownName(
  code: ErrorCode,
  where: string,
  what: string,
  name: string,
  known: readonly string[],
  fix?: string,
): LockstepError {
  const guess = closest(name, known);
  return new LockstepError(code, {
    where,
    expected: `one of the ${what}s ${known.join(', ')}`,
    got: `'${name}'`,
    fix: fix ?? (guess === undefined ? 'use one of those names' : `did you mean '${guess}'?`),
  });
}

/**
 * The record itself, but reading a name that it lacks throws instead of giving undefined: a misspelt field in a
 * destructuring pattern is reported where it stands. (`then` stays readable: promises probe for it.)
 */
export function strictRecord<R extends object>(record: R, code: ErrorCode, where: string, what: string): R {
  return new Proxy(record, {
    get(target, key, receiver) {
      if (typeof key === 'string' && !Object.hasOwn(target, key) && !(key in Object.prototype) && key !== 'then') {
        throw unknownName(code, where, what, key, Object.keys(target));
      }
      return Reflect.get(target, key, receiver);
    },
  });
}
