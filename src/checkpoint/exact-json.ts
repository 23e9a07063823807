/**
 * JSON that keeps every f64. Finite numbers round-trip as they are (the shortest decimal that reads back the same); those that
 * JSON lacks become `{"$number": "NaN"}`, likewise Infinity, -Infinity and -0.
 */
const KEY = '$number';
const LACKING: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
  '-0': -0,
};

export function toExactJson(value: unknown, indent?: number): string {
  const replace = (_: string, item: unknown): unknown => {
    if (typeof item !== 'number' || (Number.isFinite(item) && !Object.is(item, -0))) return item;
    return { [KEY]: Object.is(item, -0) ? '-0' : String(item) };
  };
  return JSON.stringify(value, replace, indent);
}

/** Throws SyntaxError as JSON.parse does. */
export function fromExactJson(text: string): unknown {
  return JSON.parse(text, (_, item: unknown) => {
    if (typeof item !== 'object' || item === null || Object.keys(item).length !== 1) return item;
    const name: unknown = Object.hasOwn(item, KEY) ? Reflect.get(item, KEY) : undefined;
    return typeof name === 'string' && Object.hasOwn(LACKING, name) ? LACKING[name] : item;
  });
}
