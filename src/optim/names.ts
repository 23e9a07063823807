import { LockstepError } from '../errors.ts';
import { show } from './options.ts';

/** See ParameterGroup.match. @throws E_OPTION for a regular expression that is none. */
export function nameMatches(pattern: string, name: string): boolean {
  if (pattern.length > 2 && pattern.startsWith('/') && pattern.endsWith('/')) {
    return regularExpression(pattern).test(name);
  }
  const literal = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^(.*/)?${literal.join('.*')}$`).test(name);
}

function regularExpression(pattern: string): RegExp {
  try {
    return new RegExp(pattern.slice(1, -1));
  } catch (cause) {
    throw new LockstepError('E_OPTION', {
      where: 'optimizer: name pattern',
      expected: 'a regular expression between the slashes',
      got: show(pattern),
      fix: 'correct it, or use * for anything, as in encoder/*',
      cause,
    });
  }
}
