import { closest, LockstepError } from '../errors.ts';
import { Controls } from './controls.ts';
import type { TrainOptions } from './options.ts';

/** What each option must be, if it is given; its range is looked at where it is used. */
const EXPECTED = {
  workers: { is: (v) => typeof v === 'number' || v === 'auto', what: "'auto' or a whole number" },
  module: { is: isFileUrl, what: 'the URL of a file: import.meta.url of the module that exports the job' },
  runDir: { is: isText, what: 'a path' },
  resume: { is: isText, what: "'auto' or a path" },
  warmStart: { is: isText, what: 'a path' },
  fastDevRun: { is: (v) => typeof v === 'boolean', what: 'true or false' },
  overfitBatches: { is: (v) => typeof v === 'number', what: 'a whole number of at least 1' },
  gradientNoiseEvery: {
    is: (v) => typeof v === 'number' && Number.isInteger(v) && v >= 1,
    what: 'a whole number of at least 1',
  },
  sinks: { is: Array.isArray, what: 'an array of sinks' },
  histogramSteps: { is: (v) => Number.isInteger(v) && Number(v) >= 1, what: 'a whole number of at least 1' },
  controls: { is: (v) => v instanceof Controls, what: 'new Controls()' },
  signal: { is: (v) => v instanceof AbortSignal, what: 'an AbortSignal' },
  onProgress: { is: (v) => typeof v === 'function', what: 'a function, such as terminal()' },
} satisfies Record<keyof TrainOptions, { is: (value: unknown) => boolean; what: string }>;

/** @throws E_OPTION for an option that does not exist (did you mean) or is of another kind. */
export function checkOptions(options: TrainOptions): void {
  const known: Readonly<Record<string, { is: (value: unknown) => boolean; what: string }>> = EXPECTED;
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(known, name)) {
      const guess = closest(name, Object.keys(known));
      throw new LockstepError('E_OPTION', {
        where: `option ${name}`,
        expected: `only ${Object.keys(known).join(', ')}`,
        got: 'an unknown option',
        fix: guess ? `did you mean ${guess}?` : 'remove it',
      });
    }
    if (value === undefined || known[name].is(value)) continue;
    throw new LockstepError('E_OPTION', {
      where: `option ${name}`,
      expected: known[name].what,
      got: typeof value === 'string' ? JSON.stringify(value) : typeof value === 'number' ? String(value) : typeof value,
      fix: 'correct this option, or leave it out',
    });
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isFileUrl(value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && new URL(value).protocol === 'file:';
}
