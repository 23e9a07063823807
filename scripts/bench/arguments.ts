/** What a person typed wrong: one line, no stack. */
export class UsageError extends Error {}

export function count(text: string, option: string): number {
  const n = Number(text);
  if (Number.isInteger(n) && n > 0) return n;
  throw new UsageError(`${option}: expected a positive integer, got ${text}`);
}

export function positive(text: string, option: string): number {
  const n = Number(text);
  if (n > 0 && Number.isFinite(n)) return n;
  throw new UsageError(`${option}: expected a positive number, got ${text}`);
}
