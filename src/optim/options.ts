import { type ZodObject, type ZodType, z } from 'zod';
import { closest, type ErrorCode, LockstepError } from '../errors.ts';

type Issue = z.core.$ZodIssue;

/**
 * Validates options against `schema` and gives them back with defaults filled in. The first problem becomes an E_OPTION
 * that names the option (`optimizer.betas[0]`), what it may be and what it is; for unknown names, the closest known one.
 *
 * @param alsoKnown names that are valid beside the schema's own (they only improve the suggestion).
 * @param code of the error, for what is no option of an optimizer.
 */
export function parseOptions<T>(
  schema: ZodType<T>,
  value: unknown,
  where: string,
  alsoKnown: readonly string[] = [],
  code: ErrorCode = 'E_OPTION',
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues;
  // A misspelt name often causes a second issue (the right name is missing): report the cause.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  if (issue.code === 'unrecognized_keys') {
    const known = [...(issue.path.length === 0 ? alsoKnown : []), ...knownKeys(partAt(schema, issue.path))];
    throw unknownOption(issue.keys[0], known, pathOf(where, issue.path), code);
  }
  const got = valueAt(value, issue.path);
  throw new LockstepError(code, {
    where: pathOf(where, issue.path),
    expected: expectation(issue),
    got: show(got),
    fix: got === undefined ? 'give it a value' : 'correct the value',
  });
}

/** The error for a name that is none of `known`. */
export function unknownOption(
  name: string,
  known: readonly string[],
  where: string,
  code: ErrorCode = 'E_OPTION',
): LockstepError {
  const guess = closest(name, known);
  return new LockstepError(code, {
    where,
    expected: known.length === 0 ? 'no options' : `options among ${known.join(', ')}`,
    got: `unknown option '${name}'`,
    fix: guess === undefined ? 'remove it or use one of those names' : `did you mean '${guess}'?`,
  });
}

/** A value as an error message shows it, cut to a readable length. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  if (typeof value === 'function') return 'a function';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function knownKeys(part: ZodType): string[] {
  const schema = unwrapped(part);
  if (schema instanceof z.ZodObject) return Object.keys((schema satisfies ZodObject).shape);
  if (schema instanceof z.ZodPipe && schema.in instanceof z.ZodType) return knownKeys(schema.in);
  return [];
}

/** The schema of a field, and of a field of that. */
function partAt(schema: ZodType, path: readonly PropertyKey[]): ZodType {
  return path.reduce<ZodType>((at, key) => {
    const inner = unwrapped(at);
    const next: unknown = inner instanceof z.ZodObject ? Reflect.get(inner.shape, key) : undefined;
    return next instanceof z.ZodType ? next : inner;
  }, schema);
}

function unwrapped(schema: ZodType): ZodType {
  const optional = schema instanceof z.ZodOptional || schema instanceof z.ZodDefault;
  const inner: unknown = optional ? schema.unwrap() : undefined;
  return inner instanceof z.ZodType ? unwrapped(inner) : schema;
}

function pathOf(where: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>((s, key) => (typeof key === 'number' ? `${s}[${key}]` : `${s}.${String(key)}`), where);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (v, key) => (typeof v === 'object' && v !== null ? Reflect.get(v, key) : undefined),
    value,
  );
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'too_small':
      if (issue.origin === 'array') return `a list of at least ${issue.minimum} values`;
      return `a number ${issue.inclusive ? '>=' : '>'} ${issue.minimum}`;
    case 'too_big':
      if (issue.origin === 'array') return `a list of at most ${issue.maximum} values`;
      return `a number ${issue.inclusive ? '<=' : '<'} ${issue.maximum}`;
    case 'invalid_type':
      if (issue.expected === 'number') return 'a finite number';
      if (issue.expected === 'int') return 'an integer';
      if (issue.expected === 'object' || issue.expected === 'record') return 'an object with options';
      return issue.expected === 'tuple' || issue.expected === 'array' ? 'a list' : `a ${issue.expected}`;
    case 'invalid_value':
      return `one of ${issue.values.map(String).join(', ')}`;
    default:
      return issue.message;
  }
}
