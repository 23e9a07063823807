import { type ParseArgsConfig, parseArgs } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

/** The options that a script was given. One that it does not have ends it with exit code 2 and a line that names those it has. */
export function given<const T extends Options>(options: T): ReturnType<typeof parseArgs<{ options: T }>>['values'] {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    const known = Object.keys(options).map((name) => `--${name}`);
    console.error(`${error instanceof Error ? error.message : error}\nOptions: ${known.join(', ')}`);
    process.exit(2);
  }
}

/** A number that a script was given by its place, or the default. Anything else ends it with exit code 2. */
export function wholeNumber(what: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`${what}: expected a whole number above 0, got ${text}`);
  process.exit(2);
}
