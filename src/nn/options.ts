import { closest, LockstepError } from '../errors.ts';

// zod stays out of this folder: models are traced in browsers too.

/** Refuses option names that are none of `known`. Throws E_OPTION. */
export function checkOptions(where: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null)
    throw optionError(where, 'an object with options', show(options));
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const guess = closest(name, known);
    throw optionError(
      where,
      `options among ${known.join(', ')}`,
      `unknown option '${name}'`,
      guess === undefined ? 'remove it' : `did you mean '${guess}'?`,
    );
  }
}

/** E_OPTION; `got` is a text, `show(value)` for values. */
export function optionError(where: string, expected: string, got: string, fix = 'correct the value'): LockstepError {
  return new LockstepError('E_OPTION', { where, expected, got, fix });
}

/** E_OPTION unless `value` is one of `known`; suggests the closest. */
export function checkChoice(where: string, value: unknown, known: readonly string[], fix?: string): void {
  if (typeof value === 'string' && known.includes(value)) return;
  const guess = typeof value === 'string' ? closest(value, known) : undefined;
  throw optionError(
    where,
    `one of ${known.join(', ')}`,
    show(value),
    fix ?? (guess === undefined ? 'use one of those names' : `did you mean '${guess}'?`),
  );
}

/** A name as a path segment of parameters. */
export function checkName(where: string, name: unknown): void {
  if (name === undefined || (typeof name === 'string' && /^[\w-]+$/.test(name))) return;
  throw optionError(
    where,
    'a name of letters, digits, _ and -',
    show(name),
    'paths are made by scope() and sequential()',
  );
}

/** A value as an error message shows it, cut to a readable length. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' && typeof value !== 'string') return String(value);
  if (value instanceof Promise) return 'a promise';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
