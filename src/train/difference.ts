import { toExactJson } from '../checkpoint/exact-json.ts';

/** Where two plain values differ, and what stands there. */
export interface Difference {
  readonly path: string;
  readonly saved: string;
  readonly given: string;
}

/** The first place where two plain values differ, in key order; `passOver` names paths that may. */
export function firstDifference(
  then: unknown,
  now: unknown,
  path: string,
  passOver: ReadonlySet<string> = new Set(),
): Difference | undefined {
  if (isRecord(then) && isRecord(now)) {
    for (const key of new Set([...Object.keys(then), ...Object.keys(now)])) {
      if (passOver.has(`${path}.${key}`)) continue;
      const found = firstDifference(then[key], now[key], `${path}.${key}`, passOver);
      if (found) return found;
    }
    return undefined;
  }
  return toExactJson(then ?? null) === toExactJson(now ?? null)
    ? undefined
    : { path, saved: show(then), given: show(now) };
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
