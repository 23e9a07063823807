import { closest } from '../errors.ts';

/** A value as messages show it: short, and never its whole content. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${value.byteLength} bytes`;
  if (value instanceof Date) return 'a Date';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** "did you mean ...?" if a known name is close, else `otherwise`: the end of a `fix`. */
export function didYouMean(name: string, known: readonly string[], otherwise: string): string {
  const near = closest(name, known);
  return near === undefined ? otherwise : `did you mean "${near}"?`;
}
